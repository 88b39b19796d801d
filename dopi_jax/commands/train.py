"""`python train.py --config configs/NAME.py`: trains the networks of a config into a run's folder."""

from absl import flags

from dopi_jax.command_line import flags as command_flags
from dopi_jax.experiments.training_run import run_training
from dopi_jax.training import processes

_COORDINATOR = flags.DEFINE_string("coordinator", "", "Of several processes: HOST:PORT of the first (docs/CLUSTER.md).")
_PROCESSES = flags.DEFINE_integer("processes", 0, "How many processes train together; a launcher such as srun tells it.")
_PROCESS = flags.DEFINE_integer("process", -1, "Which of them this is, from 0.")


def main() -> None:
    """Trains the config that the flags name."""
    config = command_flags.config()
    workdir = command_flags.workdir()
    command_flags.use_compilation_cache()
    command_flags.print_warnings_as_notes()
    processes.join(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    with processes.ending_together():
        run_training(config, workdir)


if __name__ == "__main__":
    command_flags.run(main)
