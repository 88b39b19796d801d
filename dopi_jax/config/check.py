"""What a config must be to be run, told in one sentence where it is not."""

import dataclasses
import math
import typing
from typing import Any

from dopi_jax.config.fields import Config, TrainConfig
from dopi_jax.errors import UserError

_CHOICES = {
    "phase": ("depthpose", "flow"),
    "model.depth": ("resnet6", "resnet_s6", "small", "lite"),
    "model.pose": ("b6", "small", "lite"),
    "model.flow": ("back2future", "small", "lite"),
    "model.flow_bias": ("zero", "uniform"),
    "model.rotation": ("euler", "quaternion", "so3"),
    "optimizer.decay": ("step", "linear"),
    "loss.occlusion_rule": ("projection", "depth_comparison"),
    "flow_loss.occlusion_rule": ("projection", "depth_comparison", "forward_backward"),
    "loss.penalty": ("charbonnier", "power"),
    "loss.smoothness_normalization": ("max", "mean"),
    "flow_loss.penalty": ("charbonnier", "power"),
    "flow_loss.consistency_ltm": ("photometric", "residual", "none"),
    "train.precision": ("float32", "bfloat16"),
}
_BEST_BY = {"depthpose": ("photometric", "latest", "abs_rel"), "flow": ("photometric", "latest", "epe")}
_FLOW_MULTIPLE = 64  # the pyramid flow networks halve their input six times
_LITE_FLOW_MULTIPLE = 4  # its losses, at three scales
_LITE_MULTIPLE = 32


def check(config: Config) -> None:
    """Refuses a config that cannot be run.

    Args:
      config: A config.

    Raises:
      UserError: A field has the wrong type or a value out of range; the sentence names it.
    """
    _check_types(config, "config")
    for name, choices in _CHOICES.items():
        _check_choice(config, name, choices)
    _check_choice(config, "train.best_by", _BEST_BY[config.phase])
    if config.optimizer.encoder_rate < 0 or not math.isfinite(config.optimizer.encoder_rate):
        raise UserError(f"config.optimizer.encoder_rate is {config.optimizer.encoder_rate}: expected a factor, 0 or more")
    positive = {
        "data.height": config.data.height,
        "data.width": config.data.width,
        "loss.scales": config.loss.scales,
        "loss.occlusion_rounds": config.loss.occlusion_rounds,
        "flow_loss.occlusion_rounds": config.flow_loss.occlusion_rounds,
        "optimizer.learning_rate": config.optimizer.learning_rate,
        **{f"train.{f.name}": getattr(config.train, f.name) for f in dataclasses.fields(TrainConfig) if f.type is int},
    }
    for name, value in positive.items():
        if not 0 < value < math.inf and name != "train.seed":  # NaN too
            raise UserError(f"config.{name} is {value}: expected more than 0")
    if not 0 <= config.flow_loss.shown_rigid <= 1:
        raise UserError(f"config.flow_loss.shown_rigid is {config.flow_loss.shown_rigid}: expected a share, from 0 to 1")
    shares = {"train.average": config.train.average, "data.colour_jitter": config.data.colour_jitter}
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise UserError(f"config.{name} is {value}: expected 0 or more and less than 1")
    weights = {
        "loss": ("consistency", "vehicle_motion", "matched_motion", "matched_depth", "distillation"),
        "flow_loss": ("students", "matched_flow", "smoothness_sharpness"),
    }
    for section, names in weights.items():
        for name in names:
            value = getattr(getattr(config, section), name)
            if not 0 <= value < math.inf:
                raise UserError(f"config.{section}.{name} is {value}: expected 0 or more")
    if config.flow_loss.smoothness_order not in (1, 2):
        raise UserError(f"config.flow_loss.smoothness_order is {config.flow_loss.smoothness_order}: expected 1 or 2")
    if config.loss.distillation > 0 and not config.init_from:
        raise UserError(
            "config.loss.distillation holds depth near that of the networks that config.init_from names, which is empty: "
            "name a run or model, or add --config.loss.distillation=0"
        )
    if config.model.pose_refinements < 0:
        raise UserError(f"config.model.pose_refinements is {config.model.pose_refinements}: expected 0 or more")
    if not 0 <= config.data.max_bad_frames <= 1:
        raise UserError(f"config.data.max_bad_frames is {config.data.max_bad_frames}: expected a share, from 0 to 1")
    if not 0 <= config.data.field_of_view < 180:
        raise UserError(f"config.data.field_of_view is {config.data.field_of_view}: expected degrees, or 0 if unknown")
    if not 0 <= config.data.camera_height < math.inf:
        raise UserError(f"config.data.camera_height is {config.data.camera_height}: expected metres, or 0 if unknown")
    if config.data.stride < 0:
        raise UserError(f"config.data.stride is {config.data.stride}: expected 1 or more, or 0 to measure it")
    if not 0 <= config.optimizer.decay_after <= 1:
        found = config.optimizer.decay_after
        raise UserError(f"config.optimizer.decay_after is {found}: expected a share of the steps, from 0 to 1")
    if "lite" in (config.model.depth, config.model.pose):
        _check_multiple(config, _LITE_MULTIPLE, 'the networks "lite" halve')
    if config.phase == "depthpose":
        _check_scales(config)
    elif config.model.flow == "lite":
        _check_multiple(config, _LITE_FLOW_MULTIPLE, 'the scales of flow network "lite" halve')
    else:
        _check_multiple(config, _FLOW_MULTIPLE, "the flow network halves")
        if config.flow_loss.needs_returning_flow or config.flow_loss.shown_rigid > 0:
            raise UserError(
                'config.flow_loss.students, shown_rigid and occlusion_rule "forward_backward" are for the flow network '
                f"'lite' alone, but config.model.flow is {config.model.flow!r}"
            )


