"""Times of several functions that take turns, so that what slows the machine down for a while slows down all of them."""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any


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


def interleaved_streams(
    openers: Mapping[str, Callable[[], Iterator[Any]]],
    repeats: int,
    count: int,
    at_least: float = 0.0,
    clocks: tuple[Callable[[], float], Callable[[], float]] = (time.perf_counter, time.process_time),
) -> tuple[Timings, Timings]:
    """Takes from iterators that work ahead, in turn, and times what they give at their lasting speed.

    Args:
      openers: By name; each returns an iterator without end, whose `close` stops its work.
      repeats: Rounds that are timed, at least 1. In each every iterator is opened anew: none works in another's time.
      count: Elements that are timed in a round, after as many that are not: by then those read ahead are used up.
      at_least: Seconds that either lasts; elements are taken beyond `count` until then.
      clocks: Give seconds: of the wall, and of the processor, over all threads.

    Returns:
      `Timings` of an element by the first clock, and by the second.
    """
    timings = Timings({name: [] for name in openers}), Timings({name: [] for name in openers})
    for _ in range(repeats):
        for name, opened in openers.items():
            with contextlib.closing(opened()) as stream:
                _take(stream, count, at_least, clocks[0])
                starts = [clock() for clock in clocks]
                taken = _take(stream, count, at_least, clocks[0])
                for timing, clock, start in zip(timings, clocks, starts, strict=True):
                    timing.seconds[name].append((clock() - start) / taken)
    return timings


def _take(stream: Iterator[Any], count: int, at_least: float, clock: Callable[[], float]) -> int:
    start, taken = clock(), 0
    while taken < count or clock() - start < at_least:
        next(stream)
        taken += 1
    return taken
