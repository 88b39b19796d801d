"""Steps whose loss or gradient is not finite: they change no parameter, and are counted and reported."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax.errors import UserError
from dopi_jax.training import parallel
from dopi_jax.training.state import TrainState


def update_if_finite(
    metrics: Mapping[str, jax.Array], state: TrainState, update: Callable[..., TrainState], *given: Any
) -> TrainState:
    """Returns the state after a step: updated, or only one step on if loss or gradient are not finite.

    It is a branch inside the compiled step, and a finite step gives what it would give without, bit for bit. To select each
    array from the new state or the old one would take longer, 4 % on a CPU: the old ones could not be overwritten.

    Args:
      metrics: `loss` and `grad_norm`, the same on all devices.
      state: The state that the step started from.
      update: (state, *given) -> state; sees no frozen variables. There is no talk between devices inside.
      *given: The gradient, and what else the update needs.

    Returns:
      The state; nothing in it is of a broken step.
    """
    is_finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
    after = jax.lax.cond(is_finite, update, lambda state, *_: state, state.replace(frozen={}), *given)
    return after.replace(step=state.step + 1, frozen=state.frozen)


class BadSteps:
    """Counts the skipped steps of a training, keeps the batch of the first, and ends a training that does not recover.

    Every step is looked at while the devices work on the one after it, so that they never wait.

    Attributes:
      count: Steps skipped so far.
    """

    def __init__(self, workdir: pathlib.Path, most_in_a_row: int, warn: Callable[[int, str], None], count: int = 0):
        """Begins to count, or goes on.

        Args:
          workdir: The run's folder.
          most_in_a_row: As many skipped steps one after the other end the training.
          warn: Tells a sentence about a step.
          count: Steps that the run skipped before this start.
        """
        self.count = count
        self._workdir = workdir
        self._most_in_a_row = most_in_a_row
        self._in_a_row = 0
        self._warn = warn
        self._unseen = None
        self._batch_in = ""

    def check(self, step: int, metrics: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> None:
        """Checks the previous step, while the devices work on this one.

        Args:
          step: Its number.
          metrics: `loss` and `grad_norm` of this step.
          batch: What it was done on.

        Raises:
          UserError: It is one skipped step too many.
        """
        self.check_last()
        self._unseen = step, metrics, batch

    def check_last(self) -> None:
        """Checks the last step; waits for it."""
        if self._unseen is None:
            return
        (step, metrics, batch), self._unseen = self._unseen, None
        loss, grad_norm = jax.device_get((metrics["loss"], metrics["grad_norm"]))
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self._in_a_row = 0
            return
        self.count += 1
        self._in_a_row += 1
        found = f"the loss is {loss} and the gradient's norm {grad_norm} at step {step}"
        if not self._batch_in and self.count > 1:
            self._batch_in = f"the first such batch is in {self._workdir}"  # of an earlier start, which told it
        elif not self._batch_in:
            self._batch_in = self._keep(step, batch)
            self._warn(step, f"{found}, which is skipped: {self._batch_in}; metrics count such steps as bad_steps")
        if self._in_a_row >= self._most_in_a_row:
            raise UserError(
                f"{found}, number {self._in_a_row} of such steps in a row (config.train.max_bad_steps): {self._batch_in}; "
                "if its frames are good, go on from the last checkpoint with a lower config.optimizer.learning_rate"
            )

    def _keep(self, step: int, batch: Mapping[str, jax.Array]) -> str:
        """Writes the batch, and says where it is."""
        path = self._workdir / f"not_finite_step_{step}.npz"
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, **parallel.merge_devices(batch))
            partial.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            return f"its batch could not be kept ({error.strerror})"
        return f"the batch of step {step} is in {path}"
