"""Runs of the weight vector in processes of their own, to be killed: started by a fork, for importing JAX takes seconds.

Reads orders from stdin, one JSON object a line, and answers each with the status of the process: 0, or minus a signal.
"""

import faulthandler
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

import numpy as np
from conftest import weight_batches, weight_state, weight_step
from tensorboardX import summary  # noqa: F401  what a run imports late is here before the fork

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import loop

STEPS = 8
_FILE_OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


def run(workdir: pathlib.Path, nan_steps: Sequence[int] = ()) -> None:
    """Trains to the end: checkpoints every 2 steps, validation with a new best every 3, pictures every 4.

    The batches of some steps have a NaN.
    """

    def batches(first):
        for step, batch in enumerate(weight_batches(first), first + 1):
            if step in nan_steps:
                batch["x"][1] = np.nan
            yield batch

    loop.create_state, loop.train_step = weight_state, weight_step
    config = Config()
    schedule = {"steps": STEPS, "log_every": 1, "checkpoint_every": 2, "validate_every": 3, "image_every": 4}
    vars(config.train).update(schedule, keep_checkpoints=2)
    state = loop.train(
        config,
        workdir,
        batches,
        validate=lambda state: {"photometric": float(np.abs(state.params["w"] - np.array([1, 2, 3])).mean())},
        draw=lambda state: {"weights": np.zeros((4, 6, 3), np.uint8)},
    )
    np.savez(workdir / "final.npz", w=state.params["w"], momentum=state.opt_state["momentum"], step=state.step)


def kill_at_file_operation(count: int, workdir: pathlib.Path) -> None:
    """Kills this process before it touches a file of the run for the given time, counted from 1."""
    done = 0

    def look(event: str, arguments: tuple) -> None:
        nonlocal done
        if event in _FILE_OPERATIONS and str(arguments[0]).startswith(str(workdir)):
            done += 1
            if done == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def serve(order: dict) -> int:
    """Runs one order in a process of its own and returns how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        faulthandler.dump_traceback_later(100, exit=True)  # a run that hangs fails its test
        try:
            workdir = pathlib.Path(order["workdir"])
            log = os.open(f"{workdir}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if "kill_at" in order:
                kill_at_file_operation(order["kill_at"], workdir)
            run(workdir, order.get("nan_steps", ()))
            status = 0
        except UserError as error:
            os.write(2, f"error: {error}\n".encode())
        finally:
            os._exit(status)
    for seconds, name in order.get("signals", ()):
        time.sleep(seconds)
        os.kill(child, getattr(signal, name))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(serve(json.loads(line)), flush=True)
