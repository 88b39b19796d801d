"""The timer, with a clock that the functions under test move on themselves."""

import pytest

from benchmarks.timing import Timings, interleaved, interleaved_streams


class Machine:
    """A clock, and functions that take so many seconds on a machine whose speed changes from round to round."""

    def __init__(self):
        self.now = 0.0
        self.called = []

    def clock(self):
        return self.now

    def task(self, name, seconds, slowness=()):
        calls = iter(slowness)

        def run():
            self.called.append(name)
            self.now += seconds * next(calls, 1)

        return run


def test_functions_take_turns_and_the_first_round_is_not_timed():
    machine = Machine()
    functions = {"a": machine.task("a", 1.0, slowness=[100]), "b": machine.task("b", 2.0, slowness=[100])}
    timings = interleaved(functions, 2, machine.clock)
    assert machine.called == ["a", "b", "a", "b", "a", "b"]
    assert timings.seconds == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_the_ratio_does_not_see_a_machine_that_slows_down():
    machine = Machine()
    drift = [1, 1, 2, 4, 8, 16]
    timings = interleaved({"a": machine.task("a", 3.0, drift), "b": machine.task("b", 1.0, drift)}, 5, machine.clock)
    assert timings.median("a") == 12.0
    assert timings.ratio("a", "b") == pytest.approx(3.0)
    assert timings.ratio("b", "a") == pytest.approx(1 / 3)


def test_the_ratio_is_that_of_rounds_not_of_medians():
    timings = Timings({"a": [1.0, 2.0, 9.0], "b": [1.0, 1.0, 9.0]})
    assert timings.median("a") / timings.median("b") == 2.0
    assert timings.ratio("a", "b") == 1.0


def test_one_disturbed_round_changes_nothing():
    machine = Machine()
    timings = interleaved({"a": machine.task("a", 1.0, [1, 1, 50, 1]), "b": machine.task("b", 2.0)}, 3, machine.clock)
    assert timings.median("a") == pytest.approx(1.0)
    assert timings.ratio("b", "a") == pytest.approx(2.0)


def test_streams_are_timed_after_what_they_read_ahead_and_closed():
    machine = Machine()
    closed = []

    def opener(name, first, later):
        def stream():
            try:
                yield from (machine.task(name, first)() for _ in range(3))
                while True:
                    yield machine.task(name, later)()
            finally:
                closed.append(name)

        return stream

    wall, processor = interleaved_streams(
        {"a": opener("a", 0.0, 2.0), "b": opener("b", 0.0, 5.0)},
        2,
        count=3,
        at_least=7.0,
        clocks=(machine.clock, lambda: 2 * machine.now),
    )
    assert wall.seconds == {"a": [2.0, 2.0], "b": [5.0, 5.0]}
    assert processor.seconds == {"a": [4.0, 4.0], "b": [10.0, 10.0]}
    assert closed == ["a", "b", "a", "b"]
    # a: 3 at once and 4 until 7 seconds have passed, then 4; b: 3 at once and 2, then 3.
    assert [machine.called.count(name) for name in "ab"] == [22, 16]
