"""Phase 1: what depth and motion are trained on."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.config import LossConfig
from dopi_jax.models import DepthNet, PoseNet
from dopi_jax.objectives.reconstruction import (
    Diagnostics,
    SourceView,
    compare,
    mean_pool,
    occlusion_masks,
    reconstruction_loss,
    view_diagnostics,
)


def depth_pose_loss(
    disparity: chex.Array,
    source_disparities: chex.Array,
    source_from_target: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    config: LossConfig,
) -> tuple[chex.Array, Diagnostics]:
    """Returns the depth-pose objective of one snippet (paper eq. 13: eq. 7 and eq. 8).

    Args:
      disparity: Target disparity [H, W], positive.
      source_disparities: Disparities [S, H, W] of the sources; they only decide what is occluded and get no gradient.
      source_from_target: Poses [S, 4, 4], translation in the unit of 1 / disparity.
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      K: Intrinsics [3, 3].
      config: Weights and choices.

    Returns:
      The loss, and diagnostics: `reconstruction` and `smoothness` before weighting; those of `view_diagnostics`;
      `disparity_spread`, the standard deviation of disparity over its mean (near 0 the network has collapsed);
      `translation`, the mean length of the translations.
    """
    if config.normalize_all_disparities:
        disparity = disparity / jnp.max(disparity)
        source_disparities = source_disparities / jnp.max(source_disparities, axis=(1, 2), keepdims=True)
    depth = 1 / disparity
    source_depths = jax.lax.stop_gradient(1 / source_disparities)

    def one_source(source, source_depth, pose):
        view = view_source(depth, source_depth, pose, target, source, K, config)
        return reconstruction_loss(view, config), view_diagnostics(view)

    # Mapped over the sources alone, so that what belongs to the target is computed once.
    reconstructions, per_source = jax.vmap(one_source)(sources, source_depths, source_from_target)
    reconstruction = jnp.sum(reconstructions)
    if config.smoothness_normalization == "max":
        smooth_map = losses.max_normalized_depth(disparity)
    else:
        smooth_map = losses.mean_normalized_disparity(disparity)
    smoothness = losses.edge_aware_smoothness(smooth_map[..., None], target)
    diagnostics = {
        "reconstruction": reconstruction,
        "smoothness": smoothness,
        "disparity_spread": jnp.std(disparity) / jnp.mean(disparity),
        "translation": jnp.mean(jnp.linalg.norm(jax.lax.stop_gradient(source_from_target)[:, :3, 3], axis=-1)),
        **jax.tree.map(jnp.mean, per_source),
    }
    loss = config.reconstruction * reconstruction + config.smoothness * smoothness
    return loss, jax.lax.stop_gradient(diagnostics)


def view_source(
    depth: chex.Array,
    source_depth: chex.Array,
    source_from_target: chex.Array,
    target: chex.Array,
    source: chex.Array,
    K: chex.Array,
    config: LossConfig,
) -> SourceView:
    """Returns one source reconstructed as the target, with what is wrong with it and what counts (paper eq. 3, 5, 6).

    Args:
      depth: Target depth [H, W].
      source_depth: Source depth [H, W].
      source_from_target: Pose [4, 4].
      target: Target image [H, W, 3] in [-1, 1].
      source: Source image [H, W, 3] in [-1, 1].
      K: Intrinsics [3, 3].
      config: Choices of error and masks.

    Returns:
      A `SourceView`; only `warped` and `error` carry gradient.
    """
    warped, _ = geometry.warp_by_depth(source, depth, K, source_from_target)
    return compare(target, warped, occlusion_masks(depth, source_depth, K, source_from_target, config), config)


def depth_pose_objective(
    params: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    batch: Mapping[str, chex.Array],
    *,
    depth_net: DepthNet,
    pose_net: PoseNet,
    rotation: str,
    config: LossConfig,
) -> tuple[chex.Array, tuple[Mapping[str, Any], Diagnostics]]:
    """Returns the depth-pose objective of a batch, in training mode.

    Args:
      params: {"depth": ..., "pose": ...}.
      batch_stats: {"depth": ...}, the running statistics of batch normalisation; {} if the network has none.
      batch: `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] in [-1, 1], `intrinsics` [B, 3, 3].
      depth_net: The depth network.
      pose_net: The pose network.
      rotation: What the pose network's rotation parameters are, as in `geometry.pose_from_vector`.
      config: Weights and choices.

    Returns:
      The loss, mean over the batch and summed over `config.scales` scales (smoothness with a weight that halves from each to
      the next), and (new running statistics, diagnostics of the finest scale).
    """
    target, sources = batch["target"], batch["sources"]
    depth_variables = {"params": params["depth"], "batch_stats": batch_stats.get("depth", {})}
    disparities, updates = depth_net.apply(depth_variables, target, train=True, mutable=["batch_stats"])
    # The sources' depth only enters masks: no gradient (D21). It is normalised by its own batch, as the target's is, so that
    # both come from the same function; the running statistics follow the target alone.
    source_images = sources.reshape(-1, *target.shape[1:])
    frozen = jax.lax.stop_gradient(depth_variables)
    source_disparities, _ = depth_net.apply(frozen, source_images, train=True, mutable=["batch_stats"])

    vectors = pose_net.apply({"params": params["pose"]}, target, [sources[:, 0], sources[:, 1]])
    poses = jax.vmap(jax.vmap(lambda v: geometry.pose_from_vector(v, rotation)))(vectors)

    total = jnp.zeros(())
    for scale, disparity in zip(range(config.scales), disparities, strict=False):
        # The same slope of a surface is 2^scale times steeper from pixel to pixel of a smaller image.
        of_scale = dataclasses.replace(config, smoothness=config.smoothness / 2**scale)
        loss, diagnostics = jax.vmap(lambda *sample, c=of_scale: depth_pose_loss(*sample, c))(
            disparity[..., 0],
            source_disparities[scale].reshape(*sources.shape[:2], *disparity.shape[1:3]),
            poses,
            mean_pool(target, 2**scale),
            mean_pool(source_images, 2**scale).reshape(*sources.shape[:2], *disparity.shape[1:3], 3),
            jax.vmap(lambda K, s=2.0**-scale: geometry.scale_intrinsics(K, s, s))(batch["intrinsics"]),
        )
        total += jnp.mean(loss)
        if scale == 0:
            finest = jax.tree.map(jnp.mean, diagnostics)
    # The same structure as what came in: a state that changes it would compile the step twice.
    return total, ({"depth": updates["batch_stats"]} if batch_stats else {}, finest)
