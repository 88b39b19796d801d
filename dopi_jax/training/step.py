"""The train step: augmentation, the gradient of a phase's objective, averaged over the devices, and Adam's update."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dopi_jax.augment import network_batch
from dopi_jax.config import Config
from dopi_jax.models import learned_intrinsics
from dopi_jax.networks import build_geometry, build_networks, network_variables
from dopi_jax.objectives import depth_pose_objective, flow_objective
from dopi_jax.training import parallel
from dopi_jax.training.bad_steps import skip_if_not_finite
from dopi_jax.training.state import KNOWN, TrainState, build_optimizer


def train_step(config: Config) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """Returns the train step of the config's phase, for a device's share of a batch.

    Args:
      config: The experiment.

    Returns:
      (state, batch) -> (state, metrics); the batch has `frames`, `intrinsics` and `index`, as `network_batch` takes it.
    """
    objective = {"depthpose": _depth_pose_objective, "flow": _flow_objective}[config.phase](config)
    optimizer = build_optimizer(config.optimizer, config.train.steps, config.trains_camera)

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        batch = network_batch(
            batch,
            augment=config.data.augment,
            seed=config.train.seed,
            colour_jitter=config.data.colour_jitter,
            splice=config.data.splice,
            students=config.phase == "flow" and config.flow_loss.students > 0,
            shown_rigid=config.flow_loss.shown_rigid,
        )
        gradient_of = jax.value_and_grad(objective, has_aux=True)
        (loss, (batch_stats, diagnostics)), gradient = gradient_of(state.params, state.batch_stats, state.frozen, batch)
        loss, diagnostics, gradient = parallel.mean_across_devices((loss, diagnostics, gradient))
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = _average(state.averaged, params, state.step, config.train.average)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradient), **diagnostics}
        after = TrainState(state.step + 1, params, batch_stats, opt_state, state.frozen, averaged)
        after = skip_if_not_finite(metrics, state, after)
        if config.trains_camera:
            metrics["focal_factor"] = jnp.exp(after.params["camera"]["log_focal"])
        return after, metrics

    return step


def _average(averaged: Any, params: Any, step: jax.Array, keep: float) -> Any:
    """The exponential mean of parameters; over the first steps it reaches back to a tenth of them at most."""
    keep = jnp.minimum(keep, (1 + step) / (10 + step))
    return jax.tree.map(lambda mean, now: keep * mean + (1 - keep) * now, averaged, params) if averaged else averaged


def with_kernels_in(precision: str, variables: Any) -> Any:
    """Returns variables of networks with all kernels rounded, which makes the networks compute in that precision.

    Args:
      precision: "float32" or "bfloat16".
      variables: Arrays in a tree. Those of one axis (biases, scales, statistics, a mean motion) stay as they are.

    Returns:
      The same tree.
    """
    return jax.tree.map(lambda array: array.astype(precision) if array.ndim > 1 else array, variables)


def _depth_pose_objective(config: Config):
    networks = build_networks(config.model, parallel.AXIS)

    def objective(params: Any, batch_stats: Any, frozen: Any, batch: dict[str, jax.Array]):
        variables = network_variables(params, batch_stats)
        batch = batch | {"intrinsics": learned_intrinsics(variables, batch["intrinsics"])}
        if config.loss.distillation > 0:
            finest, *_ = networks.depth.apply(with_kernels_in(config.train.precision, frozen[KNOWN]), batch["target"])
            batch["known_disparity"] = finest[..., 0]
        return depth_pose_objective(
            with_kernels_in(config.train.precision, params),
            batch_stats,
            batch,
            depth_net=networks.depth,
            pose_net=networks.pose,
            rotation=config.model.rotation,
            config=config.loss,
            refinements=config.model.pose_refinements,
        )

    return objective


def _flow_objective(config: Config):
    flow_net = build_networks(config.model).flow
    geometry_of = build_geometry(config) if config.flow_loss.needs_depthpose else None

    def objective(params: Any, batch_stats: Any, frozen: Any, batch: dict[str, jax.Array]):
        params, frozen = with_kernels_in(config.train.precision, (params, frozen))
        batch = batch | {"intrinsics": learned_intrinsics(frozen, batch["intrinsics"])}
        seen = batch["target"], batch["sources"], batch["intrinsics"]
        matches = batch["matches"] if config.flow_loss.matched_motion else None
        geometry = geometry_of(frozen, *seen, matches=matches) if geometry_of else None
        loss, diagnostics = flow_objective(params, batch, geometry, flow_net=flow_net, config=config.flow_loss)
        return loss, (batch_stats, diagnostics)

    return objective
