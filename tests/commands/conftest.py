"""The commands called in this process, and a run that they have trained."""

import contextlib
import io
import pathlib
import sys
from types import SimpleNamespace
from unittest import mock

import jax
import pytest
from absl import app
from absl.testing import flagsaver

from dopi_jax.command_line import flags
from dopi_jax.commands import evaluate, train

REPOSITORY = pathlib.Path(__file__).parents[2]
TRAINING_DRIVE, VALIDATION_DRIVE = "2011_09_26_drive_0095", "2011_09_26_drive_0037"
EIGEN_TEST_DRIVE = "2011_09_26_drive_0052"


@pytest.fixture(scope="session")
def toy():
    """Arguments for a training at a size that a test can afford; what else a config says stays."""
    return (
        "--config.data.height=64",
        "--config.data.width=96",
        "--config.train.validation_batches=1",
    )


@pytest.fixture(scope="session")
def command():
    """A function that runs train.py or evaluate.py with arguments and returns `status`, `out` and `err`."""

    def call(name, *arguments):
        main = {"train": train.main, "evaluate": evaluate.main}[name]
        out, err = io.StringIO(), io.StringIO()
        with (
            flagsaver.flagsaver(),
            mock.patch.object(sys, "argv", [f"{name}.py", *map(str, arguments)]),
            contextlib.chdir(REPOSITORY),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            flags.run(main)
        return SimpleNamespace(status=ended.value.code or 0, out=out.getvalue(), err=err.getvalue())

    app.define_help_flags()  # which app.run does once only, whatever flagsaver takes back
    cache = jax.config.jax_compilation_cache_dir
    yield call
    jax.config.update("jax_compilation_cache_dir", cache)


@pytest.fixture(scope="session")
def tiny_kitti(tmp_path_factory, kitti_folder):
    """The root of a KITTI of few frames: a drive to train on, one to validate with laser scans, and two test sets."""
    kitti = kitti_folder(tmp_path_factory.mktemp("kitti"))
    kitti.drive(TRAINING_DRIVE, range(8), texture=True)
    kitti.drive(VALIDATION_DRIVE, range(6), texture=True)
    kitti.scans(VALIDATION_DRIVE, range(6))
    kitti.drive(EIGEN_TEST_DRIVE, range(5), cameras=(2,), texture=True)
    kitti.scans(EIGEN_TEST_DRIVE, range(5))
    for name in ("03", "09", "10"):
        kitti.odometry(name, range(12), texture=True)
        kitti.poses(name, 12)
    kitti.flow_scene("000000")
    return kitti.root


@pytest.fixture(scope="session")
def toy_flow(toy):
    """The same for phase 2."""
    return (*toy, "--config.data.width=128", "--config.train.batch_size=4")


@pytest.fixture(scope="session")
def trained(command, toy, tiny_kitti, tmp_path_factory):
    """A run of two steps of the demo's config on the whole of tiny_kitti: its `workdir`, and what the command `said`."""
    workdir = tmp_path_factory.mktemp("runs") / "depthpose"
    arguments = (
        "--config=configs/demo_depthpose.py",
        *toy,
        "--config.loss.scales=1",
        f"--config.data.root={tiny_kitti}",
        "--config.data.train=kitti_raw:eigen",
        "--config.data.train=kitti_odometry:03",
        "--config.data.validation=kitti_raw:eigen_val",
        "--config.data.pose_test=('kitti_odometry:09', 'kitti_odometry:10')",
        f"--workdir={workdir}",
    )
    jax.config.update("jax_disable_most_optimizations", True)
    said = command("train", *arguments, "--config.train.steps=2")
    jax.config.update("jax_disable_most_optimizations", False)
    return SimpleNamespace(workdir=workdir, said=said, root=tiny_kitti, arguments=arguments)


@pytest.fixture(scope="session")
def trained_flow(command, toy_flow, trained, tmp_path_factory):
    """A run of two steps of phase 2 taught by `trained`: its `workdir`, and what the command `said`."""
    workdir = tmp_path_factory.mktemp("runs") / "flow"
    arguments = (
        "--config=configs/demo_flow.py",
        *toy_flow,
        f"--config.depthpose={trained.workdir}",
        f"--config.data.root={trained.root}",
        "--config.data.train=kitti_odometry:03",
        "--config.data.validation=kitti_raw:eigen_val",
        f"--workdir={workdir}",
    )
    jax.config.update("jax_disable_most_optimizations", True)
    said = command("train", *arguments, "--config.train.steps=2")
    jax.config.update("jax_disable_most_optimizations", False)
    return SimpleNamespace(workdir=workdir, said=said, root=trained.root, arguments=arguments)
