"""train.py from its command line: the configs of the repository, and what a run leaves."""

import json
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from PIL import Image

import dopi_jax
from dopi_jax import config as config_lib
from dopi_jax.training import restore_variables
from dopi_jax.training.trained import read_run

REPOSITORY = pathlib.Path(__file__).parents[2]
CONFIGS = sorted((REPOSITORY / "configs").glob("*.py"))
PRESETS = {"depthpose": ("", ",released", ",modern"), "flow": ("", ",released", ",modern")}

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_variant_of_every_config_can_be_run(file):
    get_config = runpy.run_path(str(file))["get_config"]
    names, presets = set(), PRESETS[get_config().phase]
    for variant in (f"{row}{preset}" for row in ("", *config_lib.ABLATIONS) for preset in presets):
        config = get_config(variant)
        config_lib.check(config)
        assert config.name.startswith(file.stem)
        names.add(config.name)
    assert len(names) == len(presets) * len(config_lib.ABLATIONS), "runs of different variants must not share a folder"


def metrics(workdir, group):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if f"{group}/loss" in line}


def test_a_config_trains(trained):
    assert trained.said.status == 0, trained.said.err
    # A drive of the Eigen test list is at hand too, and left out.
    assert "32 snippets of 4 sequences to train on, 8 of 2 to validate" in trained.said.err
    assert str(trained.workdir) in trained.said.err
    assert "Traceback" not in trained.said.err

    stored = config_lib.from_json((trained.workdir / "config.json").read_text())
    assert (stored.name, stored.data.height, stored.loss.scales) == ("demo_depthpose", 64, 1)
    assert list(metrics(trained.workdir, "train")) == [1, 2]
    validation = metrics(trained.workdir, "validation")
    assert list(validation) == [2]
    assert {"validation/photometric", "validation/kept", "validation/abs_rel", "validation/a1"} <= set(validation[2])
    assert None not in validation[2].values()
    assert np.asarray(Image.open(trained.workdir / "images/snippet_0000002.png")).shape == (3 * 64 + 8, 3 * 96 + 8, 3)
    for which in ("best", "latest"):
        assert restore_variables(trained.workdir, stored, which)[1] == 2


ON_ONE_DEVICE = """
import pathlib, sys
import jax
from dopi_jax.config import from_json
from dopi_jax.training import restore_variables, frozen_variables
run, new = map(pathlib.Path, sys.argv[1:])
config = from_json((run / "config.json").read_text())
assert jax.device_count() == 1
variables, step = restore_variables(run, config)
config.phase, config.depthpose = "flow", f"~/{run.name}"
taught_by = frozen_variables(new, config)
jax.tree.map(lambda a, b: (a == b).all() or sys.exit("they differ"), taught_by, variables)
print(sorted(variables), step)
"""


