"""A disk that is full or cannot be written: told in a line, and training goes on."""

import errno
import json
import subprocess
import time

import jax
import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import Checkpoints, parallel, train
from dopi_jax.training.checkpoint_folder import CheckpointFolder
from dopi_jax.training.notes import Notes


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def config(steps=12):
    made = Config()
    vars(made.train).update(steps=steps, checkpoint_every=2, log_every=1, validate_every=3, image_every=1)
    return made


def filled(disk):
    """Once the run in it has the checkpoint of step 4, which is written in the background."""
    while (disk / "run").exists() and not (disk / "run/checkpoints/4").exists():
        time.sleep(0.01)
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC


def told(workdir):
    return [note["note"] for note in Notes(workdir).last(100)]


@pytest.fixture
def wait_for_note(monkeypatch):
    """A function that waits until a run has told of something; checkpoints are written beside the steps."""
    tell, notes = Notes.tell, []
    monkeypatch.setattr(Notes, "tell", lambda self, note: (tell(self, note), notes.append(note)))

    def wait(part):
        for _ in range(6000):
            if any(part in note for note in notes):
                return
            time.sleep(0.01)
        raise AssertionError(f"no note says {part!r}: {notes}")

    return wait


def test_a_disk_that_is_full_for_a_while(weights, tmp_path, small_disk, capsys, wait_for_note):
    """From step 4, whose checkpoint is there, to step 9: the run does not end, and ends as if nothing had happened."""
    kept = []

    def draw(state):
        step = int(state.step)
        if step == 5:
            filled(small_disk)
        if step == 9:
            wait_for_note("the checkpoint of step 8 cannot")
            kept.extend(path.name for path in (small_disk / "run/checkpoints").iterdir())
            (small_disk / "filler").unlink()
        return {"weights": np.zeros((8, 8, 3), np.uint8)}

    def validate(state):
        return {"photometric": 1 / float(state.step)}

    whole = train(config(), tmp_path / "whole", weights.batches, validate)
    state = train(config(), small_disk / "run", weights.batches, validate, draw)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), jax.device_get(whole))
    assert "4" in kept
    said = capsys.readouterr().err
    assert "Traceback" not in said
    notes = [line for line in said.splitlines() if "cannot be written" in line]
    for step in (6, 8):
        (note,) = [note for note in notes if f"the checkpoint of step {step} cannot" in note]
        assert note.endswith(
            "(No space left on device): that of step 4 stays, training goes on and tries again at the next checkpoint"
        )
    assert any("the best checkpoint so far, of step 6, cannot be written" in note for note in notes)
    assert sum("pictures cannot be written (No space left on device)" in note for note in notes) == 1
    assert sorted(int(path.name) for path in (small_disk / "run/checkpoints").iterdir()) == [4, 10, 12]
    assert json.loads((small_disk / "run/best.json").read_text())["step"] == 12
    steps = [json.loads(line)["step"] for line in (small_disk / "run/metrics.jsonl").read_text().splitlines()]
    assert {1, 2, 3, 4, 10, 11, 12} <= set(steps)


def test_a_disk_that_stays_full_ends_the_command_with_what_is_there(weights, small_disk):
    with pytest.raises(UserError, match=r"step 12 is done, but its checkpoint cannot be .*No space.* goes on from step 4"):
        train(
            config(), small_disk / "run", weights.batches, draw=lambda state: filled(small_disk) if state.step == 5 else {}
        )
    with pytest.raises(UserError, match=r"run cannot be written \(No space left on device\)"):
        train(config(), small_disk / "run", weights.batches)
    (small_disk / "filler").unlink()
    assert train(config(), small_disk / "run", weights.batches).step == 12


def test_a_save_that_fails_is_tried_again(weights, tmp_path, monkeypatch):
    """Whoever may mount nothing sees this at least: two saves fail, and the one after them does not."""
    write, fails = CheckpointFolder.write, {4, 6}

    def failing(self, step, *content):
        if step in fails:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        write(self, step, *content)

    monkeypatch.setattr(CheckpointFolder, "write", failing)
    train(config(8), tmp_path, weights.batches)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [2, 8]
    assert [note.partition(" cannot")[0] for note in told(tmp_path)] == [f"the checkpoint of step {s}" for s in (4, 6)]
    assert all("(Disk quota exceeded): that of step 2 stays" in note for note in told(tmp_path))


def test_a_failed_write_leaves_nothing_and_what_it_would_replace(weights, small_disk):
    folder = CheckpointFolder(small_disk / "checkpoints")
    folder.write(3, {"params": {"w": np.arange(3.0)}}, {})
    filled(small_disk)
    with pytest.raises(OSError, match="No space left on device"):
        folder.write(3, {"params": {"w": np.random.default_rng(0).standard_normal(10_000)}}, {})
    assert [path.name for path in folder.path.iterdir()] == ["3"]
    np.testing.assert_array_equal(folder.read(3, {"params": {"w": np.zeros(3)}})["params"]["w"], [0, 1, 2])


@pytest.mark.parametrize("place, why", [("file", "Not a directory|File exists"), ("/proc/run", "No such file|Permission")])
def test_a_folder_that_cannot_be_written(weights, tmp_path, place, why):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"{place} cannot be written \(.*({why}).*\): make it writable, make room, or name"):
        train(config(), tmp_path / place, weights.batches)


def test_a_read_only_file_system(weights, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(UserError, match=r"run cannot be written \(Read-only file system\)"):
        train(config(), small_disk / "run", weights.batches)


def test_a_run_on_a_read_only_file_system_can_be_read(weights, small_disk):
    """As its evaluation does."""
    checkpoints = Checkpoints(small_disk)
    checkpoints.save(parallel.replicate(weights.state()))
    checkpoints.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert CheckpointFolder(small_disk / "checkpoints").read(0, {"params": {"w": np.zeros(3)}})["params"]["w"].shape == (3,)
