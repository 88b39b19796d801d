"""Checkpoints in a run's folder: the last few, and the best by validation. The only place that knows Orbax."""

import json
import math
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.networks import network_variables
from dopi_jax.training.state import TrainState, create_state

_ITEMS = ("params", "batch_stats", "opt_state", "averaged")


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
            self._latest.save(step, args=_to_save(_items(state)))

    def save_if_best(self, state: TrainState, score: float, by: str) -> bool:
        """Writes a checkpoint if its score is the lowest of the run.

        Args:
          state: The state.
          score: The lower the better.
          by: What the score is; scores of another kind, from before the config was changed, do not count.

        Returns:
          Whether it was.
        """
        if not score < self._best_score(by):  # not "is at least": NaN must not be the best
            return False
        step = int(state.step)
        before = self._best.all_steps()
        if step in before:  # by a run that went on beyond its last checkpoint and is repeated now
            self._best.delete(step)
        self._best.save(step, args=_to_save(_items(state)), force=True)
        self._best.wait_until_finished()
        partial = self._best_score_file.with_suffix(".partial")
        partial.write_text(json.dumps({"step": step, "score": score, "by": by}) + "\n")
        partial.rename(self._best_score_file)
        for other in before:
            if other != step:
                self._best.delete(other)
        return True

    def _best_score(self, by: str) -> float:
        if not self._best_score_file.exists():
            return math.inf
        best = json.loads(self._best_score_file.read_text())
        return best["score"] if best.get("by") == by else math.inf

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
        items = _items(like)
        begins_to_average = bool(like.averaged) and not _has_averaged(self._latest, step)
        if begins_to_average:
            del items["averaged"]
        restored = _restore(self._latest, step, items)
        if begins_to_average:
            restored["averaged"] = jax.tree.map(jax.numpy.copy, restored["params"])
        # On the devices of the rest: another placement would compile the step twice.
        return like.replace(step=jax.device_put(np.int32(step), like.step.sharding), **restored)

    def close(self) -> None:
        """Waits until everything is on disk."""
        for manager in (self._latest, self._best):
            manager.wait_until_finished()
            manager.close()


def save_networks(folder: pathlib.Path, variables: Mapping[str, Any], step: int) -> None:
    """Writes trained networks as a checkpoint of their own, whole or not at all.

    Args:
      folder: Where to; must not be there yet.
      variables: Variables by network.
      step: The step they were trained to.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    params = {name: of_network["params"] for name, of_network in variables.items()}
    stats = {name: of_network["batch_stats"] for name, of_network in variables.items() if "batch_stats" in of_network}
    with _manager(partial, None) as manager:
        manager.save(step, args=_to_save({"params": params, "batch_stats": stats}), force=True)
        manager.wait_until_finished()
    partial.rename(folder)


def restore_networks(folder: pathlib.Path, config: Config) -> tuple[dict[str, Any], int] | None:
    """Returns the networks of the last checkpoint in a folder.

    Args:
      folder: A folder of checkpoints.
      config: The config of the run that wrote them.

    Returns:
      Variables by network, and the step they were saved at; None if there is no checkpoint.

    Raises:
      UserError: The checkpoint belongs to other networks.
    """
    if not folder.is_dir():
        return None
    with _manager(folder, None) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        state = jax.eval_shape(lambda: create_state(config))
        params = "averaged" if _has_averaged(manager, step) else "params"
        restored = _restore(manager, step, {params: state.params, "batch_stats": state.batch_stats})
    return network_variables(restored[params], restored["batch_stats"]), step


def _has_averaged(manager: ocp.CheckpointManager, step: int) -> bool:
    return (pathlib.Path(manager.directory) / str(step) / "averaged").exists()


def _manager(folder: pathlib.Path, keep: int | None) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
    return ocp.CheckpointManager(folder.resolve(), options=options, item_names=_ITEMS)


def _items(state: TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _ITEMS}


def _to_save(items: Mapping[str, Any]) -> ocp.args.Composite:
    # The flow network has no batch statistics, and nothing cannot be saved.
    return ocp.args.Composite(**{name: ocp.args.StandardSave(tree) for name, tree in items.items() if tree})


def _restore(manager: ocp.CheckpointManager, step: int, items: dict[str, Any]) -> dict[str, Any]:
    args = ocp.args.Composite(**{name: ocp.args.StandardRestore(tree) for name, tree in items.items() if tree})
    try:
        restored = manager.restore(step, args=args)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"the checkpoint of step {step} in {manager.directory} does not fit the config's networks "
            f"({str(error).splitlines()[0]}): use the config of the run that wrote it"
        ) from error
    return {name: restored[name] if tree else {} for name, tree in items.items()}