def test_a_run_of_several_devices_is_evaluated_and_teaches_on_one(trained, tmp_path):
    """Phase 2 names it from the home folder."""
    assert jax.local_device_count() > 1
    done = subprocess.run(
        [sys.executable, "-c", ON_ONE_DEVICE, trained.workdir, tmp_path / "flow"],
        env=os.environ | {"XLA_FLAGS": "", "HOME": str(trained.workdir.parent)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "['depth', 'pose'] 2\n"), done.stderr


def test_the_workdir_may_be_in_the_home_folder(command, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    said = command("evaluate", "--task=depth", "--workdir=~/runs/x")
    assert f"error: no run in {tmp_path}/runs/x: expected {tmp_path}/runs/x/config.json" in said.err


def test_a_workdir_that_cannot_be_written_is_one_sentence(command, trained):
    said = command("train", *trained.arguments, "--workdir=/proc/run")
    assert said.status == 1
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert sentence.startswith("error: /proc/run cannot be written (") and said.err.endswith(f"{sentence}\n")
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_the_papers_config_trains(command, toy, tiny_kitti, tmp_path):
    """The default, with its own choice of data."""
    said = command("train", *toy, f"--config.data.root={tiny_kitti}", f"--workdir={tmp_path}", "--config.train.steps=2")
    assert said.status == 0, said.err
    assert "12 snippets of 2 sequences to train on, 8 of 2 to validate" in said.err
    assert list(metrics(tmp_path, "train")) == [1, 2]


@pytest.mark.slow
def test_the_released_preset_trains(command, toy, tiny_kitti, tmp_path):
    """Its best checkpoint is chosen by AbsRel against laser scans."""
    said = command(
        "train",
        "--config=configs/kitti_depthpose.py:occ,released",
        *toy,
        f"--config.data.root={tiny_kitti}",
        f"--workdir={tmp_path}",
        "--config.train.steps=1",
    )
    assert said.status == 0, said.err
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == {"step": 1, "score": metrics(tmp_path, "validation")[1]["validation/abs_rel"], "by": "abs_rel"}


@pytest.mark.slow
def test_a_config_on_real_recordings(command, toy, shared, tmp_path):
    """From training to both evaluations."""
    here = (f"--config.data.root={shared / 'data'}", f"--workdir={tmp_path}")
    steps = ("--config.train.steps=4", "--config.train.log_every=1")
    said = command("train", "--config=configs/kitti_depthpose_lite.py", *toy, *here, *steps)
    assert said.status == 0, said.err
    assert "814 snippets of 2 sequences to train on, 46 of 2 to validate" in said.err
    losses = [line["train/loss"] for line in metrics(tmp_path, "train").values()]
    assert len(losses) == 4 and np.isfinite(losses).all()

    said = command("evaluate", "--task=depth", *here)
    assert said.status == 0, said.err
    assert "25 of 697" in said.out
    said = command("evaluate", "--task=pose", *here, "--config.data.pose_test=kitti_odometry:03[600:640]")
    assert said.status == 0, said.err
    pose = json.loads((tmp_path / "evaluation/pose.json").read_text())
    assert pose["ate"]["5"]["03[600:640]"]["snippets"] == 36


@pytest.mark.slow
def test_a_focal_length_that_is_learnt_is_told_at_the_end(command, trained, tmp_path):
    steps = ("--config.train.steps=1", "--config.data.intrinsics=learned", f"--workdir={tmp_path}")
    said = command("train", *trained.arguments, *steps)
    assert said.status == 0, said.err
    factor = metrics(tmp_path, "train")[1]["train/focal_factor"]
    assert abs(np.log(factor)) == pytest.approx(10 * 5e-4, rel=1e-2)  # one step of Adam
    told = f"learnt focal length: {factor:.3f} times what training started from; for the frames of 2011_09_26_drive_0095"
    focal = f"{72 * factor:.1f}"  # of camera 2, see CAM_TO_CAM
    assert told in said.err and f"124x37, that makes fx,fy,cx,cy = {focal},{focal},60.0,17.0" in said.err


@pytest.mark.slow
def test_a_run_asked_to_stop_goes_on_from_there(trained, tmp_path):
    """As a user does it: another process, SIGTERM; on one device, though the first steps were done on four."""
    workdir = tmp_path / "run"
    shutil.copytree(trained.workdir, workdir)
    arguments = [*trained.arguments, f"--workdir={workdir}", "--config.train.steps=100000"]
    environment = os.environ | {"XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = threading.Timer(500, process.kill)
    deadline.start()
    said = ""
    for line in process.stderr:
        said += line
        if "first step done" in line:
            process.send_signal(signal.SIGTERM)
    deadline.cancel()
    assert process.wait() == 0, said
    assert "1 cpu device(s)" in said
    assert "resumed from step 2\n" in said
    assert "as asked; the same command goes on from here" in said

    config = config_lib.from_json((workdir / "config.json").read_text())
    variables, step = restore_variables(workdir, config, "latest")
    assert step > 2 and f"stopped at step {step} " in said
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    lines = metrics(workdir, "train")
    assert list(lines) == sorted({1, 2, 3, step})


@pytest.mark.slow
def test_depth_is_taught_by_motion_stereo_on_real_recordings(command, shared, tmp_path):
    """configs/driving_stereo.py as it is, but for size and data: the depth network alone changes."""
    said = command(
        "train",
        "--config=configs/driving_stereo.py",
        "--config.data.height=64",
        "--config.data.width=192",
        "--config.data.train=('kitti_raw:2011_09_26_drive_0095[:16]',)",
        "--config.data.validation=('kitti_raw:2011_09_26_drive_0095[248:252]',)",
        f"--config.data.root={shared / 'data'}",
        f"--workdir={tmp_path}",
        "--config.train.steps=2",
        "--config.train.log_every=1",
    )
    assert said.status == 0, said.err
    lines = metrics(tmp_path, "train").values()
    assert all(line["train/taught"] > 0.5 and line["train/loss"] == line["train/stereo_difference"] for line in lines)
    _, trained, _ = read_run(tmp_path)
    before = dopi_jax.load("driving").variables
    moved = {
        name: max(np.abs(a - b).max() for a, b in zip(*(jax.tree.leaves(v[name]) for v in (trained, before)), strict=True))
        for name in ("depth", "pose")
    }
    assert moved["pose"] < 1e-6 < 1e-5 < moved["depth"]
