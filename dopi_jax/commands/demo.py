"""`make demo`: draws streets, trains both phases on them, measures them on unseen streets, and writes a report.

Every stage writes its result into the demo's folder and is skipped if it is there, and training resumes: after an
interruption the same command goes on.
"""

import pathlib
import time

from dopi_jax.command_line import flags as command_flags
from dopi_jax.errors import ArgumentParser, report_user_errors
from dopi_jax.experiments.report import summary_table, write_report
from dopi_jax.experiments.synthetic_runs import check_choices, draw_streets, print_stage, train_phase
from dopi_jax.experiments.tasks import TASKS
from dopi_jax.training.run_folder import hold


def main(arguments: list[str] | None = None) -> None:
    """Runs the demo; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    parser = ArgumentParser("dopi-jax demo", description="Trains on streets drawn by itself.")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/demo"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="of streets and training (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of each phase, instead of what the configs say")
    with report_user_errors():
        options = parser.parse_args(arguments)
        with hold(options.workdir):
            run(options.workdir, options.seed, options.steps)


def run(workdir: pathlib.Path, seed: int, steps: int | None = None) -> None:
    """Runs all stages that are not done yet.

    Args:
      workdir: The demo's folder.
      seed: Of the streets and of the training.
      steps: Of each phase; None for what the configs say.

    Raises:
      UserError: A stage cannot be done.
    """
    check_choices(seed, steps)
    command_flags.use_compilation_cache()
    command_flags.print_warnings_as_notes()
    started = time.monotonic()
    data = workdir / "data"
    draw_streets(data, seed)
    runs = {phase: workdir / phase for phase in ("depthpose", "flow")}
    train_phase("depthpose", runs["depthpose"], data, seed, steps=steps)
    # The run of phase 2 holds the networks of phase 1 as well.
    trained = train_phase("flow", runs["flow"], data, seed, steps=steps, depthpose=runs["depthpose"])
    for task, evaluate in TASKS.items():
        print_stage(f"measuring {task} on streets that nothing was trained on")
        evaluate(trained)
    report = write_report(workdir, trained, runs)
    print(f"\n{summary_table(trained.results_folder())}\n")
    print(f"{(time.monotonic() - started) / 60:.0f} minutes; the report with pictures: {report}")


if __name__ == "__main__":
    main()
