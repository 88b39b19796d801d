"""The train step: augmentation, the gradient of a phase's objective, averaged over the devices, and Adam's update."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dopi_jax import losses
from dopi_jax.augment import network_batch
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.models import learned_intrinsics
from dopi_jax.networks import build_geometry, build_networks, network_variables, predict_disparity
from dopi_jax.objectives import depth_pose_objective, flow_objective
from dopi_jax.training import parallel
from dopi_jax.training.bad_steps import update_if_finite
from dopi_jax.training.state import KNOWN, TrainState, build_optimizer


def train_step(config: Config) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """Returns the train step of the config's phase, for a device's share of a batch.

    Args:
      config: The experiment.

    Returns:
      (state, batch) -> (state, metrics); the batch has `frames`, `intrinsics` and `index`, as `network_batch` takes it.
    """
    objective = {"depthpose": _depth_pose_objective, "flow": _flow_objective}[config.phase](config)
    if config.train.rematerialise:
        objective = rematerialised(objective)
    optimizer = build_optimizer(config.optimizer, config.train.steps, config.trains_camera)

    def gradient_of_part(state: TrainState, batch_stats: Any, batch: dict[str, jax.Array]):
        batch = network_batch(
            batch,
            augment=config.data.augment,
            seed=config.train.seed,
            colour_jitter=config.data.colour_jitter,
            strong=config.data.strong_augment,
            splice=config.data.splice,
            students=config.phase == "flow" and config.flow_loss.students > 0,
            shown_rigid=config.flow_loss.shown_rigid,
        )
        gradient_of = jax.value_and_grad(objective, has_aux=True)
        (loss, (batch_stats, diagnostics)), gradient = gradient_of(state.params, batch_stats, state.frozen, batch)
        return (loss, diagnostics, gradient), batch_stats

    def update(state: TrainState, gradient: Any, batch_stats: Any) -> TrainState:
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = _average(state.averaged, params, state.step, config.train.average)
        return state.replace(params=params, batch_stats=batch_stats, opt_state=opt_state, averaged=averaged)

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        means, batch_stats = mean_over_parts(
            lambda stats, part: gradient_of_part(state, stats, part), state.batch_stats, batch, config.train.accumulate
        )
        loss, diagnostics, gradient = parallel.mean_across_devices(means)
        metrics = {"loss": loss, "grad_norm": length(gradient), **diagnostics}
        if config.optimizer.clip_norm > 0:
            gradient = clip_gradient(gradient, metrics["grad_norm"], config.optimizer.clip_norm)
        after = update_if_finite(metrics, state, update, gradient, batch_stats)
        if config.trains_camera:
            metrics["focal_factor"] = jnp.exp(after.params["camera"]["log_focal"])
        return after, metrics

    return step


def mean_over_parts(of_part: Callable[[Any, Any], tuple[Any, Any]], carried: Any, batch: Any, parts: int) -> tuple[Any, Any]:
    """Returns the mean of what a function makes of equal parts of a batch, one after the other, in the memory of one part.

    Args:
      of_part: (carried, part of the batch) -> (values, carried on).
      carried: What goes from part to part, such as running statistics.
      batch: Arrays with a common leading axis.
      parts: How many.

    Returns:
      The mean values, and what the last part carried on.

    Raises:
      UserError: The batch cannot be divided into so many.
    """
    if parts == 1:
        return of_part(carried, batch)
    size = len(next(iter(batch.values())))
    if size % parts:
        raise UserError(f"config.train.accumulate is {parts}: expected a divisor of a device's {size} snippets of a batch")
    of_batch = jax.tree.map(lambda array: array.reshape(parts, size // parts, *array.shape[1:]), batch)
    values, _ = jax.eval_shape(of_part, carried, jax.tree.map(lambda array: array[0], of_batch))

    def add(sums_and_carried, part):
        sums, carried = sums_and_carried
        values, carried = of_part(carried, part)
        return (jax.tree.map(jnp.add, sums, values), carried), None

    zeros = jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), values)
    (sums, carried), _ = jax.lax.scan(add, (zeros, carried), of_batch)
    return jax.tree.map(lambda value: value / parts, sums), carried


def rematerialised(objective: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the same function, of which the backward pass keeps the results of convolutions and products alone.

    The rest (activations, normalisation, enlarged features, warped images, windows of SSIM) is computed a second time. XLA's
    CPU compiler undoes it.

    Args:
      objective: Any function that JAX differentiates.
    """

    def is_kept(primitive: jax.extend.core.Primitive, *_: Any, **__: Any) -> bool:
        return primitive.name in ("conv_general_dilated", "dot_general")

    return jax.checkpoint(objective, policy=is_kept)


def length(gradient: Any) -> jax.Array:
    """Returns the Euclidean norm of all arrays together; Optax's also looks for imaginary parts, for more operations."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient)))


def clip_gradient(gradient: Any, norm: jax.Array, longest: float) -> Any:
    """Returns a gradient, given with its norm, in the same direction and at most so long."""
    factor = jnp.minimum(1, longest / norm)
    return jax.tree.map(lambda leaf: factor * leaf, gradient)


def _average(averaged: Any, params: Any, step: jax.Array, keep: float) -> Any:
    """The exponential mean of parameters; over the first steps it reaches back to a tenth of them at most."""
    keep = jnp.minimum(keep, (1 + step) / (10 + step))
    return jax.tree.map(lambda mean, now: keep * mean + (1 - keep) * now, averaged, params) if averaged else averaged


def cast_kernels(precision: str, variables: Any) -> Any:
    """Casts the kernels of networks, which makes the networks compute in that precision.

    Args:
      precision: "float32" or "bfloat16".
      variables: Arrays in a tree. Those of one axis (biases, scales, statistics, a mean motion) stay as they are.

    Returns:
      The same tree.
    """
    return jax.tree.map(lambda array: array.astype(precision) if array.ndim > 1 else array, variables)


def _depth_pose_objective(config: Config):
    def objective(params: Any, batch_stats: Any, frozen: Any, batch: dict[str, jax.Array]):
        networks = build_networks(config.model, parallel.shared_axis())
        variables = network_variables(params, batch_stats)
        batch = batch | {"intrinsics": learned_intrinsics(variables, batch["intrinsics"])}
        if config.loss.needs_known_depth:
            known_network = cast_kernels(config.train.precision, frozen[KNOWN])
            mirrored = config.prediction.mirrored_pass
            known = predict_disparity(networks.depth, known_network, batch["target"], mirrored)
            if config.loss.normalize_all_disparities:  # the unit of the disparity that is trained
                known = losses.max_normalized_disparity(known)
            batch["known_disparity"] = known
        return depth_pose_objective(
            cast_kernels(config.train.precision, params),
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
        params, frozen = cast_kernels(config.train.precision, (params, frozen))
        batch = batch | {"intrinsics": learned_intrinsics(frozen, batch["intrinsics"])}
        seen = batch["target"], batch["sources"], batch["intrinsics"]
        matches = batch["matches"] if config.flow_loss.matched_motion else None
        geometry = geometry_of(frozen, *seen, matches=matches) if geometry_of else None
        loss, diagnostics = flow_objective(params, batch, geometry, flow_net=flow_net, config=config.flow_loss)
        return loss, (batch_stats, diagnostics)

    return objective
