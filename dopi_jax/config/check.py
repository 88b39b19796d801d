"""What a config must be to be run, told in one sentence where it is not."""

import dataclasses
import difflib
import re
import typing
from typing import Any

from dopi_jax.config.fields import Config
from dopi_jax.config.ranges import allowed_in
from dopi_jax.errors import UserError

_BEST_BY = {"depthpose": ("photometric", "latest", "abs_rel"), "flow": ("photometric", "latest", "epe")}
_SCALES = {"resnet6": 6, "resnet_s6": 6, "lite": 5}  # that a depth network predicts
_FLOW_MULTIPLE = 64  # "back2future" halves its input six times
_LITE_FLOW_MULTIPLE = 4  # its losses, at three scales
_LITE_MULTIPLE = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(config: Config) -> None:
    """Refuses a config that cannot be run.

    Args:
      config: A config; a whole number in a field of type float becomes a float.

    Raises:
      UserError: A field is unknown, has the wrong type or a value that it does not allow, or does not go with another; the
        sentence names it.
    """
    check_types(config)
    _check_allowed(config, "config")
    if not config.data.train:
        raise UserError(
            "config.data.train is (): expected at least one selection to train on, such as \"('kitti_raw:eigen',)\""
        )
    _check_schedule(config)
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


def check_types(section: Any, path: str = "config") -> None:
    """Refuses a section with values of a wrong type, or with fields that no config has.

    Args:
      section: A config, or a part of one; a whole number in a field of type float becomes a float.
      path: Its name in messages.

    Raises:
      UserError: There is such a field; the sentence names it.
    """
    kinds = typing.get_type_hints(type(section))
    for name in vars(section):  # a config file may assign to any name
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            hint = f"the nearest is {path}.{near[0]}" if near else f"expected one of {', '.join(kinds)}"
            raise UserError(f"{path}.{name} is set, but no config has this field: {hint}")
    for name, kind in kinds.items():
        _check_type(section, name, kind, f"{path}.{name}")


def _check_type(section: Any, name: str, kind: Any, where: str) -> None:
    value = getattr(section, name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            setattr(section, name, float(value))
        except OverflowError:
            raise UserError(f"{where} is {_shown(value)}: expected float") from None
    elif typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise UserError(f"{where} is {value!r}: expected a tuple of strings, such as \"('kitti_raw:eigen',)\"")
    elif not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise UserError(f"{where} is {_shown(value)}: expected {kind.__name__}")
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and _CONTROL.search(text):
            raise UserError(f"{where} is {text!r}: expected text without control characters")
    if dataclasses.is_dataclass(kind):
        check_types(value, where)


def _check_allowed(section: Any, path: str) -> None:
    allowed = allowed_in(type(section))
    for name, value in vars(section).items():
        if dataclasses.is_dataclass(value):
            _check_allowed(value, f"{path}.{name}")
        elif name in allowed and value not in allowed[name]:
            raise UserError(f"{path}.{name} is {_shown(value)}: expected {allowed[name]}")


def _shown(value: Any) -> str:
    """What a field holds; Python refuses to write numbers of more than 4300 digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


def _check_schedule(config: Config) -> None:
    best_by, optimizer, steps = _BEST_BY[config.phase], config.optimizer, config.train.steps
    if config.train.best_by not in best_by:
        raise UserError(
            f"config.train.best_by is {config.train.best_by!r}: expected one of {', '.join(best_by)} in phase "
            f"{config.phase!r}"
        )
    if optimizer.decay == "linear" and round(optimizer.decay_after * steps) >= steps:
        raise UserError(
            f"config.optimizer.decay is 'linear', but decay_after is {optimizer.decay_after}, which leaves none of the "
            f"{steps} steps for the learning rate to fall in: expected a smaller share, such as "
            "--config.optimizer.decay_after=0 for a fall from the first step to the last"
        )


def _check_scales(config: Config) -> None:
    """Sides must halve evenly down to the coarsest scale, and the network must predict it."""
    available = _SCALES[config.model.depth]
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
