"""Several processes, of one machine or many, that train one run together; started by hand or by a cluster's launcher.

Each process drives the devices of its machine and reads its share of every batch; the first one writes. All of them see the
run's folder and the data under the same paths.
"""

import os
import sys
from typing import NoReturn

import jax
from jax.experimental import multihost_utils

from dopi_jax.errors import UserError

# A process that is not heard of for so long has died, and JAX ends all others.
HEARTBEAT_SECONDS = 60
_CONNECT_SECONDS = 300
# What launchers say to every process that they start, of those that JAX finds its way in by itself.
_LAUNCHERS = {"SLURM_STEP_NUM_TASKS": "SLURM", "OMPI_COMM_WORLD_SIZE": "Open MPI"}


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
        if all(int(os.environ.get(name, 1)) <= 1 for name in _LAUNCHERS):
            return
        given = {}
    elif not coordinator or processes < 1 or not 0 <= process < processes:
        raise UserError(
            f"--coordinator={coordinator} --processes={processes} --process={process}: expected HOST:PORT of the first "
            "process, how many there are, and which this is, from 0; or none of the three"
        )
    else:
        given = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    try:
        jax.distributed.initialize(
            **given, initialization_timeout=_CONNECT_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes of the run cannot be connected: {str(error).splitlines()[0]}") from error


def is_first() -> bool:
    """Returns whether this is the process that writes; the only one is."""
    return jax.process_index() == 0


def share() -> tuple[int, int]:
    """Returns which part of every batch this process reads, and of how many."""
    return jax.process_index(), jax.process_count()


def wait_for_all(what: str) -> None:
    """Returns when all processes have come here.

    Args:
      what: The place, the same in all of them.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def leave_after(error: BaseException) -> NoReturn:
    """Ends this process at once after an error, so that the others, which would wait for it, end too.

    Args:
      error: Why; a `UserError` is told as it is, anything else is taken for a lost connection.
    """
    if isinstance(error, UserError):
        said = str(error)
    else:
        said = (
            f"process {jax.process_index()} of {jax.process_count()} cannot reach another, which has probably ended; its "
            f"own output says why. Start all of them again, and training goes on from the last checkpoint "
            f"({str(error).splitlines()[0]})"
        )
    print(f"error: {said}", file=sys.stderr, flush=True)
    os._exit(1)
