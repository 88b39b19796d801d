"""Checkpoints in a run's folder: the last few, and the best by validation. The only place that knows Orbax."""

import json
import math
import pathlib
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training.state import TrainState, create_state

_ITEMS = ("params", "batch_stats", "opt_state")


class Checkpoints:
    """The checkpoints of one run: `checkpoints/STEP/` for the last ones and `best/STEP/` for the best one.

    Parameters, batch statistics and optimiser state are items of their own, so that evaluation restores what it needs.
    """

    def __init__(self, workdir: pathlib.Path, keep: int = 3):
        """Opens the folders; makes them if they are not there.

        Args:
          workdir: The run's folder.
          keep: How many of the last checkpoints stay.
        """
        self._best_score_file = workdir / "best.json"
        self._latest = _manager(workdir / "checkpoints", keep)
        self._best = _manager(workdir / "best", None)

    @property
    def latest_step(self) -> int | None:
        """The step of the last checkpoint, None if there is none."""
        return self._latest.latest_step()

    def save(self, state: TrainState) -> None:
        """Writes a checkpoint in the background, unless this step has one."""
        step = int(state.step)
        if step != self.latest_step:
            self._latest.save(step, args=_to_save(state))

    def save_if_best(self, state: TrainState, score: float) -> bool:
        """Writes a checkpoint if its score is the lowest of the run.

        Args:
          state: The state.
          score: The lower the better.

        Returns:
          Whether it was.
        """
        if not score < self._best_score():  # not "is at least": NaN must not be the best
            return False
        step = int(state.step)
        before = self._best.all_steps()
        if step in before:  # by a run that went on beyond its last checkpoint and is repeated now
            self._best.delete(step)
        self._best.save(step, args=_to_save(state), force=True)
        self._best.wait_until_finished()
        partial = self._best_score_file.with_suffix(".partial")
        partial.write_text(json.dumps({"step": step, "score": score}) + "\n")
        partial.rename(self._best_score_file)
        for other in before:
            if other != step:
                self._best.delete(other)
        return True

    def _best_score(self) -> float:
        if not self._best_score_file.exists():
            return math.inf
        return json.loads(self._best_score_file.read_text())["score"]

    def restore(self, like: TrainState) -> TrainState:
        """Returns the last checkpoint's state.

        Args:
          like: A state of the same shapes, on the devices where the result should be.

        Returns:
          The state.

        Raises:
          UserError: The checkpoint belongs to other networks.
        """
        step = self.latest_step
        items = {name: getattr(like, name) for name in _ITEMS}
        restored = _restore(self._latest, step, items)
        # On the devices of the rest: another placement would compile the step twice.
        return like.replace(step=jax.device_put(np.int32(step), like.step.sharding), **restored)

    def close(self) -> None:
        """Waits until everything is on disk."""
        for manager in (self._latest, self._best):
            manager.wait_until_finished()
            manager.close()


def restore_variables(
    workdir: pathlib.Path, config: Config, which: Literal["best", "latest"] = "best"
) -> tuple[dict[str, Any], int]:
    """Returns the trained networks' variables for evaluation.

    Args:
      workdir: The run's folder.
      config: The run's config.
      which: "best" by validation, or "latest"; "best" falls back to the latest if nothing was validated.

    Returns:
      {"depth": variables, "pose": variables} for `apply`, and the step they were saved at.

    Raises:
      UserError: There is no checkpoint, or it belongs to other networks.
    """
    check_same_run(workdir, config)
    folders = [workdir / "best", workdir / "checkpoints"] if which == "best" else [workdir / "checkpoints"]
    for folder in folders:
        if folder.is_dir():
            with _manager(folder, None) as manager:
                step = manager.latest_step()
                if step is not None:
                    state = jax.eval_shape(lambda: create_state(config))
                    items = {"params": state.params, "batch_stats": state.batch_stats}
                    restored = _restore(manager, step, items)
                    break
    else:
        raise UserError(
            f"no checkpoint in {workdir}: expected {workdir / 'checkpoints'}; train first, or name the run's folder "
            "with --workdir"
        )
    params, stats = restored["params"], restored["batch_stats"]
    return {"depth": {"params": params["depth"], "batch_stats": stats["depth"]}, "pose": {"params": params["pose"]}}, step


def check_same_run(workdir: pathlib.Path, config: Config) -> None:
    """Refuses to go on with a run whose networks are not those of the config.

    Args:
      workdir: The run's folder; nothing is checked if it holds no run yet.
      config: The config of the command.

    Raises:
      UserError: The folder holds a run of other networks; the sentence names the field.
    """
    stored_file = workdir / "config.json"
    if not stored_file.exists():
        return
    stored = config_lib.from_json(stored_file.read_text())
    for name, value in vars(config.model).items():
        found = getattr(stored.model, name)
        if found != value:
            raise UserError(
                f"{workdir} holds a run with model.{name} = {found!r}, but the config asks for {value!r}: "
                "use the run's own config, or another --workdir"
            )


def _manager(folder: pathlib.Path, keep: int | None) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
    return ocp.CheckpointManager(folder.resolve(), options=options, item_names=_ITEMS)


def _to_save(state: TrainState) -> ocp.args.Composite:
    return ocp.args.Composite(**{name: ocp.args.StandardSave(getattr(state, name)) for name in _ITEMS})


def _restore(manager: ocp.CheckpointManager, step: int, items: dict[str, Any]) -> dict[str, Any]:
    args = ocp.args.Composite(**{name: ocp.args.StandardRestore(tree) for name, tree in items.items()})
    try:
        restored = manager.restore(step, args=args)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"the checkpoint of step {step} in {manager.directory} does not fit the config's networks "
            f"({str(error).splitlines()[0]}): use the config of the run that wrote it"
        ) from error
    return {name: restored[name] for name in items}
