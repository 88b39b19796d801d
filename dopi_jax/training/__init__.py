"""Training: from any iterator of batches to a run's folder of checkpoints, metrics and pictures."""

from dopi_jax.training.checkpoint import Checkpoints
from dopi_jax.training.logging import RunLog
from dopi_jax.training.loop import train
from dopi_jax.training.state import Networks, TrainState, build_networks, create_state, network_variables
from dopi_jax.training.step import train_step
from dopi_jax.training.trained import check_same_run, frozen_variables, initial_variables, restore_variables

__all__ = [
    "Checkpoints",
    "Networks",
    "RunLog",
    "TrainState",
    "build_networks",
    "check_same_run",
    "create_state",
    "frozen_variables",
    "initial_variables",
    "network_variables",
    "restore_variables",
    "train",
    "train_step",
]
