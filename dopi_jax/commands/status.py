"""`dopi-jax status RUN`: how far a run is, when it will be done, and what it had to tell."""

import argparse
import datetime
import pathlib
import time
from typing import Any

from dopi_jax.config import Config
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors
from dopi_jax.training.checkpoint import read_best
from dopi_jax.training.checkpoint_folder import CheckpointFolder
from dopi_jax.training.logging import read_metrics
from dopi_jax.training.notes import Notes
from dopi_jax.training.run_config import has_config, read_config
from dopi_jax.training.run_folder import user

_EXAMPLE = """\
  dopi-jax status runs/kitti_depthpose
  dopi-jax status runs/*
"""
_SPEEDS = 10  # lines of metrics; a line's speed is that of the steps since the line before it
_NOTES = 5


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    with report_user_errors():
        run(_parser().parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Prints what is known of each run.

    Raises:
      UserError: A folder holds no run.
    """
    for number, folder in enumerate(options.runs):
        if not has_config(folder):
            raise UserError(f"{folder} is no run's folder: expected one with config.json")
        print("\n" * bool(number) + "\n".join(describe(folder)))


def describe(folder: pathlib.Path) -> list[str]:
    """Returns lines about a run.

    Args:
      folder: The run's folder.
    """
    config, metrics, used_by = read_config(folder), read_metrics(folder), user(folder)
    trained = [line for line in metrics if "train/loss" in line]
    step = max((line["step"] for line in trained), default=0)
    return [
        f"{folder}: {config.name}, phase {config.phase}",
        f"  {_activity(used_by, step, config)}",
        f"  {_progress(trained, step, config, running=used_by is not None)}",
        *_last_written(folder, trained),
        f"  {_best(folder)}",
        f"  checkpoints: {_steps(folder / 'checkpoints')}",
        f"  on disk: {_size(folder)}",
        *_notes(folder),
    ]


def _activity(used_by: str | None, step: int, config: Config) -> str:
    if used_by:
        return f"in training by {used_by}"
    if step >= config.train.steps:
        return "done"
    return "not in training; the command that began it goes on from the last checkpoint"


def _progress(trained: list[dict[str, Any]], step: int, config: Config, running: bool) -> str:
    total = config.train.steps
    parts = [f"step {step} of {total} ({step / total:.1%})"]
    speeds = [line["train/steps_per_second"] for line in trained if line.get("train/steps_per_second")][-_SPEEDS:]
    if speeds:
        speed = len(speeds) / sum(1 / speed for speed in speeds)
        parts.append(f"{speed:.3g} steps/s")
        if step < total:
            left = _duration((total - step) / speed)
            parts.append(f"{left} left" if running else f"{left} to do")
    return ", ".join(parts)


def _last_written(folder: pathlib.Path, trained: list[dict[str, Any]]) -> list[str]:
    if not trained:
        return []
    loss = trained[-1]["train/loss"]
    ago = _duration(time.time() - (folder / "metrics.jsonl").stat().st_mtime)
    return [f"  loss {'not finite' if loss is None else f'{loss:.4f}'}, written {ago} ago"]


def _best(folder: pathlib.Path) -> str:
    best = read_best(folder / "best.json")
    if best is None:
        return "best: none yet" if not (folder / "best.json").exists() else "best: best.json is damaged"
    if best["by"] == "latest":
        return f"best: step {best['step']}, the last that was validated"
    return f"best: step {best['step']}, {best['by']} {best['score']:.4f}"


def _steps(folder: pathlib.Path) -> str:
    return ", ".join(f"step {step}" for step in reversed(CheckpointFolder(folder).steps())) or "none yet"


def _size(folder: pathlib.Path) -> str:
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        try:
            size = path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # the run goes on meanwhile
            continue
        part = path.relative_to(folder).parts
        sizes[part[0] if len(part) > 1 else "logs"] = sizes.get(part[0] if len(part) > 1 else "logs", 0) + size
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
    return f"{_bytes(sum(sizes.values()))} ({', '.join(f'{name} {_bytes(size)}' for name, size in largest)})"


def _notes(folder: pathlib.Path) -> list[str]:
    notes = Notes(folder).last(_NOTES)
    return ["  last notes:", *(f"    {note['time']} {note['note']}" for note in notes)] if notes else ["  no notes"]


def _bytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _duration(seconds: float) -> str:
    """In two units: "3 d 4 h", "2 h 5 min", "4 min 10 s", "12 s"."""
    whole = datetime.timedelta(seconds=max(0, round(seconds)))
    hours, rest = divmod(whole.seconds, 3600)
    units = [(whole.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {name}" for count, name in units[first : first + 2])


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax status", description="Says how far runs are, when they will be done, and what they told.", example=_EXAMPLE
    )
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="a run's folder")
    return parser


if __name__ == "__main__":
    main()
