"""Stopping a training cleanly on SIGTERM or Ctrl-C, sent to any of its processes."""

import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from dopi_jax.training import parallel

Work = TypeVar("Work")
Result = TypeVar("Result")
_ASKED = "stop"  # in a batch and in metrics of several processes
Step = Callable[[Any, Any], tuple[Any, Any]]


class _Stopped(BaseException):
    """Ends what `StopSignal.unless_requested` runs."""


class StopSignal:
    """Turns SIGTERM and the first Ctrl-C into a request that the loop honours after a step.

    Several processes must stop after the same one. So each says with its batch whether it was asked, and hears with the
    metrics whether any was; the metrics of a step are looked at while the devices work on the next.

    Attributes:
      requested: Whether this process was asked.
      agreed: Whether all stop after the current step.
    """

    def __init__(self):
        self.requested = False
        self._shared = False
        self._metrics: Mapping[str, jax.Array] | None = None
        self._interrupts = False
        self._previous = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._previous[number] = signal.signal(number, self._request)
            except ValueError:  # not in the main thread: the caller's program has its own handling
                pass

    @property
    def agreed(self) -> bool:
        """Whether all stop after the current step; a single process needs no other."""
        return self.requested if jax.process_count() == 1 else self._shared

    def share_requests(self, step: Step) -> Step:
        """Returns a train step that shares the requests in the batches of all processes, by its metrics.

        Args:
          step: (state, batch) -> (state, metrics), as `parallel.data_parallel` takes it.
        """
        if jax.process_count() == 1:
            return step

        def step_and_share(state: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
            state, metrics = step(state, {name: batch[name] for name in batch if name != _ASKED})
            return state, {**metrics, _ASKED: parallel.mean_across_devices(batch[_ASKED][0])}

        return step_and_share

    def add_request(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a batch that also holds whether this process was asked to stop.

        Args:
          batch: One that `parallel.split` has made.
        """
        if jax.process_count() == 1:
            return batch
        return {**batch, _ASKED: np.full((jax.local_device_count(), 1), self.requested, np.float32)}

    def read_requests(self, metrics: dict[str, jax.Array]) -> None:
        """Reads the requests that the previous step has shared; removes those of this step from its metrics.

        Args:
          metrics: Of this step.
        """
        asked = metrics.pop(_ASKED, None)
        before, self._metrics = self._metrics, asked
        self._shared = before is not None and bool(jax.device_get(before) > 0)

    def unless_requested(self, work: Callable[[Work], Result], state: Work) -> Result | None:
        """Returns the result of work on the state that may take minutes; None if a request comes before its end."""
        if self.requested:
            return None
        try:
            try:
                self._interrupts = True
                return work(state)
            finally:
                self._interrupts = False
        except _Stopped:
            return None

    def restore(self) -> None:
        """Restores the previous signal handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number, _frame):
        self.requested = True
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if self._interrupts:
            self._interrupts = False
            raise _Stopped
