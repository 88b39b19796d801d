"""Checkpoints in a run's folder: the last few, and the best by validation."""

import json
import math
import pathlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training.checkpoint_folder import CheckpointFolder, Unusable, cannot_be_used, none_can_be_used
from dopi_jax.training.notes import Notes
from dopi_jax.training.run_folder import reason, set_aside, user_error_if_unwritable, write_whole
from dopi_jax.training.state import TrainState

_ITEMS = ("params", "batch_stats", "opt_state", "averaged")


class Checkpoints:
    """The checkpoints of one run, for the process that trains it: `checkpoints/STEP/` for the last ones, `best/STEP/`.

    Parameters, batch statistics and optimiser state are items of their own, so that evaluation restores what it needs. A
    failed write is reported and the run goes on; an unreadable checkpoint is reported and set aside.

    Attributes:
      bad_steps: Steps that the run skipped before the checkpoint that was restored.
    """

    def __init__(self, workdir: pathlib.Path, keep: int = 3, config: Config | None = None):
        """Opens the folders.

        Args:
          workdir: The run's folder.
          keep: How many of the last checkpoints stay.
          config: The run's, kept in every checkpoint for the case that config.json is lost.
        """
        self._workdir = workdir
        self._keep = keep
        self.bad_steps = 0
        self._about = {} if config is None else {"config": config_lib.to_json(config)}
        self._notes = Notes(workdir)
        self._best_file = workdir / "best.json"
        self._latest = CheckpointFolder(workdir / "checkpoints")
        self._best = CheckpointFolder(workdir / "best")
        for folder in (self._latest, self._best):
            with user_error_if_unwritable(workdir):
                folder.path.mkdir(parents=True, exist_ok=True)
            folder.clear_partial()
        self._latest_step = next(iter(self._latest.steps()), None)
        best = read_best(self._best_file)
        if best is not None and best["step"] in self._best.steps():
            self._retire_best(best["step"])
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: tuple[int, Future[OSError | None]] | None = None
        self._failed: tuple[int, OSError] | None = None

    @property
    def latest_step(self) -> int | None:
        """The step of the last checkpoint, None if there is none."""
        return self._latest_step

    def save(self, state: TrainState, bad_steps: int = 0) -> None:
        """Writes a checkpoint in the background, unless this step has one.

        Args:
          state: The state.
          bad_steps: Steps that the run has skipped so far.
        """
        self._wait()
        step = int(state.step)
        if step != self._latest_step:
            items = _on_host(state)
            about = self._about | {"bad_steps": bad_steps}
            self._writing = step, self._writer.submit(self._write_latest, step, items, about)
            self._latest_step = step

    def _write_latest(self, step: int, items: Mapping[str, Any], about: Mapping[str, Any]) -> OSError | None:
        try:
            self._latest.write(step, items, about)
        except OSError as error:
            good = next(iter(self._latest.steps()), None)
            self._tell_unwritten(f"the checkpoint of step {step}", error, good, "checkpoint")
            return error
        self._latest.delete([other for other in self._latest.steps() if other <= step][self._keep :])
        return None

    def _retire_best(self, step: int) -> None:
        self._best.delete([other for other in self._best.steps() if other != step])

    def _tell_unwritten(self, what: str, error: OSError, good: int | None, period: str) -> None:
        stays = "there is none before it" if good is None else f"that of step {good} stays"
        self._notes.tell(
            f"{what} cannot be written to {self._workdir} ({reason(error)}): {stays}, training goes on and tries again at "
            f"the next {period}"
        )

    def _wait(self) -> None:
        """Waits for the checkpoint that is being written; one that failed is tried again when the next is due."""
        if self._writing is None:
            return
        (step, writing), self._writing = self._writing, None
        error = writing.result()
        self._failed = None if error is None else (step, error)
        if error is not None:
            self._latest_step = next(iter(self._latest.steps()), None)

    def save_if_best(self, state: TrainState, score: float, by: str) -> bool:
        """Writes a checkpoint if its score is the lowest of the run.

        Args:
          state: The state.
          score: The lower the better.
          by: What the score is; scores of another kind, from before the config was changed, do not count.

        Returns:
          Whether it was, and could be written.
        """
        if not score < self._best_score(by):  # not "is at least": NaN must not be the best
            return False
        step = int(state.step)
        best = {"step": step, "score": score, "by": by}
        try:
            about = self._about | {"best": best}
            self._writer.submit(self._best.write, step, _on_host(state), about).result()  # Orbax writes one at a time
            write_whole(self._best_file, json.dumps(best) + "\n")
        except OSError as error:
            good = next(iter(self._best.steps()), None)
            self._tell_unwritten(f"the best checkpoint so far, of step {step},", error, good, "validation")
            return False
        self._retire_best(step)
        return True

    def _best_score(self, by: str) -> float:
        best = read_best(self._best_file)
        if best is None and self._best_file.exists():
            kept = set_aside(self._best_file, self._workdir)
            best = _newest_best(self._best)
            told = "written again from the best checkpoint" if best else "the best checkpoint is chosen anew"
            self._notes.tell(f"{self._best_file} is damaged: set aside as {kept}, {told}")
            if best is not None:
                write_whole(self._best_file, json.dumps(best) + "\n")
        return best["score"] if best is not None and best["by"] == by else math.inf

    def restore(self, like: TrainState) -> TrainState:
        """Returns the last checkpoint's state; those that cannot be used are told, set aside, and the one before is used.

        Args:
          like: A state of the same shapes, on the devices where the result should be.

        Returns:
          The state.

        Raises:
          UserError: There is no checkpoint, or none can be used.
        """
        self._wait()
        unusable: dict[int, Unusable] = {}
        for step in self._latest.steps():
            try:
                items = self._read(step, like)
            except Unusable as error:
                unusable[step] = error
                continue
            for other, error in unusable.items():
                path = self._latest.path / str(other)
                kept = set_aside(path, self._workdir)
                self._notes.tell(f"{cannot_be_used(path, error)}: set aside as {kept}, the one of step {step} is used")
            self._latest_step = step
            self.bad_steps = self._latest.about(step).get("bad_steps", 0)
            # On the devices of the rest: another placement would compile the step twice.
            return like.replace(step=jax.device_put(np.int32(step), like.step.sharding), **items)
        if not unusable:
            raise UserError(f"no checkpoint in {self._latest.path}: train first, or name another run")
        raise none_can_be_used({self._latest.path / str(step): error for step, error in unusable.items()})

    def _read(self, step: int, like: TrainState) -> dict[str, Any]:
        wanted = _items(like)
        begins_to_average = bool(like.averaged) and not self._latest.has(step, "averaged")
        found = self._latest.read(step, {**wanted, "averaged": {}} if begins_to_average else wanted)
        if begins_to_average:
            found["averaged"] = jax.tree.map(np.copy, found["params"])
        return {name: _placed(found[name], tree) if name in found else tree for name, tree in wanted.items()}

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._wait()
        self._writer.shutdown()

    def check_last(self) -> None:
        """Raises if what was saved last is not on disk.

        Raises:
          UserError: It is not; the sentence says what the run goes on from.
        """
        if self._failed is None:
            return
        step, error = self._failed
        goes_on = "anew" if self._latest_step is None else f"from step {self._latest_step}"
        raise UserError(
            f"step {step} is done, but its checkpoint cannot be written to {self._workdir} ({reason(error)}): make room, or "
            f"make the folder writable; the same command then goes on {goes_on}"
        ) from error


