"""`dopi-jax ablation`: the rows of the paper's Tables II and V, trained and tested on drawn streets.

Every row is trained with every seed, on that seed's streets; a row of phase 2 is taught by the full phase 1 of its seed.
Existing results are kept, so seeds can be added later, and an interrupted run goes on.
"""

import contextlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from dopi_jax import evaluation
from dopi_jax.command_line import flags as command_flags
from dopi_jax.config import ABLATIONS, FLOW_ABLATIONS
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors
from dopi_jax.experiments.synthetic_runs import check_choices, draw_streets, print_stage, train_phase
from dopi_jax.experiments.tasks import TASKS
from dopi_jax.training.run_folder import hold

_FIRST_SEED = 20  # streets that no decision in this project is based on
# Also with later methods' choices; in phase 1 with the paper's masks and without.
_ROWS = {"depthpose": (*ABLATIONS, "basic,modern", "full,modern"), "flow": (*FLOW_ABLATIONS, "full,modern")}
_TABLES = {"depthpose": "Table II", "flow": "Table V"}


def main(arguments: list[str] | None = None) -> None:
    """Runs the ablations; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    parser = ArgumentParser("dopi-jax ablation", description="The paper's ablations on drawn streets.")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/ablation"), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of each training, instead of what the demo's configs say")
    with report_user_errors():
        options = parser.parse_args(arguments)
        if options.seeds < 1:
            raise UserError(f"--seeds is {options.seeds}: expected at least 1")
        with hold(options.workdir):
            run(options.workdir, range(_FIRST_SEED, _FIRST_SEED + options.seeds), options.steps)


def run(workdir: pathlib.Path, seeds: Sequence[int], steps: int | None = None) -> None:
    """Trains and tests the rows that are missing, and prints and writes both tables.

    Args:
      workdir: Folder of the runs, with one folder a seed; the tables are ablation.txt and ablation.json.
      seeds: Of the streets and of the training.
      steps: Of each training; None for what the demo's configs say.

    Raises:
      UserError: A training cannot be done.
    """
    check_choices(max(seeds), steps)
    command_flags.use_compilation_cache()
    command_flags.print_warnings_as_notes()
    results = {(phase, row): [] for phase, rows in _ROWS.items() for row in rows}
    for seed in seeds:
        folder = workdir / f"seed_{seed}"
        draw_streets(folder / "data", seed)
        for phase, row in results:
            print_stage(f"seed {seed}, {_TABLES[phase]}, {row}")
            trained = train_phase(
                phase,
                folder / f"{phase}_{row}",
                folder / "data",
                seed,
                variant=row,
                steps=steps,
                depthpose=folder / "depthpose_full" if phase == "flow" else None,
            )
            with contextlib.redirect_stdout(None):
                for task in _METRICS[phase]:
                    TASKS[task](trained)
            results[phase, row].append(_metrics(trained.results_folder(), phase))

    tables = [_table(phase, {row: results[phase, row] for row in rows}) for phase, rows in _ROWS.items()]
    written = {f"{_TABLES[phase]}, {row}": of_seeds for (phase, row), of_seeds in results.items()}
    (workdir / "ablation.txt").write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    (workdir / "ablation.json").write_text(json.dumps({"seeds": list(seeds), **written}, indent=2) + "\n", encoding="utf-8")
    print("\n\n".join(tables))


# By phase and task, the metrics and where TASK.json has them; * stands for the mean over all keys.
_METRICS = {
    "depthpose": {
        "depth": {"AbsRel": ("cc", "abs_rel"), "RMSE [m]": ("cc", "rmse"), "a1": ("cc", "a1")},
        "pose": {"3-frame ATE [m]": ("ate", "3", "*", "mean"), "rotation [rad]": ("trajectory", "*", "rotation_error")},
    },
    "flow": {
        "flow": {
            f"EPE {region} [px]": ("dopi_jax, flow network", region, "epe") for region in ("all", "noc", "occ", "moving")
        },
    },
}


def _metrics(folder: pathlib.Path, phase: str) -> dict[str, float]:
    found = {}
    for task, metrics in _METRICS[phase].items():
        result = json.loads((folder / f"{task}.json").read_text(encoding="utf-8"))
        found |= {name: _look_up(result, path) for name, path in metrics.items()}
    return found


def _look_up(result, path: Sequence[str]) -> float:
    if not path:
        return float(result)
    if path[0] == "*":
        return float(np.mean([_look_up(value, path[1:]) for value in result.values()]))
    return _look_up(result[path[0]], path[1:])


def _table(phase: str, results: dict[str, list[dict[str, float]]]) -> str:
    """The rows with mean and standard deviation over the seeds."""
    names = [name for metrics in _METRICS[phase].values() for name in metrics]
    rows = []
    for row, of_seeds in results.items():
        values = [[metrics[name] for metrics in of_seeds] for name in names]
        rows.append([row, *(f"{np.mean(v):.4f} ± {np.std(v):.4f}" for v in values)])
    count = len(next(iter(results.values())))
    title = f"{_TABLES[phase]} on drawn streets: mean ± standard deviation over {count} seeds"
    return evaluation.render_table(title, ["row", *names], rows)


if __name__ == "__main__":
    main()
