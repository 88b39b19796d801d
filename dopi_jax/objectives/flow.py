"""Phase 2: the objective of optical flow, with the rigid flow of depth and motion as teacher where pixels are occluded."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.config import FlowLossConfig, ReconstructionConfig
from dopi_jax.geometry.occlusion import masks_of_reprojections, reproject_both
from dopi_jax.geometry.warp import flow_of_reprojection
from dopi_jax.models import FlowNet
from dopi_jax.objectives.reconstruction import (
    Diagnostics,
    SourceView,
    compare,
    mean_pool,
    occlusion_masks,
    reconstruction_loss,
    view_diagnostics,
)
from dopi_jax.objectives.snippet_flow import predict_flows, rigid_snippet_flows
from dopi_jax.objectives.snippet_geometry import SnippetGeometry
from dopi_jax.objectives.student import student_distance

TERMS = ("reconstruction", "consistency", "smoothness")


class RigidView(NamedTuple):
    """Rigid flow and masks of the sources of one snippet at one scale; without gradient.

    Attributes:
      flow: Rigid flow [S, H, W, 2] in pixels of the scale.
      masks: Of every source, each [S, H, W].
    """

    flow: chex.Array
    masks: geometry.OcclusionMasks


class FlowView(NamedTuple):
    """One source seen from the target through optical flow.

    Attributes:
      view: The source warped to the target, with error and masks.
      taught: Pixels [H, W] whose flow is taught by the rigid flow; None without depth and motion.
    """

    view: SourceView
    taught: chex.Array | None


def rigid_views(
    disparity: chex.Array,
    source_disparities: chex.Array,
    source_from_target: chex.Array,
    K: chex.Array,
    scales: int,
    config: ReconstructionConfig,
) -> list[RigidView]:
    """Returns the rigid flow and the masks of one snippet, native to every scale (D17, D19).

    The disparity of a coarser scale is the mean of the finest one's. The depth network's own coarser outputs are no
    substitute: phase 1 trains the finest scale alone (D11), which leaves them without meaning.

    Args:
      disparity: Target disparity [H, W], positive.
      source_disparities: Disparities [S, H, W] of the sources.
      source_from_target: Poses [S, 4, 4], translation in the unit of 1 / disparity.
      K: Intrinsics [3, 3].
      scales: How many, each half the size of the one before.
      config: Choices of masks.

    Returns:
      Views, finest first.
    """

    def at_scale(scale: int) -> RigidView:
        depth, *source_depths = 1 / mean_pool(jnp.stack([disparity, *source_disparities])[..., None], 2**scale)[..., 0]
        scaled = geometry.scale_intrinsics(K, 2.0**-scale, 2.0**-scale)

        def one_source(source_depth, pose):
            if config.occlusion_rule == "depth_comparison":
                masks = occlusion_masks(depth, source_depth, scaled, pose, config)
                return RigidView(geometry.rigid_flow(depth, scaled, pose), masks)
            # Where pixels land says both their flow and what they hide.
            in_source, in_target = reproject_both(depth, source_depth, scaled, pose)
            masks = masks_of_reprojections(in_source, in_target, config.occlusion_tolerance, config.occlusion_rounds)
            return RigidView(flow_of_reprojection(in_source), masks)

        return jax.vmap(one_source)(jnp.stack(source_depths), source_from_target)

    return jax.lax.stop_gradient([at_scale(scale) for scale in range(scales)])


def view_by_flow(
    flow: chex.Array,
    target: chex.Array,
    source: chex.Array,
    rigid: RigidView | None,
    config: FlowLossConfig,
    returning: chex.Array | None = None,
) -> FlowView:
    """Returns one source warped to the target by optical flow, and where the rigid flow teaches (paper eq. 10, 12).

    Args:
      flow: Flow [H, W, 2] from the target to the source in pixels.
      target: Target image [H, W, 3] in [-1, 1].
      source: Source image [H, W, 3] in [-1, 1].
      rigid: Rigid flow [H, W, 2] and masks [H, W] of this source; None without depth and motion.
      config: Choices of error and masks.
      returning: Flow [H, W, 2] from the source to the target, where the two flows decide what is hidden. Without it and
        without depth and motion every pixel is visible.

    Returns:
      A `FlowView`.
    """
    warped, inside = geometry.warp_by_flow(source, flow)
    everything = jnp.ones_like(inside)
    if returning is not None and config.occlusion_rule == "forward_backward":
        masks = geometry.OcclusionMasks(inside, everything, geometry.forward_backward_mask(flow, returning) | ~inside)
    elif rigid is not None:
        masks = rigid.masks
    else:
        masks = geometry.OcclusionMasks(everything, everything, everything)
    view = compare(target, warped, masks, config)
    if rigid is None:
        return FlowView(view, None)
    # Overlap is left out: where a surface shrinks it also hides pixels that are visible (Fig. 9), and the rigid flow must
    # not pull those away from what they show.
    taught = ~(masks.edge & masks.blank)
    if config.consistency_ltm == "photometric":
        taught &= losses.less_than_mean_mask(view.error, view.visible, config.less_than_mean_factor)
    elif config.consistency_ltm == "residual":
        taught &= losses.less_than_mean_mask(jnp.linalg.norm(flow - rigid.flow, axis=-1), taught)
    return FlowView(view, taught)


def flow_loss(
    flows: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    rigid: RigidView | None,
    config: FlowLossConfig,
    returning: chex.Array | None = None,
) -> tuple[chex.Array, Diagnostics]:
    """Returns the flow objective of one snippet at one scale (paper eq. 14: eq. 10, 11 and 12).

    Args:
      flows: Flows [S, H, W, 2] from the target to the sources in pixels.
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      rigid: What depth and motion say; None without them, as in the row "Basic" of Table V.
      config: Weights and choices.
      returning: Flows [S, H, W, 2] from the sources to the target, as `view_by_flow` takes them.

    Returns:
      The loss, and diagnostics: `reconstruction`, `consistency` and `smoothness`, each summed over the sources and not
      weighted yet; those of `view_diagnostics`; `flow_length`, mean in pixels; with depth and motion also `taught`, the
      share of pixels that the rigid flow teaches, and `rigid_distance`, the mean distance from it in pixels over all.
    """

    def one_source(flow, source, rigid, returning):
        view, taught = view_by_flow(flow, target, source, rigid, config, returning)
        terms = {
            "reconstruction": reconstruction_loss(view, config),
            "consistency": jnp.zeros(()),
            "smoothness": losses.edge_aware_smoothness(
                flow, target, order=config.smoothness_order, sharpness=config.smoothness_sharpness
            ),
        }
        diagnostics = {**view_diagnostics(view), "flow_length": jnp.mean(_lengths(flow))}
        if rigid is not None:
            terms["consistency"] = losses.flow_consistency(flow, rigid.flow, taught, config.penalty)
            diagnostics |= {"taught": jnp.mean(taught), "rigid_distance": jnp.mean(_lengths(flow - rigid.flow))}
        return terms, diagnostics

    # Mapped over the sources alone, so that what belongs to the target is computed once.
    terms, diagnostics = jax.vmap(one_source)(flows, sources, rigid, returning)
    terms = jax.tree.map(jnp.sum, terms)
    loss = sum(getattr(config, name) * value for name, value in terms.items())
    return loss, jax.lax.stop_gradient({**terms, **jax.tree.map(jnp.mean, diagnostics)})


def flow_objective(
    params: Mapping[str, Any],
    batch: Mapping[str, chex.Array],
    snippet_geometry: SnippetGeometry | None,
    *,
    flow_net: FlowNet,
    config: FlowLossConfig,
) -> tuple[chex.Array, Diagnostics]:
    """Returns the flow objective of a batch, in training mode.

    Args:
      params: {"flow": ...}.
      batch: `target` [B, H, W, 3], `sources` [B, 2, H, W, 3] in [-1, 1] at (t-1, t+1), `intrinsics` [B, 3, 3]; H and W
        multiples of 64. Where the network is to see other colours than the losses compare, also `seen_target` and
        `seen_sources`; `matches` [B, 2, N, 4] where flow is to follow corners; `corner` [2] where students are taught;
        `shows_rigid` [B], whether the network is shown the rigid flow, where it is not always.
      snippet_geometry: Depth and motion of the batch by frozen networks; None without them.
      flow_net: The flow network.
      config: Weights and choices.

    Returns:
      The loss, mean over the batch and summed over the network's scales, and diagnostics: the three terms summed
      likewise, and the others of the finest scale.
    """
    target, sources = batch["target"], batch["sources"]
    seen, seen_sources = batch.get("seen_target", target), batch.get("seen_sources", sources)
    variables, returning = {"params": params["flow"]}, config.needs_returning_flow
    shown = None
    if config.shown_rigid > 0:
        shown = rigid_snippet_flows(snippet_geometry, batch["intrinsics"], returning)
        if "shows_rigid" in batch:
            shown = jnp.where(batch["shows_rigid"][:, None, None, None, None], shown, jnp.nan)
    flows, back = predict_flows(
        flow_net, variables, seen, seen_sources, all_scales=True, returning=returning, rigid=shown
    )
    scales = len(flows)
    back = back or [None] * scales
    if snippet_geometry is None:
        rigid = [None] * scales
    else:
        of_snippet = jax.vmap(lambda g, K: rigid_views(*g, K, scales, config))
        rigid = of_snippet(snippet_geometry, batch["intrinsics"])

    of_scales = []
    for scale in range(scales):
        of_scale = config
        if scale and config.finest_only:
            of_scale = dataclasses.replace(config, consistency=0.0, smoothness=0.0)
        of_snippets = jax.vmap(lambda f, t, s, r, back, c=of_scale: flow_loss(f, t, s, r, c, back))(
            flows[scale], mean_pool(target, 2**scale), mean_pool(sources, 2**scale), rigid[scale], back[scale]
        )
        of_scales.append(jax.tree.map(jnp.mean, of_snippets))
    total = sum(loss for loss, _ in of_scales)
    terms = {name: sum(diagnostics[name] for _, diagnostics in of_scales) for name in TERMS}
    if config.matched_flow > 0:
        terms["matched"] = jnp.mean(jax.vmap(jax.vmap(losses.distance_from_matches))(flows[0], batch["matches"]))
        total += config.matched_flow * terms["matched"]
    if config.students > 0:
        terms["student"] = student_distance(flow_net, variables, seen, seen_sources, flows[0], back[0], batch["corner"])
        total += config.students * terms["student"]
    return total, {**of_scales[0][1], **jax.lax.stop_gradient(terms)}


def _lengths(flow: chex.Array) -> chex.Array:
    return jnp.linalg.norm(jax.lax.stop_gradient(flow), axis=-1)
