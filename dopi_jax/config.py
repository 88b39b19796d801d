"""Every hyper-parameter, once: its default, its unit, and where it comes from.

The defaults are the paper's, at the paper's size. A file in configs/ changes the few values that make its experiment, and
`--config.section.field=value` changes one more. "D" numbers name the places where the paper's text and the published code
differ; docs/paper_and_code.md lists them. `released()` turns a config into what the published code does.
"""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field
from typing import Any

from dopi_jax.errors import UserError


@dataclass
class DataConfig:
    """Where frames come from and what is done to them."""

    root: str = ""  # folder with kitti_raw/ and so on; empty: the environment variable DOPI_DATA
    train: tuple[str, ...] = ("kitti_raw:eigen",)  # selections "set:which[from:to]", see dopi_jax.data.select
    validation: tuple[str, ...] = ("kitti_raw:eigen_val",)
    pose_test: tuple[str, ...] = ("kitti_odometry:09", "kitti_odometry:10")  # sequences that --task pose evaluates
    height: int = 256  # pixels
    width: int = 832
    augment: bool = True  # flip and scale-crop
    cache: bool = True  # keep decoded frames in memory if all of them fit into 4 GiB


@dataclass
class ModelConfig:
    """The networks."""

    depth: str = "resnet6"  # "resnet6" | "resnet_s6" | "small" (D1)
    pose: str = "b6"  # "b6" | "small"
    rotation: str = "euler"  # "euler" | "quaternion" | "so3"


@dataclass
class LossConfig:
    """The objective of phase 1: depth and pose (paper eq. 13)."""

    reconstruction: float = 1.0  # weight w_R
    smoothness: float = 0.2  # weight w_S
    scales: int = 1  # disparities trained on, finest first, each against images of its size (D11)
    occlusion: bool = True  # multiply by the masks of eq. 5 ("Occ")
    occlusion_tolerance: float = 0.0  # relative depth difference within one surface; 0 is the paper's rule
    occlusion_rounds: int = 1  # mutual projections (Remark 1)
    less_than_mean: bool = True  # multiply by the mask of eq. 6 ("LTM")
    smoothness_normalization: str = "max"  # "max" (eq. 9, "MN") | "mean" (the baseline of Fig. 10)
    ssim_weight: float = 0.85  # 1 - lambda_sigma of eq. 3
    penalty: str = "charbonnier"  # "charbonnier" | "power" (D2)
    sum_channels: bool = False  # add the error over channels instead of averaging it (D6)
    less_than_mean_factor: float = 1.0  # times the mean; 3 is about what the published code does (D7)
    mask_inside_penalty: bool = False  # masked pixels add the constant rho(0), without gradient (D8)
    normalize_all_disparities: bool = False  # divide disparity by its maximum before everything, not in smoothness only (D9)


@dataclass
class OptimizerConfig:
    """Adam, at a constant rate in the paper."""

    learning_rate: float = 1e-4  # D29
    decay_after: float = 1.0  # share of the steps after which the rate is divided by 10; 1: never, as in the paper
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass
class TrainConfig:
    """The schedule, and what is written when; all periods in steps."""

    steps: int = 186_813  # Table II, the full row
    batch_size: int = 4  # snippets over all devices
    seed: int = 0
    log_every: int = 50
    image_every: int = 1_000
    validate_every: int = 1_000
    validation_batches: int = 50  # at most, spread evenly over the validation snippets
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 3  # the last ones; the best by validation is kept besides
    best_by: str = "photometric"  # "photometric" | "abs_rel" (needs lidar in the validation drives) (D23)


@dataclass
class Config:
    """One experiment."""

    name: str = "kitti_depthpose"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


ABLATIONS = {
    "basic": {"occlusion": False, "less_than_mean": False, "smoothness_normalization": "mean"},
    "occ": {"occlusion": True, "less_than_mean": False, "smoothness_normalization": "mean"},
    "occ_ltm": {"occlusion": True, "less_than_mean": True, "smoothness_normalization": "mean"},
    "full": {"occlusion": True, "less_than_mean": True, "smoothness_normalization": "max"},
}
"""The rows of Table II. The paper does not say how smoothness is normalised before the last; the mean is usual."""


def apply_variant(config: Config, variant: str) -> Config:
    """Returns the config as the variant after the colon of `--config file.py:variant` wants it.

    Args:
      config: A config; changed in place.
      variant: A row of Table II, "basic", "occ", "occ_ltm" or "full", with ",released" appended for the published code's
        choices instead of the paper's. Empty for "full".

    Returns:
      The same config.

    Raises:
      UserError: The variant has another name.
    """
    row, _, preset = variant.partition(",")
    row = row or "full"
    if row not in ABLATIONS or preset not in ("", "released"):
        raise UserError(
            f"the config's variant is {variant!r}: expected one of {', '.join(ABLATIONS)}, "
            "each optionally followed by ',released'"
        )
    for name, value in ABLATIONS[row].items():
        setattr(config.loss, name, value)
    if row != "full":
        config.name += f"_{row}"
    return released(config) if preset else config