def newest_config(workdir: pathlib.Path) -> Config | None:
    """Returns the config that the checkpoints of a run carry; None where none does."""
    for folder in (CheckpointFolder(workdir / "checkpoints"), CheckpointFolder(workdir / "best")):
        for step in folder.steps():
            try:
                return config_lib.from_json(folder.about(step)["config"])
            except (Unusable, KeyError, UserError):
                continue
    return None


def _items(state: TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _ITEMS}


def _on_host(state: TrainState) -> dict[str, Any]:
    """A copy: the next step reuses the memory of the state."""
    return jax.tree.map(np.array, jax.device_get(_items(state)))


def _placed(tree: Any, like: Any) -> Any:
    """The arrays on the devices where those of `like` are."""
    return jax.tree.map(lambda array, leaf: jax.device_put(array, leaf.sharding), tree, like)


def read_best(file: pathlib.Path) -> dict[str, Any] | None:
    """Returns what best.json says.

    Args:
      file: It.

    Returns:
      `step`, `score` and what the score is, `by`; None if there is no file, or none that can be read.
    """
    try:
        best = json.loads(file.read_text(encoding="utf-8"))
        return best if isinstance(best["score"], int | float) and {"step", "by"} <= best.keys() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _newest_best(folder: CheckpointFolder) -> dict[str, Any] | None:
    for step in folder.steps():
        try:
            return folder.about(step)["best"]
        except (Unusable, KeyError):
            continue
    return None
