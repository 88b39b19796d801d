"""Several processes, here of one machine, train one run together."""

import functools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import loop, parallel, processes, train

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def started(tmp_path):
    """A function that starts the two processes of a run, with a CPU device each, and returns them."""
    running = []

    def start(workdir, steps, seconds=0.0):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
        for process in (0, 1):
            arguments = [address, "2", str(process), str(workdir), str(steps), str(seconds)]
            running.append(
                subprocess.Popen(
                    [sys.executable, str(HERE / "one_process.py"), *arguments],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return running[-2:]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ended(running):
    """Their exit statuses, the last lines that they printed, and what they said."""
    said = [process.communicate(timeout=120) for process in running]
    lines = [printed.strip().rpartition("\n")[2] for printed, _ in said]  # Gloo prints, too
    return [process.returncode for process in running], lines, [told for _, told in said]


def wait_for(path, line):
    """Waits until a file of the run has a line."""
    for _ in range(600):
        if path.exists() and line in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} never had {line}")


def test_two_processes_train_what_one_trains_on_two_devices(weights, started, tmp_path, monkeypatch):
    statuses, lines, said = ended(started(tmp_path / "two", 30))
    assert statuses == [0, 0], said
    two_devices = jax.local_devices()[:2]
    monkeypatch.setattr(parallel.jax, "local_devices", lambda: two_devices)
    monkeypatch.setattr(loop.parallel, "data_parallel", functools.partial(parallel.data_parallel, devices=two_devices))
    config = Config()
    config.train.steps = 30
    alone = train(config, tmp_path / "one", weights.batches)
    assert lines == 2 * [f"step 30, w {np.asarray(alone.params['w']).tolist()}"]
    assert (tmp_path / "two/metrics.jsonl").read_text().count('"train/loss"') == 30

    statuses, lines, said = ended(started(tmp_path / "two", 40))
    assert statuses == [0, 0] and "resumed from step 30" in said[0], said
    assert lines[0] == lines[1] and lines[0].startswith("step 40")


def test_a_signal_to_one_stops_all_after_the_same_step(started, tmp_path):
    running = started(tmp_path / "run", 10_000, 0.02)
    wait_for(tmp_path / "run/metrics.jsonl", '"step": 5,')
    running[1].send_signal(signal.SIGTERM)
    statuses, lines, said = ended(running)
    assert statuses == [0, 0], said
    assert lines[0] == lines[1]
    step = int(lines[0].split()[1].rstrip(","))
    assert f"stopped at step {step} as asked" in said[0]
    assert (tmp_path / f"run/checkpoints/{step}").is_dir()


def test_when_one_dies_the_other_ends_with_a_sentence(started, tmp_path):
    running = started(tmp_path / "run", 10_000, 0.02)
    wait_for(tmp_path / "run/metrics.jsonl", '"step": 12,')
    running[1].kill()
    statuses, _, said = ended(running)
    assert statuses == [1, -signal.SIGKILL]
    assert "error: process 0 of 2 cannot reach another, which has probably ended" in said[0]
    assert (tmp_path / "run/checkpoints/10").is_dir()


@pytest.mark.parametrize("given", [("host:1", 0, 0), ("", 2, 0), ("host:1", 2, 2), ("host:1", 2, -1)])
def test_options_that_do_not_go_together(given):
    with pytest.raises(UserError, match="expected HOST:PORT of the first process, how many there are, and which this is"):
        processes.join(*given)


def test_alone_nothing_is_connected(monkeypatch):
    for launcher in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(launcher, raising=False)
    processes.join()
    assert processes.is_first() and processes.share() == (0, 1)
    with pytest.raises(UserError, match="as it is"), processes.ending_together():
        raise UserError("as it is")
