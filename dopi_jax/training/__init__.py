"""Training: from any iterator of batches to a run's folder of checkpoints, metrics and pictures."""

from dopi_jax.training.checkpoint import Checkpoints, restore_variables
from dopi_jax.training.logging import RunLog
from dopi_jax.training.loop import train
from dopi_jax.training.state import Networks, TrainState, build_networks, create_state

__all__ = [
    "Checkpoints",
    "Networks",
    "RunLog",
    "TrainState",
    "build_networks",
    "create_state",
    "restore_variables",
    "train",
]
