"""What a run leaves to read."""

import json
import os
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from dopi_jax.training import RunLog
from dopi_jax.training.notes import Notes


@pytest.fixture
def lines(tmp_path):
    return lambda: [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


def read_events(folder):
    """The events of a folder's files: each is a length, its checksum, the event and its checksum."""
    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def test_scalars_are_one_line_of_json_with_null_for_what_is_not_finite(tmp_path, lines):
    log = RunLog(tmp_path, steps=10)
    log.scalars(1, {"loss": np.float32(0.5), "grad_norm": float("nan")})
    log.scalars(2, {"photometric": float("inf"), "loss": 2}, group="validation")
    log.close()
    assert lines() == [
        {"step": 1, "train/loss": 0.5, "train/grad_norm": None},
        {"step": 2, "validation/photometric": None, "validation/loss": 2.0},
    ]


def test_a_line_is_on_disk_as_soon_as_it_is_logged(tmp_path, lines):
    log = RunLog(tmp_path, steps=10)
    log.scalars(1, {"loss": 0.5})
    assert lines() == [{"step": 1, "train/loss": 0.5}]
    log.close()


def test_a_resumed_run_drops_the_lines_that_it_does_again(tmp_path, lines):
    """And the one that was cut off when the run was killed."""
    whole = [{"step": step, "train/loss": 1.0} for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in whole) + '{"step": 5, "tra')
    log = RunLog(tmp_path, steps=10, start_step=3)
    assert lines() == whole[:3]
    log.scalars(4, {"loss": 1.0})
    log.close()
    assert lines() == whole


def test_a_run_that_starts_anew_drops_all_lines(tmp_path, lines):
    """It failed before its first checkpoint."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n')
    RunLog(tmp_path, steps=10).close()
    assert lines() == []


def test_metrics_that_cannot_be_written_are_told_once_and_leave_no_half_line(tmp_path, lines, capsys, monkeypatch):
    """A full disk takes some bytes of a line before it refuses the rest; later there is room again."""
    log = RunLog(tmp_path, steps=10)
    log.scalars(1, {"loss": 0.5})

    class FullFile:
        def __init__(self, file):
            self.fileno = file.fileno

        def write(self, content):
            if len(content) > 8:
                return os.write(self.fileno(), content[:8])
            raise OSError(28, "No space left on device")

    for owner in (log, log._events):
        monkeypatch.setattr(owner, "_file", FullFile(owner._file))
    log.scalars(2, {"loss": 0.5})
    log.scalars(3, {"loss": 0.5})
    monkeypatch.undo()
    log.scalars(4, {"loss": 0.5})
    log.close()
    assert [line["step"] for line in lines()] == [1, 4]
    assert [event.step for event in read_events(tmp_path) if event.HasField("summary")] == [1, 4]
    assert capsys.readouterr().err.count("metrics cannot be written (No space left on device): training goes on") == 1


@pytest.mark.parametrize("start", [0, 2])
def test_tensorboard_has_no_event_twice(tmp_path, start):
    """Killed at step 4, without a checkpoint or with that of step 2; the last event is cut off."""
    log = RunLog(tmp_path, steps=10)
    for step in (1, 2, 3, 4):
        log.scalars(step, {"loss": step})
    log.close()
    (file,) = tmp_path.glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-5])
    log = RunLog(tmp_path, steps=10, start_step=start)
    for step in range(start + 1, 6):
        log.scalars(step, {"loss": step})
    log.close()
    assert [event.step for event in read_events(tmp_path) if event.HasField("summary")] == [1, 2, 3, 4, 5]


def test_a_warning_is_told_kept_and_in_tensorboard(tmp_path, capsys):
    log = RunLog(tmp_path, steps=10)
    log.warn(3, "the disparity is flat")
    log.close()
    assert "note: the disparity is flat\n" in capsys.readouterr().err
    assert [note["note"] for note in Notes(tmp_path).last(5)] == ["the disparity is flat"]
    assert [event.step for event in read_events(tmp_path) if event.HasField("summary")] == [3]


def test_pictures_are_png_files_named_by_what_and_when(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    log = RunLog(tmp_path, steps=10)
    log.picture(1500, "snippet", image)
    log.close()
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["snippet_0001500.png"]
    np.testing.assert_array_equal(Image.open(tmp_path / "images" / "snippet_0001500.png"), image)


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    log = RunLog(tmp_path, steps=10)
    log.scalars(3, {"loss": 0.5})
    log.picture(4, "snippet", np.zeros((2, 2, 3), np.uint8))
    log.close()
    values = [(event.step, value.tag) for event in read_events(tmp_path) for value in event.summary.value]
    assert values == [(3, "train/loss"), (4, "snippet")]


def test_a_warning_is_told_on_the_terminal_and_in_tensorboard(tmp_path, capsys):
    log = RunLog(tmp_path, steps=10)
    log.warn(3, "depth has collapsed")
    log.close()
    assert "depth has collapsed\n" in capsys.readouterr().err
    (event,) = [event for event in read_events(tmp_path) if event.summary.value]
    assert event.step == 3 and b"depth has collapsed" in event.SerializeToString()


def test_the_progress_line_starts_where_the_run_does(tmp_path, capsys):
    log = RunLog(tmp_path, steps=200, start_step=50)
    log.say("resumed from step 50")
    log.advance(100)
    log.scalars(150, {"loss": 0.12345})
    log.close()
    said = capsys.readouterr().err
    assert "resumed from step 50\n" in said
    assert "150/200" in said
    assert "loss 0.1235" in said or "loss 0.1234" in said
