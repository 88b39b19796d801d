"""Times of several functions that take turns, so that what slows the machine down for a while slows down all of them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Timings:
    """Times of functions that were called in turn.

    Attributes:
      seconds: By name, one time a round; index k of every list belongs to the same round.
    """

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Returns the median time in seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """Returns how many times as long one function takes as another: the median over the rounds of their ratio there.

        Not the ratio of the medians: within a round the machine is the same to both, over the rounds it is not.
        """
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return statistics.median(one / other for one, other in pairs)


def interleaved(
    functions: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> Timings:
    """Calls functions in turn, A B A B and not A A B B, and times each call.

    Args:
      functions: By name; each returns when its work is done, not when it is merely queued.
      repeats: Rounds that are timed, at least 1. One more goes before them: a first call allocates.
      clock: Gives seconds.

    Returns:
      `Timings` of `repeats` rounds.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = clock()
            function()
            seconds[name].append(clock() - start)
    return Timings(seconds)
