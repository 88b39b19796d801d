"""train.py on prepared sets and own footage, with damaged frames, and from another run's networks."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dopi_jax import config as config_lib
from dopi_jax.commands import prepare
from dopi_jax.training import restore_variables

pytestmark = pytest.mark.usefixtures("quick_compile")


def train_losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def networks(workdir):
    config = config_lib.from_json((workdir / "config.json").read_text())
    return restore_variables(workdir, config, "latest")[0]


def assert_same_networks(one, other):
    for ours, theirs in zip(*(map(np.asarray, _leaves(networks(workdir))) for workdir in (one, other)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _leaves(tree):
    return [leaf for value in tree.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


@pytest.fixture
def arguments(toy):
    return (
        "--config=configs/demo_depthpose.py",
        *toy,
        "--config.loss.scales=1",
        "--config.data.train=('kitti_odometry:03',)",
        "--config.data.validation=()",
        "--config.train.log_every=1",
        "--config.train.steps=2",
    )


def test_folder_prepared_set_and_frames_on_the_device_train_alike(command, arguments, tiny_kitti, tmp_path):
    """Bit for bit, frames being stored as PNG."""
    options = {"--source": tiny_kitti, "--select": "kitti_odometry:03", "--size": "64x96", "--format": "png"}
    prepare.main([str(word) for pair in (options | {"--out": tmp_path / "set"}).items() for word in pair])
    runs = {"folder": (tiny_kitti, False), "prepared": (tmp_path / "set", False), "device": (tmp_path / "set", True)}
    for name, (root, on_device) in runs.items():
        where = (f"--config.data.root={root}", f"--config.data.on_device={on_device}", f"--workdir={tmp_path / name}")
        said = command("train", *arguments, *where)
        assert said.status == 0, said.err
        assert "20 snippets of 2 sequences to train on, 0 of 0 to validate" in said.err
    for name in ("prepared", "device"):
        assert train_losses(tmp_path / name) == train_losses(tmp_path / "folder")
        assert_same_networks(tmp_path / name, tmp_path / "folder")


@pytest.mark.slow
def test_damaged_frames_cost_no_training_and_resuming_repeats_it(command, arguments, kitti, tmp_path):
    """3 of 60 frames are damaged: the run finishes, and one that was interrupted ends with the same networks."""
    kitti.odometry("03", range(60), cameras=(2,), texture=True)
    folder = kitti.root / "kitti_odometry/sequences/03/image_2"
    for number in (17, 30, 48):
        path = folder / f"{number:06d}.png"
        path.write_bytes(path.read_bytes()[:80])
    here = (*arguments, f"--config.data.root={kitti.root}", "--config.train.batch_size=20", "--config.train.steps=3")
    here = (*here, "--config.data.max_bad_frames=0.05")
    said = command("train", *here, f"--workdir={tmp_path / 'whole'}", "--config.train.checkpoint_every=1")
    assert said.status == 0, said.err
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["train/bad_frames"] == 3
    for number in (17, 30, 48):
        assert said.err.count(f"{number:06d}.png cannot be read") == 1

    # As after a kill at step 1: what came later is gone.
    command("train", *here, f"--workdir={tmp_path / 'killed'}", "--config.train.steps=1")
    said = command("train", *here, f"--workdir={tmp_path / 'killed'}")
    assert "resumed from step 1" in said.err
    assert_same_networks(tmp_path / "killed", tmp_path / "whole")

    for number in (20, 21):
        (folder / f"{number:06d}.png").write_bytes(b"")
    said = command("train", *here, f"--workdir={tmp_path / 'more'}")
    assert said.status == 1
    assert "4 of 60 frames cannot be read" in said.err and "config.data.max_bad_frames" in said.err


@pytest.mark.slow
def test_a_run_starts_from_anothers_networks(command, trained, toy, tmp_path):
    """Weights alone, at step 0 and at another size, as Cityscapes before KITTI; once begun it goes on without the other."""
    arguments = (*trained.arguments, "--config.data.height=32", "--config.loss.distillation=0.5")
    other = shutil.copytree(trained.workdir, tmp_path / "other")
    arguments = (*arguments, f"--config.init_from={other}")
    said = command("train", *arguments, f"--workdir={tmp_path / 'run'}", "--config.train.steps=1")
    assert said.status == 0, said.err
    assert "resumed" not in said.err
    assert "train/departure" in (tmp_path / "run/metrics.jsonl").read_text()
    shutil.rmtree(other)
    rate = 5e-4
    for ours, theirs in zip(_leaves(networks(tmp_path / "run")), _leaves(networks(trained.workdir)), strict=True):
        assert np.max(np.abs(ours - theirs)) <= 1.001 * rate
    said = command("train", *arguments, f"--workdir={tmp_path / 'run'}", "--config.train.steps=2")
    assert said.status == 0 and "resumed from step 1" in said.err

    arguments = (*arguments, f"--config.init_from={trained.workdir}")
    for override, message in (
        ("--config.init_from=nowhere", "config.init_from is 'nowhere': expected the folder of a run, with config.json"),
        ("--config.init_from=", "config.init_from names, which is empty: name a run or model"),
        ("--config.model.rotation=so3", "whose model.rotation is 'euler', but the config asks for 'so3'"),
    ):
        said = command("train", *arguments, override, f"--workdir={tmp_path / 'other'}")
        assert said.status == 1 and message in said.err
        assert not (tmp_path / "other/checkpoints").exists()


@pytest.fixture
def footage(tmp_path):
    """A folder of 40 frames that move to the left by 3 pixels each, without anything that tells of the camera."""
    folder = tmp_path / "garden"
    folder.mkdir()
    wide = np.random.default_rng(0).integers(0, 256, (12, 60, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    for number in range(40):
        Image.fromarray(wide[:180, 3 * number : 3 * number + 320]).save(folder / f"{number}.jpg")
    return folder


@pytest.mark.parametrize("config", ["video_depthpose", pytest.param("video_flow", marks=pytest.mark.slow)])
def test_own_footage_trains_after_a_report(command, toy, footage, tmp_path, config):
    arguments = (
        *toy,
        "--config.data.width=128",
        "--config.loss.scales=1",
        f"--config.data.root={footage}",
        f"--workdir={tmp_path / 'run'}",
        "--config.train.batch_size=4",
        "--config.train.steps=1",
    )
    variant = "" if config == "video_depthpose" else ":basic"  # which needs no run of phase 1
    # The shipped weights are of other networks.
    small = ("--config.init_from=", "--config.loss.distillation=0")
    said = command("train", f"--config=configs/{config}.py{variant}", *arguments, *small)
    assert said.status == 0, said.err
    assert "garden: 40 frames of 320x180" in said.err and "guessed" in said.err
    assert "cannot work: near and far things move alike (no parallax)" in said.err
    assert "34 snippets of 1 sequences to train on, 2 of 1 to validate" in said.err
