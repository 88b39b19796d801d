"""Phase 1: the objective of depth and motion."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.config import LossConfig
from dopi_jax.models import DepthNet, PoseNet
from dopi_jax.models.disparity import is_saturated
from dopi_jax.models.layers import upsample_bilinear
from dopi_jax.objectives.matched_motion import follow_matches, match_motions
from dopi_jax.objectives.motion import predict_motion
from dopi_jax.objectives.pixel_choice import choose_pixels, sources_loss
from dopi_jax.objectives.reconstruction import (
    Diagnostics,
    SourceView,
    compare,
    mean_pool,
    occlusion_masks,
    view_diagnostics,
)
from dopi_jax.objectives.stereo_teacher import disparity_difference, stereo_teachers
from dopi_jax.splice import splice, unsplice


def depth_pose_loss(
    disparity: chex.Array,
    source_disparities: chex.Array | None,
    source_from_target: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    config: LossConfig,
) -> tuple[chex.Array, Diagnostics]:
    """Returns the depth-pose objective of one snippet (paper eq. 13: eq. 7 and eq. 8).

    Args:
      disparity: Target disparity [H, W], positive.
      source_disparities: Disparities [S, H, W] of the sources; they get no gradient. None where `config.needs_source_depth`
        is False: then nothing inside the source images is taken for hidden.
      source_from_target: Poses [S, 4, 4], translation in the unit of 1 / disparity.
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      K: Intrinsics [3, 3].
      config: Weights and choices.

    Returns:
      The loss, and diagnostics: `reconstruction` and `smoothness` before weighting, with a weight of it also `consistency`;
      those of `view_diagnostics`; `disparity_spread`, the standard deviation of disparity over its mean (near 0 the network
      has collapsed); `translation`, the mean length of the translations.
    """
    if config.normalize_all_disparities:
        disparity = losses.max_normalized_disparity(disparity)
        if source_disparities is not None:
            source_disparities = losses.max_normalized_disparity(source_disparities)
    depth = 1 / disparity
    source_depths = None if source_disparities is None else jax.lax.stop_gradient(1 / source_disparities)
    views = view_sources(depth, source_depths, source_from_target, target, sources, K, config)
    reconstruction = sources_loss(views, config)
    if config.smoothness_normalization == "max":
        smooth_map = losses.max_normalized_depth(disparity)
    else:
        smooth_map = losses.mean_normalized_disparity(disparity)
    smoothness = losses.edge_aware_smoothness(smooth_map[..., None], target)
    loss = jnp.zeros(())
    if config.reconstruction > 0:  # what has no weight needs no gradient
        loss += config.reconstruction * reconstruction
    if config.smoothness > 0:
        loss += config.smoothness * smoothness
    diagnostics = {
        "reconstruction": reconstruction,
        "smoothness": smoothness,
        "disparity_spread": jnp.std(disparity) / jnp.mean(disparity),
        "translation": jnp.mean(jnp.linalg.norm(jax.lax.stop_gradient(source_from_target)[:, :3, 3], axis=-1)),
        **jax.tree.map(jnp.mean, jax.vmap(view_diagnostics)(views)),
    }
    if config.consistency > 0:
        contradiction = jax.vmap(lambda d, pose: geometry.depth_inconsistency(depth, d, K, pose))
        consistency = jnp.sum(jax.vmap(losses.masked_mean)(contradiction(source_depths, source_from_target), views.visible))
        loss += config.consistency * consistency
        diagnostics["consistency"] = consistency
    return loss, jax.lax.stop_gradient(diagnostics)


def view_sources(
    depth: chex.Array,
    source_depths: chex.Array | None,
    source_from_target: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    config: LossConfig,
) -> SourceView:
    """Returns all sources warped to the target, with their photometric errors and masks (paper eq. 3, 5, 6).

    Args:
      depth: Target depth [H, W].
      source_depths: Source depths [S, H, W]; None as in `depth_pose_loss`.
      source_from_target: Poses [S, 4, 4].
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      K: Intrinsics [3, 3].
      config: Choices of error and masks.

    Returns:
      A `SourceView` with a leading [S]; only `warped` and `error` carry gradient.
    """

    def one_source(source, source_depth, pose):
        warped, inside = geometry.warp_by_depth(source, depth, K, pose)
        if source_depth is None:
            masks = geometry.OcclusionMasks(edge=inside, overlap=jnp.ones_like(inside), blank=jnp.ones_like(inside))
        else:
            masks = occlusion_masks(depth, source_depth, K, pose, config)
        return compare(target, warped, masks, config)

    # Mapped over the sources alone, so that what belongs to the target is computed once.
    views = jax.vmap(one_source)(sources, source_depths, source_from_target)
    return choose_pixels(views, target, sources, config)


def depth_pose_objective(
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    batch: Mapping[str, chex.Array],
    *,
    depth_net: DepthNet,
    pose_net: PoseNet,
    rotation: str,
    config: LossConfig,
    refinements: int = 0,
) -> tuple[chex.Array, tuple[Mapping[str, Any], Diagnostics]]:
    """Returns the depth-pose objective of a batch, in training mode.

    Args:
      params: {"depth": ..., "pose": ...}.
      batch_stats: {"depth": ...}, the running statistics of batch normalisation; {} if the network has none.
      batch: `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] in [-1, 1], `intrinsics` [B, 3, 3]; and, where the networks are
        to see other colours than the losses compare, `seen_target` and `seen_sources`; and
        `cut`, where the depth network is to see spliced images; and `known_disparity` [B, H, W], near which
        `config.distillation` holds disparity and from which `config.motion_stereo` starts; and `matches` [B, 2, N, 4], as
        `match_motions` takes them, where motion or depth are to follow them.
      depth_net: The depth network.
      pose_net: The pose network.
      rotation: What the pose network's rotation parameters are, as in `geometry.pose_from_vector`.
      config: Weights and choices.
      refinements: Of the motion, as in `predict_motion`.

    Returns:
      The loss, mean over the batch and summed over `config.scales` scales (smoothness with a weight that halves from each to
      the next, where images shrink), plus the penalties on motion; and (new running statistics, diagnostics of the
      finest scale, with `saturated`, the share of disparities at an end of the network's range).
    """
    target, sources = batch["target"], batch["sources"]
    depth_variables = {"params": params["depth"], "batch_stats": batch_stats.get("depth", {})}
    seen, seen_sources = batch.get("seen_target", target), batch.get("seen_sources", sources)
    if "cut" in batch:
        spliced = splice(seen, batch["cut"])
        disparities, updates = depth_net.apply(depth_variables, spliced, train=True, mutable=["batch_stats"])
        disparities = [unsplice(d, batch["cut"] * d.shape[2] // target.shape[2]) for d in disparities]
    else:
        disparities, updates = depth_net.apply(depth_variables, seen, train=True, mutable=["batch_stats"])
    source_disparities = [None] * len(disparities)
    if config.needs_source_depth:
        # The sources' depth gets no gradient (D21). It is normalised by its own batch, as the target's is, so that both come
        # from the same function; the running statistics follow the target alone.
        frozen = jax.lax.stop_gradient(depth_variables)
        source_disparities, _ = depth_net.apply(
            frozen, seen_sources.reshape(-1, *target.shape[1:]), train=True, mutable=["batch_stats"]
        )

    finest_disparity = disparities[0]
    if config.normalize_all_disparities:
        finest_disparity = losses.max_normalized_disparity(finest_disparity)
    poses = predict_motion(
        {"params": params["pose"]},
        seen,
        seen_sources,
        1 / finest_disparity,
        batch["intrinsics"],
        pose_net=pose_net,
        rotation=rotation,
        refinements=refinements,
    )

    total, besides = jnp.zeros(()), {}
    if config.matched_motion > 0 or config.matched_depth > 0:
        views = match_motions(1 / finest_disparity, batch["matches"], batch["intrinsics"], poses)
        matched_poses, differences = jax.vmap(jax.vmap(follow_matches))(poses, views)
        besides = {
            "matched": jnp.mean(views.is_reliable),
            "motion_difference": jnp.mean(differences),
            "matched_depth_error": jnp.mean(views.depth_error),
        }
        total += config.matched_motion * besides["motion_difference"]
        total += config.matched_depth * besides["matched_depth_error"]
    if config.distillation > 0:
        departure = jnp.mean(jax.vmap(losses.departure_where_plain)(finest_disparity, batch["known_disparity"], target))
        besides["departure"] = departure
        total += config.distillation * departure
    if config.motion_stereo > 0:
        views = batch["known_disparity"], target, sources, batch["intrinsics"], batch["matches"]
        teacher = stereo_teachers(*views, jax.lax.stop_gradient(poses))
        difference = jnp.mean(jax.vmap(disparity_difference)(finest_disparity, *teacher))
        besides |= {"stereo_difference": difference, "taught": jnp.mean(teacher.is_found)}
        total += config.motion_stereo * difference
    if config.matched_motion > 0:
        poses = matched_poses
    for scale, (disparity, of_sources) in enumerate(zip(disparities[: config.scales], source_disparities, strict=False)):
        factor = 1 if config.full_size else 2**scale
        if config.full_size:
            disparity, of_sources = jax.tree.map(lambda d, s=scale: upsample_bilinear(d, 2**s), (disparity, of_sources))
        # The same slope of a surface is `factor` times steeper from pixel to pixel of a smaller image.
        of_scale = dataclasses.replace(config, smoothness=config.smoothness / factor)
        if of_sources is not None:
            of_sources = of_sources.reshape(*sources.shape[:2], *disparity.shape[1:3])
        loss, diagnostics = jax.vmap(lambda *sample, c=of_scale: depth_pose_loss(*sample, c))(
            disparity,
            of_sources,
            poses,
            mean_pool(target, factor),
            mean_pool(sources, factor),
            jax.vmap(lambda K, s=1 / factor: geometry.scale_intrinsics(K, s, s))(batch["intrinsics"]),
        )
        total += jnp.mean(loss)
        if scale == 0:
            finest = jax.tree.map(jnp.mean, diagnostics) | jax.lax.stop_gradient(besides)
            finest["saturated"] = jnp.mean(is_saturated(jax.lax.stop_gradient(disparities[0])))
    # The same structure as what came in: a state that changes it would compile the step twice.
    return total, ({"depth": updates["batch_stats"]} if batch_stats else {}, finest)
