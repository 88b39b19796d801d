"""Trained networks in folders of checkpoints: those of a run, to be used, and those that one run takes from another."""

import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.networks import network_variables
from dopi_jax.training.checkpoint_folder import CheckpointFolder, Unusable, cannot_be_used, none_can_be_used
from dopi_jax.training.notes import Notes
from dopi_jax.training.run_folder import reason
from dopi_jax.training.state import create_state


def save_networks(folder: pathlib.Path, variables: Mapping[str, Any], step: int) -> None:
    """Writes trained networks as a checkpoint of their own, whole or not at all.

    Args:
      folder: Where to; must not be there yet.
      variables: Variables by network.
      step: The step they were trained to.

    Raises:
      UserError: They cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    params = {name: of_network["params"] for name, of_network in variables.items()}
    stats = {name: of_network["batch_stats"] for name, of_network in variables.items() if "batch_stats" in of_network}
    items = jax.tree.map(np.asarray, {"params": params, "batch_stats": stats})
    try:
        CheckpointFolder(partial).write(step, items, {})
        partial.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({reason(error)}): make room, or name another place") from error


def restore_networks(
    folders: pathlib.Path | Iterable[pathlib.Path], config: Config
) -> tuple[dict[str, Any], int] | None:
    """Returns the networks of the last checkpoint that can be used; the others are reported and left as they are.

    Args:
      folders: A folder of checkpoints, or several, of which an earlier one goes before.
      config: The config of the run that wrote them.

    Returns:
      Variables by network, and the step they were saved at; None if there is no checkpoint.

    Raises:
      UserError: There are checkpoints, and none can be used.
    """
    folders = [folders] if isinstance(folders, pathlib.Path) else folders
    unusable: dict[pathlib.Path, Unusable] = {}
    for folder in map(CheckpointFolder, folders):
        for step in folder.steps():
            path = folder.path / str(step)
            try:
                variables = _read_networks(folder, step, config)
            except Unusable as error:
                unusable[path] = error
                continue
            for other, error in unusable.items():
                Notes.print(f"{cannot_be_used(other, error)}: {path} is used")
            return variables, step
    if unusable:
        raise none_can_be_used(unusable)
    return None


def _read_networks(folder: CheckpointFolder, step: int, config: Config) -> dict[str, Any]:
    state = jax.eval_shape(lambda: create_state(config))
    params = "averaged" if folder.has(step, "averaged") else "params"
    found = folder.read(step, {params: state.params, "batch_stats": state.batch_stats})
    return network_variables(found[params], found.get("batch_stats", {}))
