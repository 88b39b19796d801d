"""Steps whose loss or gradient is not finite: inside a step they change nothing, outside they are counted and told."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax.errors import UserError
from dopi_jax.training import parallel
from dopi_jax.training.state import TrainState


def skip_if_not_finite(metrics: Mapping[str, jax.Array], before: TrainState, after: TrainState) -> TrainState:
    """Returns the state after a step, which is that before it, one step on, if loss or gradient are not finite.

    It is a selection inside the compiled step, not a branch around it: the devices do not wait for anyone to look, and a
    finite step gives what it would give without.

    Args:
      metrics: `loss` and `grad_norm`, the same on all devices.
      before: The state that the step started from.
      after: What the step made of it.

    Returns:
      The state; nothing in it is of the broken step.
    """
    is_finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
    unchanged = {"step": after.step, "frozen": after.frozen}
    selected = jax.tree.map(
        lambda old, new: jax.lax.select(is_finite, new, old), before.replace(**unchanged), after.replace(**unchanged)
    )
    return selected.replace(**unchanged)


class BadSteps:
    """Counts the skipped steps of a training, keeps the first one's batch, and ends what does not recover.

    Every step is looked at while the devices work on the one after it, so that they never wait.

    Attributes:
      count: Steps skipped so far.
    """

    def __init__(self, workdir: pathlib.Path, most_in_a_row: int, warn: Callable[[int, str], None]):
        """Begins to count.

        Args:
          workdir: The run's folder.
          most_in_a_row: As many skipped steps one after the other end the training.
          warn: Tells a sentence about a step.
        """
        self.count = 0
        self._workdir = workdir
        self._most_in_a_row = most_in_a_row
        self._in_a_row = 0
        self._warn = warn
        self._unseen = None
        self._batch_in = ""

    def look(self, step: int, metrics: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> None:
        """Looks at the step before this one.

        Args:
          step: Its number.
          metrics: `loss` and `grad_norm` of this step.
          batch: What it was done on.

        Raises:
          UserError: It is one skipped step too many.
        """
        self.look_again()
        self._unseen = step, metrics, batch

    def look_again(self) -> None:
        """Looks at the last step; waits for it."""
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
        if self.count == 1:
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
                np.savez(file, **parallel.joined(batch))
            partial.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            return f"its batch could not be kept ({error.strerror})"
        return f"the batch of step {step} is in {path}"
