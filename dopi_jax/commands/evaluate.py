"""`python evaluate.py --task depth|pose`: a run's trained networks measured by the paper's protocols."""

from absl import flags

from dopi_jax.commands import evaluate_depth, evaluate_pose
from dopi_jax.commands import flags as command_flags
from dopi_jax.commands.evaluation_run import EvaluationRun
from dopi_jax.errors import UserError
from dopi_jax.training.checkpoint import check_same_run

_TASKS = {"depth": evaluate_depth.evaluate, "pose": evaluate_pose.evaluate}
_TASK = flags.DEFINE_string("task", None, f"What to measure: {' or '.join(_TASKS)}.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "Which checkpoint: best (by validation) or latest.")


def main() -> None:
    """Evaluates what the flags say.

    The run's own stored config is used; of the command's, only overrides count. A config file that is named must agree
    with the run about the networks.
    """
    if _TASK.value not in _TASKS:
        raise UserError(f"--task is {_TASK.value!r}: expected {' or '.join(_TASKS)}")
    if _CHECKPOINT.value not in ("best", "latest"):
        raise UserError(f"--checkpoint is {_CHECKPOINT.value!r}: expected best or latest")
    config = command_flags.config()
    workdir = command_flags.workdir()
    if command_flags.config_is_named():
        check_same_run(workdir, config)
    command_flags.use_compilation_cache()
    run = EvaluationRun.open(workdir, command_flags.overrides(), _CHECKPOINT.value)
    _TASKS[_TASK.value](run)
