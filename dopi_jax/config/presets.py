"""Variants of a config: the rows of the paper's ablation tables, and the published code's choices."""

from collections.abc import Mapping
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


def apply_variant(config: Config, variant: str) -> Config:
    """Returns a config of phase 1 as the variant after the colon of `--config file.py:variant` wants it.

    The published code's plain mistakes are not reproduced: pixels lost to rounding in the overlap mask (D14), to a wrapped
    index in the blank mask (D15) and at the last row and column (D16), and the mirrored principal point that is off by one
    pixel (D28).

    Args:
      config: A config; changed in place.
      variant: A row of Table II, "basic", "occ", "occ_ltm" or "full", with ",released" appended for the published code's
        choices instead of the paper's. Empty for "full".

    Returns:
      The same config.

    Raises:
      UserError: The variant has another name.
    """
    released = _apply_row(config, variant, ABLATIONS, config.loss)
    if released:
        _release_networks(config)
        config.loss.penalty = "power"  # D2
        config.loss.sum_channels = config.loss.occlusion and not config.loss.less_than_mean  # D6
        config.loss.less_than_mean_factor = 3.0  # D7
        config.loss.mask_inside_penalty = True  # D8
        config.train.best_by = "abs_rel"  # D23
    return config


def apply_flow_variant(config: Config, variant: str) -> Config:
    """Returns a config of phase 2 as the variant after the colon of `--config file.py:variant` wants it.

    Args:
      config: A config; changed in place.
      variant: A row of Table V, named as those of Table II, with ",released" appended for the published code's choices.
        Empty for "full".

    Returns:
      The same config.

    Raises:
      UserError: The variant has another name.
    """
    released = _apply_row(config, variant, FLOW_ABLATIONS, config.flow_loss)
    if released:
        _release_networks(config)
        config.model.flow_bias = "uniform"
        config.flow_loss.penalty = "power"  # D2
        config.flow_loss.sum_channels = True  # D6
        config.flow_loss.mask_inside_penalty = True  # D8
        config.flow_loss.finest_only = True  # D12
        config.flow_loss.consistency_ltm = "none"  # D13
        config.train.best_by = "epe"  # D23
    return config


def _apply_row(config: Config, variant: str, rows: Mapping[str, Mapping[str, Any]], loss: Any) -> bool:
    """Sets the fields of a table's row and the name of the run; says whether the published code's choices are wanted."""
    row, _, preset = variant.partition(",")
    row = row or "full"
    if row not in rows or preset not in ("", "released"):
        raise UserError(
            f"the config's variant is {variant!r}: expected one of {', '.join(rows)}, "
            "each optionally followed by ',released'"
        )
    for name, value in rows[row].items():
        setattr(loss, name, value)
    if row != "full":
        config.name += f"_{row}"
    if preset:
        config.name += "_released"
    return bool(preset)


def _release_networks(config: Config) -> None:
    """What of the published code's phase 1 its phase 2 takes over: the network, and the unit of depth and motion."""
    config.model.depth = "resnet_s6"  # D1
    config.loss.normalize_all_disparities = True  # D9
