"""A train step taken apart: each part compiled and timed alone, on the shapes that it has in the step.

Parts do not add up to the step exactly: together they are fused, and what is computed in one need not be written out for
the next. "Forward and backward" includes forward.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.case import Case, initial_state, random_images, road_scene
from dopi_jax import geometry, losses
from dopi_jax.config import Config
from dopi_jax.networks import build_networks
from dopi_jax.objectives import compare, mean_pool, predict_geometry, rigid_views
from dopi_jax.objectives.reconstruction import occlusion_masks, reconstruction_loss
from dopi_jax.training.state import build_optimizer
from dopi_jax.training.step import cast_kernels

Part = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function, and the arguments to compile it for."""

_FLOW_SCALES = {"back2future": 6, "lite": 3}


def parts(case: Case) -> dict[str, Part]:
    """Returns the parts of the step "full" by name.

    Args:
      case: What is trained on what.

    Returns:
      "networks forward", "networks forward and backward", "masks", "warping" and "losses" (both forward and backward), and
      "optimiser".
    """
    config = case.config()
    state, batch, scene = initial_state(case), random_images(case), road_scene(case)
    of_phase = _phase_1 if case.phase == "1" else _phase_2
    optimizer = build_optimizer(config.optimizer, config.train.steps)

    def update(gradient: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return {
        **of_phase(config, state, batch, scene),
        "optimiser": (update, (state.params, state.opt_state, state.params)),
    }


def _phase_1(config: Config, state: Any, batch: Any, scene: Any) -> dict[str, Part]:
    networks = build_networks(config.model)

    def forward(params: Any, batch_stats: Any, target: Any, sources: Any) -> tuple[Any, Any, Any]:
        params = cast_kernels(config.train.precision, params)
        variables = {"params": params["depth"], "batch_stats": batch_stats.get("depth", {})}
        disparities, _ = networks.depth.apply(variables, target, train=True, mutable=["batch_stats"])
        frozen = jax.lax.stop_gradient(variables)
        of_sources, _ = networks.depth.apply(
            frozen, sources.reshape(-1, *target.shape[1:]), train=True, mutable=["batch_stats"]
        )
        poses = networks.pose.apply({"params": params["pose"]}, target, [sources[:, 0], sources[:, 1]])
        return disparities[0], of_sources[0], poses

    def masks(depth: Any, source_depths: Any, poses: Any, K: Any) -> geometry.OcclusionMasks:
        def of_source(depth, source_depth, pose, K):
            return occlusion_masks(depth, source_depth, K, pose, config.loss)

        return jax.vmap(jax.vmap(of_source, (None, 0, 0, None)))(depth, source_depths, poses, K)

    def warping(depth: Any, poses: Any, sources: Any, K: Any) -> Any:
        def of_source(depth, pose, source, K):
            return geometry.warp_by_depth(source, depth, K, pose)[0]

        return jnp.sum(jax.vmap(jax.vmap(of_source, (None, 0, 0, None)))(depth, poses, sources, K))

    def loss(warped: Any, disparity: Any, target: Any, masks: Any) -> Any:
        def of_source(warped, target, masks):
            return reconstruction_loss(compare(target, warped, masks, config.loss), config.loss)

        def smoothness(disparity, target):
            return losses.edge_aware_smoothness(losses.max_normalized_depth(disparity)[..., None], target)

        reconstruction = jax.vmap(jax.vmap(of_source, (0, None, 0)))(warped, target, masks)
        return jnp.sum(reconstruction) + jnp.sum(jax.vmap(smoothness)(disparity, target))

    images = batch["target"], batch["sources"]
    every_pixel = _every_pixel(scene["source_depths"].shape)
    views = scene["depth"], scene["source_depths"], scene["poses"], scene["intrinsics"]
    return {
        "networks forward": (forward, (state.params, state.batch_stats, *images)),
        "networks forward and backward": (
            # With the value: it alone needs the sources' depth, which has no gradient.
            jax.value_and_grad(lambda *given: _sum_of_means(forward(*given))),
            (state.params, state.batch_stats, *images),
        ),
        "masks": (masks, views),
        "warping": (
            jax.value_and_grad(warping, argnums=(0, 1)),
            (scene["depth"], scene["poses"], batch["sources"], scene["intrinsics"]),
        ),
        "losses": (
            jax.value_and_grad(loss, argnums=(0, 1)),
            (batch["sources"], 1 / scene["depth"], batch["target"], every_pixel),
        ),
    }


def _phase_2(config: Config, state: Any, batch: Any, scene: Any) -> dict[str, Part]:
    networks, scales = build_networks(config.model), _FLOW_SCALES[config.model.flow]

    def forward(params: Any, frozen: Any, target: Any, sources: Any) -> tuple[Any, Any]:
        params, frozen = cast_kernels(config.train.precision, (params, frozen))
        taught = predict_geometry(
            frozen,
            target,
            sources,
            scene["intrinsics"],
            depth_net=networks.depth,
            pose_net=networks.pose,
            rotation=config.model.rotation,
            refinements=config.model.pose_refinements,
            normalize=config.loss.normalize_all_disparities,
        )
        refs = [sources[:, 0], sources[:, 1]]
        forward, backward, *_ = networks.flow.apply({"params": params["flow"]}, target, refs, all_scales=True)
        return taught, (backward, forward)

    def forward_with_mean(*given: Any) -> tuple[Any, Any]:
        taught, flows = forward(*given)
        return _sum_of_means(flows), taught

    def masks(disparity: Any, source_disparities: Any, poses: Any, K: Any) -> Any:
        return jax.vmap(lambda *views: rigid_views(*views, scales, config.flow_loss))(
            disparity, source_disparities, poses, K
        )

    def warping(flows: list[Any], sources: list[Any]) -> Any:
        warp = jax.vmap(jax.vmap(lambda source, flow: geometry.warp_by_flow(source, flow)[0]))
        return sum(jnp.sum(warp(*pair)) for pair in zip(sources, flows, strict=True))

    def loss(flows: list[Any], warped: list[Any], targets: list[Any], masks: list[Any]) -> Any:
        def of_source(flow, warped, target, masks):
            view = compare(target, warped, masks, config.flow_loss)
            consistency = losses.flow_consistency(flow, jnp.zeros_like(flow), view.kept, config.flow_loss.penalty)
            return reconstruction_loss(view, config.flow_loss) + consistency + losses.edge_aware_smoothness(flow, target)

        of_batch = jax.vmap(jax.vmap(of_source, (0, 0, None, 0)))
        return sum(jnp.sum(of_batch(*scale)) for scale in zip(flows, warped, targets, masks, strict=True))

    targets = [mean_pool(batch["target"], 2**scale) for scale in range(scales)]
    sources = [mean_pool(batch["sources"], 2**scale) for scale in range(scales)]
    # Of a pixel and a half: no position lies on a pixel.
    flows = [jnp.full((*of_scale.shape[:-1], 2), 1.5) for of_scale in sources]
    every_pixel = [_every_pixel(of_scale.shape[:-1]) for of_scale in sources]
    images = batch["target"], batch["sources"]
    views = 1 / scene["depth"], 1 / scene["source_depths"], scene["poses"], scene["intrinsics"]
    return {
        "networks forward": (forward, (state.params, state.frozen, *images)),
        "networks forward and backward": (
            jax.value_and_grad(forward_with_mean, has_aux=True),
            (state.params, state.frozen, *images),
        ),
        "masks": (masks, views),
        "warping": (jax.value_and_grad(warping), (flows, sources)),
        "losses": (jax.value_and_grad(loss, argnums=(0, 1)), (flows, sources, targets, every_pixel)),
    }


def _every_pixel(shape: tuple[int, ...]) -> geometry.OcclusionMasks:
    everything = jnp.ones(shape, bool)
    return geometry.OcclusionMasks(everything, everything, everything)


def _sum_of_means(outputs: Any) -> Any:
    return sum(jnp.mean(leaf) for leaf in jax.tree.leaves(outputs))
