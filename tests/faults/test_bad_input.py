"""Frames that cannot be read and batches that are not finite, in runs that are killed and stopped as well."""

import itertools
import json
import pathlib

import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.selection import select_sequences
from dopi_jax.errors import UserError
from dopi_jax.training import train

NAN_STEPS = (3, 4, 7)


@pytest.fixture(scope="module")
def skipping(start, tmp_path_factory):
    """The folder of a run that skips three of its eight steps, and that nothing else happens to."""
    workdir = tmp_path_factory.mktemp("skipping") / "run"
    assert start(workdir, nan_steps=NAN_STEPS) == 0
    return workdir


@pytest.mark.parametrize("count", [40, 110, 180, *(pytest.param(n, marks=pytest.mark.slow) for n in range(50, 260, 20))])
def test_a_run_with_nan_batches_that_is_killed(start, skipping, tmp_path, count):
    """It skips the same steps, keeps the first of these batches, and ends with the same weights."""
    workdir = tmp_path / "run"
    start(workdir, nan_steps=NAN_STEPS, kill_at=count)
    assert start(workdir, nan_steps=NAN_STEPS) == 0
    for name, expected in np.load(skipping / "final.npz").items():
        np.testing.assert_array_equal(np.load(workdir / "final.npz")[name], expected)
    assert np.isfinite(np.load(workdir / "final.npz")["w"]).all()
    assert bad_steps(workdir) == bad_steps(skipping) == [0, 0, 1, 2, 2, 2, 3, 3]
    kept = np.load(workdir / "not_finite_step_3.npz")
    np.testing.assert_array_equal(kept["x"], np.load(skipping / "not_finite_step_3.npz")["x"])


def bad_steps(workdir: pathlib.Path) -> list[float]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line["train/bad_steps"] for line in lines if "train/bad_steps" in line]


@pytest.fixture
def frames(kitti):
    """The sequence of a drive of 20 frames."""
    kitti.drive("2011_09_26_drive_0001", range(20), cameras=(2,), texture=True)
    (sequence,) = select_sequences(kitti.root, "kitti_raw:eigen", for_training=True)
    return sequence


def batches_of(sequence, happens=lambda step: None, most_bad=0.2):
    """A function of the first step, as `train` takes it; what happens does so before the batch of a step is read."""

    def batches(first):
        source = TrainingInput([sequence], size=(32, 64), batch_size=4, seed=3, max_bad_frames=most_bad, cache=False)
        for step, batch in enumerate(source.batches(first), first + 1):
            happens(step)
            x = batch["frames"][:, 1].mean(axis=(1, 2)).astype(np.float32) / 255
            yield {"x": x, "y": x @ np.array([1, 2, 3], np.float32)}

    return batches


def schedule(steps):
    config = Config()
    vars(config.train).update(steps=steps, checkpoint_every=2, log_every=1, image_every=100)
    return config


def cut_off(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.filterwarnings("ignore:left out")
def test_a_stopped_run_with_a_damaged_frame_ends_as_a_whole_one(weights, frames, tmp_path):
    cut_off(frames.frames[7])
    whole = train(schedule(12), tmp_path / "whole", batches_of(frames))
    for steps in (3, 8, 12):
        parts = train(schedule(steps), tmp_path / "parts", batches_of(frames))
    np.testing.assert_array_equal(parts.params["w"], whole.params["w"])
    assert np.isfinite(whole.params["w"]).all()


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("damage", [cut_off, pathlib.Path.unlink])
def test_frames_that_break_while_it_trains_cost_their_snippets_alone(weights, frames, tmp_path, damage):
    """Two of twenty, after step 4: training goes on to its end."""

    def happens(step):
        if step == 5:
            damage(frames.frames[9])
            damage(frames.frames[14])

    assert train(schedule(12), tmp_path / "run", batches_of(frames, happens)).step == 12


@pytest.mark.filterwarnings("ignore:left out")
def test_a_disk_that_loses_its_frames_ends_the_run_and_a_mended_one_goes_on(weights, frames, tmp_path):
    """Too many are gone: one sentence, and the same command goes on from the last checkpoint when they are back."""
    stored = {path: path.read_bytes() for path in frames.frames}

    def happens(step):
        if step == 6:
            for path in itertools.islice(stored, 5, 20):
                path.unlink()

    with pytest.raises(UserError, match="frames cannot be read"):
        train(schedule(40), tmp_path / "run", batches_of(frames, happens, most_bad=0.05))
    for path, data in stored.items():
        path.write_bytes(data)
    resumed = train(schedule(40), tmp_path / "run", batches_of(frames))
    assert resumed.step == 40 and np.isfinite(resumed.params["w"]).all()
