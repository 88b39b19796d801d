"""Variants of a config: the rows of the paper's ablation tables, and the published code's choices."""

from collections.abc import Callable, Mapping
from typing import Any

from dopi_jax.config.fields import Config
from dopi_jax.errors import UserError

ABLATIONS = {
    "basic": {"occlusion": False, "less_than_mean": False, "smoothness_normalization": "mean"},
    "occ": {"occlusion": True, "less_than_mean": False, "smoothness_normalization": "mean"},
    "occ_ltm": {"occlusion": True, "less_than_mean": True, "smoothness_normalization": "mean"},
    "full": {"occlusion": True, "less_than_mean": True, "smoothness_normalization": "max"},
}
"""The rows of Table II. The paper does not say how smoothness is normalised before the last; the mean is usual."""

FLOW_ABLATIONS = {
    "basic": {"occlusion": False, "less_than_mean": False, "consistency": 0.0},
    "occ": {"occlusion": True, "less_than_mean": False, "consistency": 0.0},
    "occ_ltm": {"occlusion": True, "less_than_mean": True, "consistency": 0.0},
    "full": {"occlusion": True, "less_than_mean": True},
}
"""The rows of Table V."""


def apply_variant(config: Config, variant: str, default: str = "full") -> Config:
    """Returns a config of phase 1 as the variant after the colon of `--config file.py:variant` wants it.

    The published code's plain mistakes are not reproduced: pixels lost to rounding in the overlap mask (D14), to a wrapped
    index in the blank mask (D15) and at the last row and column (D16), and the mirrored principal point that is off by one
    pixel (D28).

    Args:
      config: A config; changed in place.
      variant: A row of Table II, "basic", "occ", "occ_ltm" or "full", with ",released" appended for the published code's
        choices instead of the paper's, or ",modern" for what later methods do, with the row's masks. Empty for the default.
      default: What an empty variant stands for.

    Returns:
      The same config.

    Raises:
      UserError: The variant has another name.
    """
    _apply_row(config, variant, default, ABLATIONS, config.loss, {"released": _release, "modern": _modernise})
    return config


def apply_flow_variant(config: Config, variant: str, default: str = "full") -> Config:
    """Returns a config of phase 2 as the variant after the colon of `--config file.py:variant` wants it.

    Args:
      config: A config; changed in place.
      variant: A row of Table V, named as those of Table II, with ",released" appended for the published code's choices, or
        ",modern" for what later methods do. Empty for the default.
      default: What an empty variant stands for.

    Returns:
      The same config.

    Raises:
      UserError: The variant has another name.
    """
    presets = {"released": _release_flow, "modern": _modernise_flow}
    _apply_row(config, variant, default, FLOW_ABLATIONS, config.flow_loss, presets)
    return config


def _apply_row(
    config: Config,
    variant: str,
    default: str,
    rows: Mapping[str, Mapping[str, Any]],
    loss: Any,
    presets: Mapping[str, Callable[[Config], None]],
) -> None:
    """Sets the fields of a table's row and of a preset, and the name of the run."""
    row, comma, preset = (variant or default).partition(",")
    row = row or default.partition(",")[0]
    if row not in rows or (comma and preset not in presets):
        raise UserError(
            f"the config's variant is {variant!r}: expected one of {', '.join(rows)}, each optionally followed by "
            + " or ".join(f"',{name}'" for name in presets)
        )
    for name, value in rows[row].items():
        setattr(loss, name, value)
    if preset:
        presets[preset](config)
    if (row, preset) != tuple(default.partition(",")[::2]):
        config.name += "".join(f"_{part}" for part in (row, preset) if part not in ("", default))


def _modernise(config: Config) -> None:
    """What monodepth2, SC-SfMLearner and their followers do in place of, or beside, the paper's rules."""
    config.loss.per_pixel_minimum = config.loss.auto_mask = config.loss.full_size = True
    config.loss.smoothness_normalization = "mean"
    config.loss.smoothness = 0.004
    config.loss.scales = 3
    config.data.colour_jitter = 0.2
    config.data.splice = True
    config.train.average = 0.995
    config.prediction.mirrored_pass = True


def _modernise_flow(config: Config) -> None:
    """What UnFlow, UFlow, SMURF and their followers do in place of the paper's error, masks and smoothness."""
    loss = config.flow_loss
    loss.census = True
    loss.less_than_mean = False
    loss.smoothness, loss.smoothness_order, loss.smoothness_sharpness = 0.4, 2, 75.0
    if config.model.flow == "lite":  # the others predict no flow back from the sources
        loss.students = 0.3
        if loss.occlusion:
            loss.occlusion_rule = "forward_backward"
    loss.matched_flow = 0.1
    loss.matched_motion = True
    config.data.colour_jitter = 0.2


def _release(config: Config) -> None:
    """The choices of the published code."""
    _release_networks(config)
    config.loss.penalty = "power"  # D2
    config.loss.sum_channels = config.loss.occlusion and not config.loss.less_than_mean  # D6
    config.loss.less_than_mean_factor = 3.0  # D7
    config.loss.mask_inside_penalty = True  # D8
    config.train.best_by = "abs_rel"  # D23


def _release_flow(config: Config) -> None:
    """The choices of the published code's phase 2."""
    _release_networks(config)
    config.model.flow_bias = "uniform"
    config.flow_loss.penalty = "power"  # D2
    config.flow_loss.sum_channels = True  # D6
    config.flow_loss.mask_inside_penalty = True  # D8
    config.flow_loss.finest_only = True  # D12
    config.flow_loss.consistency_ltm = "none"  # D13
    config.train.best_by = "epe"  # D23


def _release_networks(config: Config) -> None:
    """What of the published code's phase 1 its phase 2 takes over: the network, and the unit of depth and motion."""
    config.model.depth = "resnet_s6"  # D1
    config.loss.normalize_all_disparities = True  # D9
