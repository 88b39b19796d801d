"""The state of a training: networks, parameters, optimiser."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from dopi_jax.config import Config, OptimizerConfig
from dopi_jax.interop.imagenet import efficientnet_lite0_params
from dopi_jax.networks import build_networks, network_variables
from dopi_jax.training.adam import adam

KNOWN = "known_depth"  # in `TrainState.frozen`: the depth network that a run started from
_ENCODER = "encoder"  # the name of what can be pretrained, in the parameters of a network
_INIT_SIDE = 128  # pixels; the networks are convolutional, so their parameters do not depend on it
# Adam moves a parameter by its rate at most, whatever the gradient: at the networks' 5e-4, a focal length that is 30 % off
# would need 500 steps that all agree.
_FOCAL_RATE = 10  # times the networks' rate


@struct.dataclass
class TrainState:
    """Everything that a step needs besides its batch.

    Attributes:
      step: Updates done, int32.
      params: {"depth": ..., "pose": ...} in phase 1, and "camera" if its focal length is learnt; {"flow": ...} in phase 2.
      batch_stats: Running statistics of batch normalisation, {"depth": ...} in phase 1; the flow network has none.
      opt_state: Adam's moments.
      frozen: Variables that no step changes: those of phase 1 in phase 2 where depth and motion enter; in phase 1, where
        depth is held near that of the networks it started from, those of their depth network as `KNOWN`; else {}.
      averaged: The mean of `params` over the last steps where `config.train.average` asks for it, else {}.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    frozen: Any = struct.field(default_factory=dict)
    averaged: Any = struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """Variables by network as they are to be applied: the mean over the last steps where there is one."""
        return network_variables(self.averaged or self.params, self.batch_stats) | self.frozen


def build_optimizer(config: OptimizerConfig, steps: int, trains_camera: bool = False) -> optax.GradientTransformation:
    """Returns Adam, for a training of so many steps (paper section IV-B, D29); some parts have own rates."""
    begin = round(config.decay_after * steps)
    if config.decay == "linear":
        rate = optax.linear_schedule(config.learning_rate, 0.0, transition_steps=steps - begin, transition_begin=begin)
    else:
        rate = optax.piecewise_constant_schedule(config.learning_rate, {begin: 0.1})
    if config.warmup:
        rate = _warmed_up(rate, config.warmup)
    parts = [adam(rate, config.beta1, config.beta2, config.epsilon)]
    if config.encoder_rate != 1:
        parts.append(optax.masked(optax.scale(config.encoder_rate), _is_of_encoder))
    if trains_camera:
        parts.append(optax.masked(optax.scale(_FOCAL_RATE), {"depth": False, "pose": False, "camera": True}))
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def _warmed_up(rate: optax.Schedule, steps: int) -> optax.Schedule:
    return lambda count: rate(count) * jnp.minimum(1, (count + 1) / steps)


def _is_of_encoder(params: Any) -> Any:
    """Says of every parameter whether it is an encoder's, which can be pretrained."""
    return jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.DictKey(_ENCODER) in path, params)


def create_state(
    config: Config, frozen: Any = None, initial: Mapping[str, Any] | None = None, *, pretrained: bool = False
) -> TrainState:
    """Returns the state at step 0, decided by `config.train.seed` and the kind of device.

    Args:
      config: The experiment; its phase says which networks are trained.
      frozen: Variables of the networks that are not.
      initial: Variables by network to start from; those of networks that it lacks start as without.
      pretrained: Whether encoders start from ImageNet weights; a state that is only to be restored needs none.

    Returns:
      The state.

    Raises:
      UserError: The package that carries the pretrained weights is not installed.
    """
    networks = build_networks(config.model)
    optimizer = build_optimizer(config.optimizer, config.train.steps, config.trains_camera)

    @jax.jit
    def create(key):
        image = jnp.zeros((1, _INIT_SIDE, _INIT_SIDE, 3))
        if config.phase == "flow":
            variables = {"flow": networks.flow.init(key, image, [image, image])}
        else:
            depth_key, pose_key = jax.random.split(key)
            variables = {
                "depth": networks.depth.init(depth_key, image, train=True),
                "pose": networks.pose.init(pose_key, image, [image, image]),
            }
            if config.trains_camera:
                variables["camera"] = networks.camera.init(key, jnp.eye(3)[None])
        params = {name: of_network["params"] for name, of_network in variables.items()}
        stats = {name: of_network["batch_stats"] for name, of_network in variables.items() if "batch_stats" in of_network}
        return TrainState(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params))

    # Of JAX's generators the one that compiles in seconds; the default takes half a minute for the large networks.
    state = create(jax.random.key(config.train.seed, impl="rbg")).replace(frozen=frozen or {})
    initial = initial or {}
    state = state.replace(
        params={name: initial[name]["params"] if name in initial else own for name, own in state.params.items()},
        batch_stats={
            name: initial[name]["batch_stats"] if name in initial else own for name, own in state.batch_stats.items()
        },
    )
    if pretrained:
        state = state.replace(params=_with_pretrained_encoders(state.params))
    return state.replace(averaged=jax.tree.map(jnp.copy, state.params)) if config.train.average > 0 else state


def _with_pretrained_encoders(params: dict[str, Any]) -> dict[str, Any]:
    """Replaces the parameters of the networks' encoders, as far as they reach, by the pretrained ones."""
    if not any(_ENCODER in of_network for of_network in params.values()):
        return params
    weights = jax.tree.map(jnp.asarray, efficientnet_lite0_params())
    return {
        name: of_network | {_ENCODER: {block: weights[block] for block in of_network[_ENCODER]}}
        if _ENCODER in of_network
        else of_network
        for name, of_network in params.items()
    }
