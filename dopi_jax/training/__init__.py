"""Training: from any iterator of batches to a run's folder of checkpoints, metrics and pictures."""

from dopi_jax.training.checkpoint import Checkpoints
from dopi_jax.training.logging import RunLog
from dopi_jax.training.loop import train
from dopi_jax.training.state import TrainState, create_state
from dopi_jax.training.step import train_step
from dopi_jax.training.trained import check_same_run, frozen_variables, initial_variables, restore_variables

__all__ = [
    "Checkpoints",
    "RunLog",
    "TrainState",
    "check_same_run",
    "create_state",
    "frozen_variables",
    "initial_variables",
    "restore_variables",
    "train",
    "train_step",
]
