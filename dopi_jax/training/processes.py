"""Several processes, of one machine or many, that train one run together; started by hand or by a cluster's launcher.

Each process drives the devices of its machine and reads its share of every batch, from data under the same path. The first
one alone reads and writes the run's folder, and broadcasts the state that training starts from.
"""

import contextlib
import logging
import os
import pickle
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dopi_jax.errors import UserError

# A process that is not heard of for so long has died, and JAX ends all others.
HEARTBEAT_SECONDS = 60
_CONNECT_SECONDS = 300
# In which SLURM and Open MPI tell every process how many there are; JAX finds the rest by itself.
_LAUNCHERS_COUNTS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
_LOST = "Gloo|NCCL|coordination|DEADLINE_EXCEEDED|UNAVAILABLE"  # in JAX's errors when a process is gone


def join(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Connects this process with the others of its run; before anything asks JAX for a device.

    Args:
      coordinator: HOST:PORT of the first process, as all reach it; empty if a launcher tells, or there is one process.
      processes: How many there are.
      process: Which this is, from 0.

    Raises:
      UserError: The three do not go together, or the others cannot be reached.
    """
    if not coordinator and processes == 0 and process == -1:
        if all(int(os.environ.get(name, 1)) <= 1 for name in _LAUNCHERS_COUNTS):
            return
        given = {}
    elif not coordinator or processes < 1 or not 0 <= process < processes:
        raise UserError(
            f"--coordinator={coordinator} --processes={processes} --process={process}: expected HOST:PORT of the first "
            "process, how many there are, and which this is, from 0; or none of the three"
        )
    else:
        given = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    logging.getLogger("jax._src.distributed").setLevel(logging.WARNING)
    try:
        jax.distributed.initialize(
            **given, initialization_timeout=_CONNECT_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes of the run cannot be connected: {str(error).splitlines()[0]}") from error


def is_first() -> bool:
    """Returns whether this is the process that writes; a single process is."""
    return jax.process_index() == 0


def share() -> tuple[int, int]:
    """Returns which part of every batch this process reads, and of how many."""
    return jax.process_index(), jax.process_count()


def broadcast(tree: Any) -> None:
    """Sends a tree of arrays from the first process to all others, which `receive` it; a single process sends nothing.

    Args:
      tree: The arrays, which need no file that all processes see.
    """
    if jax.process_count() > 1:
        _broadcast(np.frombuffer(pickle.dumps(jax.device_get(tree)), np.uint8))


def receive() -> Any:
    """Returns what the first process broadcasts, on the host."""
    return pickle.loads(_broadcast(None).tobytes())


def _broadcast(data: np.ndarray | None) -> np.ndarray:
    """Returns the bytes of the first process, in all of them."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(0 if data is None else len(data))))
    return np.asarray(multihost_utils.broadcast_one_to_all(np.zeros(size, np.uint8) if data is None else data))


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Ends this process at once at an error inside, so that the others end too; a `UserError` is printed as a sentence.

    A process that exits as usual would wait for the others, which wait for it.
    """
    try:
        yield
    except BaseException as error:
        if jax.process_count() == 1:
            raise
        who = f"process {jax.process_index()} of {jax.process_count()}"
        if isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr)
        elif re.search(_LOST, str(error)):
            print(
                f"error: {who} cannot reach another, which has probably ended; its own output says why: start all of them "
                "again, and training goes on from the last checkpoint",
                file=sys.stderr,
            )
        else:
            print(f"{who}:", file=sys.stderr)
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
