"""`make demo`: draws a street, trains both phases on it, measures them on unseen streets, and writes a report.

Every stage leaves its result in the demo's folder and is skipped when it is there, and training goes on where it stopped: a
demo that was interrupted is started again by the same command.
"""

import argparse
import pathlib
import runpy
import sys
import time

from dopi_jax import config as config_lib
from dopi_jax.commands import evaluate_depth, evaluate_flow, evaluate_occlusion, evaluate_pose, train
from dopi_jax.commands import flags as command_flags
from dopi_jax.commands.evaluation_run import EvaluationRun
from dopi_jax.commands.report import summary_table, write_report
from dopi_jax.errors import UserError
from dopi_jax.synthetic.layouts import write_layout

_SIZE = (128, 320)
_FRAMES = {"kitti_raw": 330, "kitti_odometry": 60, "kitti_flow_2015": 8}
_SEED = 7
_CONFIGS = {"depthpose": "configs/demo_depthpose.py", "flow": "configs/demo_flow.py"}
_TASKS = {
    "depth": evaluate_depth.evaluate,
    "pose": evaluate_pose.evaluate,
    "flow": evaluate_flow.evaluate,
    "occlusion": evaluate_occlusion.evaluate,
}


def main(arguments: list[str] | None = None) -> None:
    """Runs the demo; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    parser = argparse.ArgumentParser("python -m dopi_jax.commands.demo", description="Trains on streets drawn by itself.")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/demo"), help="default: %(default)s")
    parser.add_argument("--steps", type=int, help="of each phase, instead of what the configs say")
    options = parser.parse_args(arguments)
    try:
        run(options.workdir, options.steps)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def run(workdir: pathlib.Path, steps: int | None = None) -> None:
    """Does all stages that have not been done yet.

    Args:
      workdir: The demo's folder.
      steps: Of each phase; None for what the configs say.

    Raises:
      UserError: A stage cannot be done.
    """
    command_flags.use_compilation_cache()
    command_flags.tell_warnings_as_notes()
    started = time.monotonic()
    data = workdir / "data"
    for layout, frames in _FRAMES.items():
        if not (data / layout).is_dir():
            _say(f"drawing streets in the layout of {layout}")
            write_layout(layout, data, frames, _SEED, _SIZE)

    for phase, file in _CONFIGS.items():
        config = runpy.run_path(file)["get_config"]()
        config.data.root = str(data)
        config.data.height, config.data.width = _SIZE
        config.train.steps = steps or config.train.steps
        if phase == "flow":
            config.depthpose = str(workdir / "depthpose")
        config_lib.check(config)
        _say(f"training {'depth and motion' if phase == 'depthpose' else 'optical flow'}, {config.train.steps} steps")
        state = train.run(config, workdir / phase)
        if int(state.step) < config.train.steps:
            raise UserError("the demo was stopped; the same command goes on from here")

    # The run of phase 2 holds the networks of phase 1 as well.
    trained = EvaluationRun.open(workdir / "flow", {}, "best")
    for task, evaluate in _TASKS.items():
        _say(f"measuring {task} on streets that nothing was trained on")
        evaluate(trained)
    report = write_report(workdir, trained, runs={phase: workdir / phase for phase in _CONFIGS})
    print(f"\n{summary_table(trained.results_folder())}\n")
    print(f"{(time.monotonic() - started) / 60:.0f} minutes; the report with pictures: {report}")


def _say(what: str) -> None:
    print(f"-- {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
