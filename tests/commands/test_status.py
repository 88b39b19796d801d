"""What `status` says of a run's folder."""

import json
import os

import pytest

from dopi_jax import config as config_lib
from dopi_jax.__main__ import main
from dopi_jax.commands import status
from dopi_jax.training import run_folder
from dopi_jax.training.notes import Notes


@pytest.fixture
def run(tmp_path):
    """A run of 1000 steps that got to 400, at 2 steps a second and then at 4."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = config_lib.Config(name="streets")
    config.train.steps = 1000
    (folder / "config.json").write_text(config_lib.to_json(config))
    lines = [
        {"step": 1, "train/loss": 0.5, "train/steps_per_second": 0.0},
        {"step": 200, "train/loss": 0.25, "train/steps_per_second": 2.0},
        {"step": 400, "train/loss": 0.125, "train/steps_per_second": 4.0},
        {"step": 400, "validation/photometric": 0.0625},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 401, "tra')
    (folder / "best.json").write_text(json.dumps({"step": 400, "score": 0.0625, "by": "photometric"}))
    for step in (200, 400, 390):
        (folder / f"checkpoints/{step}").mkdir(parents=True)
    (folder / "checkpoints/400/arrays").write_bytes(bytes(3 * 2**20))
    return folder


def said(capsys, *arguments):
    main(["status", *map(str, arguments)])
    return capsys.readouterr().out.splitlines()


def test_a_run_that_was_stopped(run, capsys):
    """The mean speed is that of equally many steps at each: 2 / (1/2 + 1/4)."""
    lines = said(capsys, run)
    assert lines[:3] == [
        f"{run}: streets, phase depthpose",
        "  not in training; the command that began it goes on from the last checkpoint",
        "  step 400 of 1000 (40.0%), 2.67 steps/s, 3 min 45 s to do",
    ]
    assert lines[3].startswith("  loss 0.1250, written ")
    assert lines[4:] == [
        "  best: step 400, photometric 0.0625",
        "  checkpoints: step 200, step 390, step 400",
        "  on disk: 3.0 MiB (checkpoints 3.0 MiB, logs 0.0 MiB)",
        "  no notes",
    ]


def test_a_run_in_training_with_notes(run, capsys):
    for number in range(7):
        Notes(run).tell(f"warning {number}")
    with run_folder.hold(run):
        lines = said(capsys, run)
    assert lines[1].startswith(f"  in training by process {os.getpid()} on ")
    assert lines[2].endswith(", 3 min 45 s left")
    assert lines[-6] == "  last notes:"
    assert [line[-9:] for line in lines[-5:]] == [f"warning {number}" for number in range(2, 7)]


def test_a_run_that_has_just_begun(run, capsys):
    for name in ("metrics.jsonl", "best.json"):
        (run / name).unlink()
    lines = said(capsys, run)
    assert "  step 0 of 1000 (0.0%)" in lines and "  best: none yet" in lines


def test_several_runs_and_the_home_folder(run, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent))
    lines = said(capsys, "~/run", run)
    assert lines.count(f"{run}: streets, phase depthpose") == 2


def test_a_folder_that_is_no_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path)])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path} is no run's folder: expected one with config.json\n"


@pytest.mark.parametrize(
    "seconds, words", [(0.4, "0 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min"), (270_000, "3 d 3 h"), (86_400, "1 d 0 h")]
)
def test_durations(seconds, words):
    assert status._duration(seconds) == words