def released(config: Config) -> Config:
    """Returns the config with the published code's effective choices where they differ from the paper's.

    Its plain mistakes are not reproduced: pixels lost to rounding in the overlap mask (D14), to a wrapped index in the blank
    mask (D15) and at the last row and column (D16), and the mirrored principal point that is off by one pixel (D28).

    Args:
      config: A config; changed in place.

    Returns:
      The same config.
    """
    config.name += "_released"
    config.model.depth = "resnet_s6"  # D1
    config.loss.penalty = "power"  # D2
    config.loss.sum_channels = config.loss.occlusion and not config.loss.less_than_mean  # D6
    config.loss.less_than_mean_factor = 3.0  # D7
    config.loss.mask_inside_penalty = True  # D8
    config.loss.normalize_all_disparities = True  # D9
    config.train.best_by = "abs_rel"  # D23
    return config


def check(config: Config) -> None:
    """Refuses a config that cannot be run.

    Args:
      config: A config.

    Raises:
      UserError: A field has the wrong type or a value out of range; the sentence names it.
    """
    _check_types(config, "config")
    _check_choice("model.depth", config.model.depth, ("resnet6", "resnet_s6", "small"))
    _check_choice("model.pose", config.model.pose, ("b6", "small"))
    _check_choice("model.rotation", config.model.rotation, ("euler", "quaternion", "so3"))
    _check_choice("loss.penalty", config.loss.penalty, ("charbonnier", "power"))
    _check_choice("loss.smoothness_normalization", config.loss.smoothness_normalization, ("max", "mean"))
    _check_choice("train.best_by", config.train.best_by, ("photometric", "abs_rel"))
    positive = {
        "data.height": config.data.height,
        "data.width": config.data.width,
        "loss.scales": config.loss.scales,
        "loss.occlusion_rounds": config.loss.occlusion_rounds,
        "optimizer.learning_rate": config.optimizer.learning_rate,
        **{f"train.{f.name}": getattr(config.train, f.name) for f in dataclasses.fields(TrainConfig) if f.type is int},
    }
    for name, value in positive.items():
        if not 0 < value < math.inf and name != "train.seed":  # NaN too
            raise UserError(f"config.{name} is {value}: expected more than 0")
    _check_scales(config)


def _check_scales(config: Config) -> None:
    """Sides must halve evenly down to the coarsest scale, and the network must predict it."""
    available = {"resnet6": 6, "resnet_s6": 6, "small": 5}[config.model.depth]
    if config.loss.scales > available:
        raise UserError(f"config.loss.scales is {config.loss.scales}: depth network {config.model.depth!r} has {available}")
    factor = 2 ** (config.loss.scales - 1)
    for side in ("height", "width"):
        if getattr(config.data, side) % factor:
            raise UserError(
                f"config.data.{side} is {getattr(config.data, side)}: expected a multiple of {factor}, "
                f"which {config.loss.scales} scales (config.loss.scales) halve down to"
            )


def field_types(section: type = Config, prefix: str = "") -> dict[str, type]:
    """Returns the type of every field of a config by dotted name, such as "optimizer.learning_rate"."""
    types = {}
    for name, kind in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(kind):
            types |= field_types(kind, f"{prefix}{name}.")
        else:
            types[prefix + name] = typing.get_origin(kind) or kind
    return types


def to_json(config: Config) -> str:
    """Returns the config as JSON text, for the run's folder."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Returns the config that `to_json` wrote.

    Args:
      text: JSON text.

    Returns:
      A config. Fields that the text lacks have their defaults.

    Raises:
      UserError: The text has fields that no config has, or is not JSON.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"the stored config is not JSON ({error}): start the run in a new folder") from error
    config = Config()
    _fill(config, values, "config")
    return config


def _fill(section: Any, values: dict, path: str) -> None:
    if not isinstance(values, dict):
        raise UserError(f"the stored config has {values!r} for {path}, expected its fields: start the run in a new folder")
    known = {f.name for f in dataclasses.fields(section)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f"the stored config has the field {path}.{name}, which this version of dopi_jax does not know")
        current = getattr(section, name)
        if dataclasses.is_dataclass(current):
            _fill(current, value, f"{path}.{name}")
        else:
            setattr(section, name, tuple(value) if isinstance(current, tuple) else value)


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


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"config.{name} is {value!r}: expected one of {', '.join(choices)}")
