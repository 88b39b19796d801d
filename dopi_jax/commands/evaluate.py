"""`python evaluate.py --task depth|pose|flow|occlusion`: a run's trained networks measured by the paper's protocols."""

import dataclasses
import pathlib

from absl import flags

from dopi_jax.command_line import flags as command_flags
from dopi_jax.errors import UserError
from dopi_jax.experiments import evaluate_flow
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.tasks import TASKS
from dopi_jax.training.trained import check_same_run

_RUN_OF_TASK = {"flow": "kitti_flow"}  # the default run of a task, where it is not that of the default config
_TASK = flags.DEFINE_string("task", None, f"What to measure: {', '.join(TASKS)}.")
_SUBMISSION = flags.DEFINE_bool("write-submission", False, "With --task flow: write the KITTI server's folder instead.")
_SAVE = flags.DEFINE_bool("save-predictions", False, "With --task depth or flow: write every map as a 16-bit PNG.")
_MODEL = flags.DEFINE_string("model", None, "A shipped model (driving) or a model file .npz, in place of a run.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "Which checkpoint: best (by validation) or latest.")


def main() -> None:
    """Evaluates the run or model that the flags name, by their task.

    The run's stored config is used, with the command's overrides. A config file that is named must describe the run's
    networks.
    """
    if _TASK.value not in TASKS:
        raise UserError(f"--task is {_TASK.value!r}: expected one of {', '.join(TASKS)}")
    if _SUBMISSION.value and _TASK.value != "flow":
        raise UserError(f"--write-submission goes with --task flow, --task is {_TASK.value!r}")
    if _SAVE.value and _TASK.value not in ("depth", "flow"):
        raise UserError(f"--save-predictions goes with --task depth or flow, --task is {_TASK.value!r}")
    if _CHECKPOINT.value not in ("best", "latest"):
        raise UserError(f"--checkpoint is {_CHECKPOINT.value!r}: expected best or latest")
    config = command_flags.config()
    default_run = pathlib.Path(_MODEL.value).stem if _MODEL.value else _RUN_OF_TASK.get(_TASK.value)
    workdir = command_flags.workdir(default_run)
    if command_flags.config_is_named():
        if _MODEL.value:
            raise UserError("--model has a config of its own: leave --config out; --config.FIELD=VALUE changes fields")
        check_same_run(workdir, config)
    command_flags.use_compilation_cache()
    command_flags.print_warnings_as_notes()
    on_street = _TASK.value == "occlusion"  # needs no data set, and works without a trained run
    if _MODEL.value:
        run = EvaluationRun.of_model(_MODEL.value, workdir, command_flags.overrides(), needs_data=not on_street)
    elif on_street and not (workdir / "config.json").exists():
        workdir.mkdir(parents=True, exist_ok=True)
        run = EvaluationRun(config, (), workdir, {}, 0)
    else:
        run = EvaluationRun.open(workdir, command_flags.overrides(), _CHECKPOINT.value, needs_data=not on_street)
    run = dataclasses.replace(run, saves_predictions=_SAVE.value)
    task = evaluate_flow.submit if _SUBMISSION.value else TASKS[_TASK.value]
    task(run)


if __name__ == "__main__":
    command_flags.run(main)
