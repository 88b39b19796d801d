"""What a run leaves to read: metrics.jsonl, TensorBoard events, pictures, and a progress line."""

import json
import math
import pathlib
import sys
from collections.abc import Mapping

import numpy as np
from PIL import Image
from tqdm import tqdm


class RunLog:
    """Writes one run's metrics and pictures, and shows its progress with speed and time left."""

    def __init__(self, workdir: pathlib.Path, steps: int, start_step: int = 0):
        """Opens the logs. Lines of steps after `start_step`, which a resumed run does again, are dropped.

        Args:
          workdir: The run's folder.
          steps: The step at which training ends.
          start_step: The step at which it starts.
        """
        from tensorboardX import SummaryWriter  # training's commands need it, networks and steps do not

        self._file = workdir / "metrics.jsonl"
        self._pictures = workdir / "images"
        self._pictures.mkdir(parents=True, exist_ok=True)
        _keep_lines_up_to(self._file, start_step)
        self._events = SummaryWriter(str(workdir), purge_step=start_step + 1 if start_step else None)
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
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
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
        partial = path.with_suffix(".partial")
        Image.fromarray(image).save(partial, format="png")
        partial.rename(path)
        self._events.add_image(name, image, step, dataformats="HWC")

    def warn(self, step: int, message: str) -> None:
        """Tells a sentence on the terminal, above the progress line, and in TensorBoard.

        Args:
          step: Updates done.
          message: The sentence.
        """
        self.say(f"note: {message}")
        self._events.add_text("note", message, step)

    def say(self, message: str) -> None:
        """Prints a line above the progress line."""
        self._bar.write(message, file=sys.stderr)

    def close(self) -> None:
        """Finishes the progress line and the event file."""
        self._bar.close()
        self._events.close()


def _keep_lines_up_to(file: pathlib.Path, step: int) -> None:
    if not file.exists():
        return
    kept = []
    for line in file.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue  # cut off when the run was killed
    partial = file.with_suffix(".partial")
    partial.write_text("".join(kept))
    partial.rename(file)