def _check_scales(config: Config) -> None:
    """Sides must halve evenly down to the coarsest scale, and the network must predict it."""
    available = {"resnet6": 6, "resnet_s6": 6, "small": 5, "lite": 5}[config.model.depth]
    if config.loss.scales > available:
        raise UserError(f"config.loss.scales is {config.loss.scales}: depth network {config.model.depth!r} has {available}")
    factor = 2 ** (config.loss.scales - 1)
    for side in ("height", "width"):
        if getattr(config.data, side) % factor:
            raise UserError(
                f"config.data.{side} is {getattr(config.data, side)}: expected a multiple of {factor}, "
                f"which {config.loss.scales} scales (config.loss.scales) halve down to"
            )


def _check_multiple(config: Config, multiple: int, who_halves: str) -> None:
    for side in ("height", "width"):
        value = getattr(config.data, side)
        if value % multiple:
            near = max(multiple, round(value / multiple) * multiple)
            raise UserError(
                f"config.data.{side} is {value}: expected a multiple of {multiple}, which {who_halves} down to single "
                f"cells, such as {near}"
            )


def _check_types(section: Any, path: str) -> None:
    for name, kind in typing.get_type_hints(type(section)).items():
        value = getattr(section, name)
        where = f"{path}.{name}"
        if dataclasses.is_dataclass(value):
            _check_types(value, where)
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            setattr(section, name, float(value))
        elif typing.get_origin(kind) is tuple:
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise UserError(f"{where} is {value!r}: expected a tuple of strings, such as \"('kitti_raw:eigen',)\"")
        elif not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise UserError(f"{where} is {value!r}: expected {kind.__name__}")


def _check_choice(config: Config, name: str, choices: tuple[str, ...]) -> None:
    value = config
    for part in name.split("."):
        value = getattr(value, part)
    if value not in choices:
        raise UserError(f"config.{name} is {value!r}: expected one of {', '.join(choices)}")
