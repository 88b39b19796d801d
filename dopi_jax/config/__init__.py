"""Every hyper-parameter of an experiment: its fields and defaults, presets, checks, and the way to disk and back."""

from dopi_jax.config.check import check
from dopi_jax.config.fields import (
    Config,
    DataConfig,
    FlowLossConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PredictionConfig,
    ReconstructionConfig,
    TrainConfig,
    field_types,
)
from dopi_jax.config.presets import ABLATIONS, FLOW_ABLATIONS, apply_flow_variant, apply_variant
from dopi_jax.config.storage import config_beside, find_config_file, from_json, load_config, to_json

__all__ = [
    "ABLATIONS",
    "FLOW_ABLATIONS",
    "Config",
    "DataConfig",
    "FlowLossConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PredictionConfig",
    "ReconstructionConfig",
    "TrainConfig",
    "apply_flow_variant",
    "apply_variant",
    "check",
    "config_beside",
    "field_types",
    "find_config_file",
    "from_json",
    "load_config",
    "to_json",
]
