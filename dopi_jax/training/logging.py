"""The log of a run: metrics.jsonl, TensorBoard events, pictures, and a progress line."""

import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax.training.events import EventFile, append_whole
from dopi_jax.training.notes import Notes
from dopi_jax.training.run_folder import reason, write_whole

_METRICS = "metrics.jsonl"


class RunLog:
    """Writes one run's metrics and pictures, and shows its progress with speed and time left.

    What cannot be written, because the disk is full, is reported once and skipped: it does not end the training.
    """

    def __init__(self, workdir: pathlib.Path, steps: int, start_step: int = 0):
        """Opens the logs. Lines of steps after `start_step`, which a resumed run does again, are dropped.

        Args:
          workdir: The run's folder.
          steps: The step at which training ends.
          start_step: The step at which it starts.
        """
        self._notes = Notes(workdir)
        self._pictures = workdir / "images"
        self._pictures.mkdir(parents=True, exist_ok=True)
        for partial in self._pictures.glob("*.partial"):
            partial.unlink()
        metrics = workdir / _METRICS
        self._kept = [line for line in read_metrics(workdir) if line["step"] <= start_step]
        write_whole(metrics, "".join(json.dumps(line) + "\n" for line in self._kept))
        self._file = metrics.open("ab", buffering=0)
        self._events = EventFile(workdir, start_step)
        self._untold = {"metrics", "pictures"}
        # A terminal gets a live bar; a log file gets a line now and then.
        interval = 0.5 if sys.stderr.isatty() else 30
        self._bar = tqdm(total=steps, initial=start_step, unit="step", mininterval=interval, dynamic_ncols=True)

    def advance(self, steps: int = 1) -> None:
        """Moves the progress line on."""
        self._bar.update(steps)

    def scalars(self, step: int, values: Mapping[str, float], group: str = "train") -> None:
        """Writes one line of metrics.

        Args:
          step: Updates done.
          values: Named numbers.
          group: "train" or "validation"; names the tab in TensorBoard and the prefix in metrics.jsonl.
        """
        values = {f"{group}/{name}": float(value) for name, value in values.items()}
        # JSON has no NaN; null says that a number was due.
        line = {"step": step} | {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._try("metrics", lambda: append_whole(self._file, (json.dumps(line) + "\n").encode()))
        for name, value in values.items():
            self._try("metrics", lambda name=name, value=value: self._events.scalar(step, name, value))
        if group == "train":
            self._bar.set_postfix_str(f"loss {values['train/loss']:.4f}", refresh=False)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes a picture as images/NAME_STEP.png and as an event.

        Args:
          step: Updates done.
          name: What it shows.
          image: uint8 [H, W, 3].
        """
        path = self._pictures / f"{name}_{step:07d}.png"
        self._try("pictures", lambda: _write_picture(path, image))
        self._try("pictures", lambda: self._events.picture(step, name, image))

    def has(self, step: int, group: str) -> bool:
        """Returns whether metrics of a step that was done before this start are there.

        Args:
          step: The step.
          group: As for `scalars`.
        """
        return any(line["step"] == step and any(name.startswith(f"{group}/") for name in line) for line in self._kept)

    def warn(self, step: int, message: str) -> None:
        """Writes a warning to the terminal, the run's notes and TensorBoard.

        Args:
          step: Updates done.
          message: The sentence.
        """
        self._notes.tell(message)
        self._try("metrics", lambda: self._events.text(step, "note", message))

    def say(self, message: str) -> None:
        """Prints a line above the progress line."""
        self._bar.write(message, file=sys.stderr)

    def close(self) -> None:
        """Finishes the progress line and the event file."""
        self._bar.close()
        self._events.close()
        self._file.close()

    def _try(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if what in self._untold:
                self._untold.remove(what)
                self._notes.tell(f"{what} cannot be written ({reason(error)}): training goes on, and they have a gap")


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl, without one that was cut off.

    Args:
      workdir: The run's folder.
    """
    file = workdir / _METRICS
    if not file.exists():
        return []
    lines = map(_parsed, file.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line is not None]


def _write_picture(path: pathlib.Path, image: np.ndarray) -> None:
    partial = path.with_suffix(".partial")
    try:
        Image.fromarray(image).save(partial, format="png")
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _parsed(line: str) -> dict[str, Any] | None:
    """A line of metrics; None if it was cut off when the run was killed, or damaged."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else None
