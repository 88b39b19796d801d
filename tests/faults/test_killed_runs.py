"""A run that is killed or asked to stop, wherever that hits it, ends as one that nothing happened to."""

import collections
import json
import random
import re

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from dopi_jax.training.events import _records

_FILE_OPERATIONS = 260  # of a whole run, about; a kill that comes after its end changes nothing


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """The folder of a run that nothing happens to."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert start(workdir) == 0
    return workdir


@pytest.fixture
def assert_ends_as(start, whole):
    """A function that lets a run go on to its end, and compares what it leaves with what the whole run has left."""

    def check(workdir):
        assert start(workdir) == 0, _said(workdir)
        for name, expected in np.load(whole / "final.npz").items():
            np.testing.assert_array_equal(np.load(workdir / "final.npz")[name], expected)
        assert (workdir / "best.json").read_text() == (whole / "best.json").read_text()
        assert _names(workdir / "best") == _names(whole / "best")
        # Between a checkpoint and the picture of its step, the picture is not drawn.
        assert set(_names(workdir / "images")) <= set(_names(whole / "images"))
        # Killed before it deleted the oldest one, after the last was written, it has one more.
        assert _names(workdir / "checkpoints")[-2:] == _names(whole / "checkpoints")
        assert len(_names(workdir / "checkpoints")) <= 3
        assert not {path.name for path in workdir.iterdir()} & {"set_aside", "notes.jsonl"}, _said(workdir)
        assert _losses(workdir) == _losses(whole)
        assert _events(workdir) == _events(whole)

    return check


@pytest.mark.parametrize("count", [1, 12, 40, 75, 110, 145, 180, 215])
def test_a_run_killed_at_a_file(start, assert_ends_as, tmp_path, count):
    """Of those that it opens, makes, renames or removes, one after the other."""
    start(tmp_path / "run", kill_at=count)
    assert_ends_as(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 13))
def test_a_run_killed_at_every_fourth_file(start, assert_ends_as, tmp_path, first):
    for count in range(4 * first, _FILE_OPERATIONS, 48):
        workdir = tmp_path / str(count)
        start(workdir, kill_at=count)
        assert_ends_as(workdir)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_a_run_killed_three_times_at_random_moments(start, assert_ends_as, tmp_path, seed):
    moments = random.Random(seed)
    for _ in range(3):
        start(tmp_path / "run", signals=[[moments.uniform(0, 2), "SIGKILL"]])
    assert_ends_as(tmp_path / "run")


@pytest.mark.parametrize(
    "signals",
    [
        ["SIGTERM", "SIGTERM"],
        *(pytest.param([name] * times, marks=pytest.mark.slow) for name in ("SIGTERM", "SIGINT") for times in (1, 2)),
    ],
)
@pytest.mark.parametrize("moment", [0.9, *(pytest.param(0.1 * tenth, marks=pytest.mark.slow) for tenth in range(1, 18, 2))])
def test_a_run_that_is_asked_to_stop(start, assert_ends_as, tmp_path, signals, moment):
    """Once, and again before it has stopped."""
    start(tmp_path / "run", signals=[[moment, signals[0]], *([0.05, name] for name in signals[1:])])
    assert_ends_as(tmp_path / "run")


def test_a_killed_run_names_nobody_as_its_user(start, tmp_path):
    """The lock ends with the process."""
    start(tmp_path / "run", kill_at=100)
    assert json.loads((tmp_path / "run/lock").read_text())["process"] > 0
    assert start(tmp_path / "run") == 0


def _said(workdir):
    return workdir.with_name(f"{workdir.name}.log").read_text()


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _losses(workdir):
    """By step and kind of line, of which there is one each: what does not depend on the clock."""
    found = {}
    for text in (workdir / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        values = {name: value for name, value in line.items() if re.search("loss|grad_norm|photometric", name)}
        key = line["step"], "validation" if "validation/photometric" in line else "train"
        assert key not in found
        found[key] = values
    return found


def _events(workdir):
    """How often each number is there."""
    records = [e for file in workdir.glob("events.out.tfevents.*") for _, e in _records(file.read_bytes())]
    events = map(Event.FromString, records)
    values = ((event.step, value) for event in events for value in event.summary.value)
    return collections.Counter((step, value.tag) for step, value in values if not value.HasField("image"))
