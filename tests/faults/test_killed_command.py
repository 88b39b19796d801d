"""train.py of the small networks, asked to stop while it compiles, killed, and asked to stop twice."""

import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from dopi_jax import config as config_lib
from dopi_jax.training import restore_variables

REPOSITORY = pathlib.Path(__file__).parents[2]
DRIVE = "2011_09_26_drive_0095"


@pytest.fixture
def begin(kitti, monkeypatch):
    """A function of a folder that begins a training of six steps, or goes on with it."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    kitti.drive(DRIVE, range(8), texture=True)
    fields = {
        "data.root": kitti.root,
        "data.height": 64,
        "data.width": 96,
        "data.train": f"kitti_raw:{DRIVE}",
        "data.validation": f"kitti_raw:{DRIVE}",
        "loss.scales": 1,
        "train.steps": 6,
        "train.checkpoint_every": 2,
        "train.validate_every": 3,
        "train.validation_batches": 1,
        "train.log_every": 1,
    }
    arguments = [f"--config.{name}={value}" for name, value in fields.items()]

    def start(workdir):
        command = [sys.executable, "train.py", "--config=configs/demo_depthpose.py", *arguments]
        return subprocess.Popen([*command, f"--workdir={workdir}"], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(process, text):
    said = ""
    while text not in said:
        said += process.stderr.read(1)
        assert process.poll() is None or text in said, said + process.stderr.read()


def finished(process):
    said = process.communicate()[1]
    assert "Traceback" not in said, said
    return process.returncode, said


@pytest.mark.slow
def test_the_command_ends_with_the_same_networks(begin, tmp_path):
    stopped = begin(tmp_path / "parts")
    wait_for(stopped, "compiling the train step")
    stopped.send_signal(signal.SIGTERM)
    status, said = finished(stopped)
    assert (status, "stopped at step 1 as asked; the same command goes on from here" in said) == (0, True), said

    killed = begin(tmp_path / "parts")
    wait_for(killed, "first step done")
    killed.kill()
    assert finished(killed)[0] == -signal.SIGKILL

    stopped = begin(tmp_path / "parts")
    wait_for(stopped, "compiling the train step")
    for _ in range(2):
        os.kill(stopped.pid, signal.SIGINT)
    assert finished(stopped)[0] in (0, 130)

    for folder in ("parts", "whole"):
        status, said = finished(begin(tmp_path / folder))
        assert status == 0, said
    config = config_lib.from_json((tmp_path / "whole/config.json").read_text())
    for which in ("latest", "best"):
        (parts, step), (whole, expected) = (restore_variables(tmp_path / f, config, which) for f in ("parts", "whole"))
        assert step == expected
        jax.tree.map(np.testing.assert_array_equal, parts, whole)
    assert (tmp_path / "parts/best.json").read_text() == (tmp_path / "whole/best.json").read_text()
