"""What a training run carries from step to step, and the step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from dopi_jax.config import Config, ModelConfig, OptimizerConfig
from dopi_jax.models import DepthNet, PoseNet
from dopi_jax.objectives import depth_pose_objective
from dopi_jax.training import parallel

_INIT_SIDE = 128  # pixels; the networks are convolutional, so their parameters do not depend on it


class Networks(NamedTuple):
    """The networks of phase 1."""

    depth: DepthNet
    pose: PoseNet


@struct.dataclass
class TrainState:
    """Everything that a step changes.

    Attributes:
      step: Updates done, int32.
      params: {"depth": ..., "pose": ...}.
      batch_stats: {"depth": ...}, running statistics of batch normalisation.
      opt_state: Adam's moments.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any


def build_networks(model: ModelConfig, axis_name: str | None = None) -> Networks:
    """Returns the networks that a config names.

    Args:
      model: The config's section.
      axis_name: Axis over which batch statistics are averaged; `parallel.AXIS` in a train step, else None.

    Returns:
      `Networks`.
    """
    return Networks(DepthNet(model.depth, axis_name=axis_name), PoseNet(num_refs=2, variant=model.pose))


def build_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Returns Adam, for a training of so many steps (paper section IV-B, D29)."""
    rate = optax.piecewise_constant_schedule(config.learning_rate, {round(config.decay_after * steps): 0.1})
    return optax.adam(rate, b1=config.beta1, b2=config.beta2, eps=config.epsilon)


def create_state(config: Config) -> TrainState:
    """Returns the state at step 0, decided by `config.train.seed` and the kind of device."""
    networks = build_networks(config.model)
    optimizer = build_optimizer(config.optimizer, config.train.steps)

    @jax.jit
    def create(key):
        depth_key, pose_key = jax.random.split(key)
        image = jnp.zeros((1, _INIT_SIDE, _INIT_SIDE, 3))
        depth = networks.depth.init(depth_key, image, train=True)
        pose = networks.pose.init(pose_key, image, [image, image])
        params = {"depth": depth["params"], "pose": pose["params"]}
        stats = {"depth": depth["batch_stats"]}
        return TrainState(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params))

    # Of JAX's generators the one that compiles in seconds; the default takes half a minute for the large networks.
    return create(jax.random.key(config.train.seed, impl="rbg"))


def depth_pose_step(config: Config):
    """Returns the train step of phase 1: (state, batch) -> (state, metrics), for one device's share of the batch."""
    networks = build_networks(config.model, parallel.AXIS)
    optimizer = build_optimizer(config.optimizer, config.train.steps)

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        gradient_of = jax.value_and_grad(depth_pose_objective, has_aux=True)
        (loss, (batch_stats, diagnostics)), gradient = gradient_of(
            state.params,
            state.batch_stats,
            batch,
            depth_net=networks.depth,
            pose_net=networks.pose,
            rotation=config.model.rotation,
            config=config.loss,
        )
        loss, diagnostics, gradient = parallel.mean_across_devices((loss, diagnostics, gradient))
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradient), **diagnostics}
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return step
