"""A folder of checkpoints, each written whole or not at all, and checked when it is read. The only module that uses Orbax.

Arrays go to disk from the host and come back to the host, so that no checkpoint depends on the devices that wrote it. Orbax
has no checksums of the arrays: they are kept beside them.
"""

import logging
import pathlib
import shutil
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dopi_jax.errors import UserError
from dopi_jax.training.run_folder import reason

_ABOUT = "about"  # the item with checksums and what else is known of a checkpoint
_PARTIAL, _REPLACED = ".partial", ".replaced"
# Orbax prints tracebacks of the errors that it also raises, from threads of its own.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


class Unusable(Exception):
    """A checkpoint is damaged, or it is one of other networks; the text says how."""


class CheckpointFolder:
    """Checkpoints by step, `path/STEP/`; their items (parameters, optimiser state, ...) are read one by one."""

    def __init__(self, path: pathlib.Path):
        """Makes nothing: `write` makes the folder.

        Args:
          path: The folder.
        """
        self.path = path

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints, newest first, those included that turn out to be damaged."""
        if not self.path.is_dir():
            return []
        names = [entry.name for entry in self.path.iterdir()]
        return sorted((int(name) for name in names if name.isdecimal() and str(int(name)) == name), reverse=True)

    def write(self, step: int, items: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Writes a checkpoint, in place of one of the same step.

        Args:
          step: Its step.
          items: Trees of NumPy arrays by name; empty ones are left out.
          about: What JSON can hold, to be read without the arrays.

        Raises:
          OSError: The disk is full, or the folder cannot be written; nothing is left of the checkpoint.
        """
        partial, final, replaced = (self.path / f"{step}{suffix}" for suffix in (_PARTIAL, "", _REPLACED))
        items = {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}
        checksums = {f"{name}/{path}": _checksum(array) for name in items for path, array in _flat(items[name]).items()}
        saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        saved[_ABOUT] = ocp.args.JsonSave({**about, "step": step, "checksums": checksums})
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            with _checkpointer(saved) as checkpointer:
                checkpointer.save(partial.absolute(), args=ocp.args.Composite(**saved))
            if final.exists():
                final.rename(replaced)
            partial.rename(final)
        except Exception as error:
            self.clear_partial()
            raise OSError(reason(error)) from error
        shutil.rmtree(replaced, ignore_errors=True)

    def read(self, step: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Returns items of a checkpoint, on the host.

        Args:
          step: Of which one.
          wanted: Trees of anything with `shape` and `dtype`, by item.

        Returns:
          The same trees of NumPy arrays.

        Raises:
          Unusable: It is damaged, or has other arrays than are wanted.
        """
        folder = self.path / str(step)
        wanted = {name: tree for name, tree in wanted.items() if jax.tree.leaves(tree)}
        try:
            missing = [name for name in wanted if not self.has(step, name)]
            if missing:
                raise Unusable(f"{', '.join(missing)} missing" if any(folder.iterdir()) else "it is empty")
            with _checkpointer(wanted) as checkpointer:
                stored = checkpointer.metadata(folder.absolute()).item_metadata
                restored = {name: _as_stored(name, stored[name], tree) for name, tree in wanted.items()}
                args = {name: ocp.args.StandardRestore(tree) for name, tree in restored.items()}
                found = checkpointer.restore(folder.absolute(), args=ocp.args.Composite(**args))
            arrays = {name: jax.tree.map(np.asarray, found[name]) for name in wanted}
            self._check_sums(step, arrays)
            return jax.tree.map(lambda array, like: array.astype(like.dtype, copy=False), arrays, wanted)
        except (Unusable, MemoryError):
            raise
        except Exception as error:  # whatever a library makes of bytes that are not those it has written
            raise Unusable(f"it cannot be read: {reason(error)}") from error

    def has(self, step: int, item: str) -> bool:
        """Returns whether a checkpoint has an item."""
        return (self.path / str(step) / item).is_dir()

    def about(self, step: int) -> dict[str, Any]:
        """Returns what was written beside the arrays; {} where there is nothing, as of a run of an older version.

        Raises:
          Unusable: It cannot be read.
        """
        if not self.has(step, _ABOUT):
            return {}
        folder = (self.path / str(step)).absolute()
        try:
            with _checkpointer({_ABOUT: ocp.args.JsonRestore()}) as checkpointer:
                return checkpointer.restore(folder, args=ocp.args.Composite(about=ocp.args.JsonRestore()))[_ABOUT]
        except Exception as error:
            raise Unusable(f"{_ABOUT} cannot be read: {reason(error)}") from error

    def _check_sums(self, step: int, arrays: Mapping[str, Any]) -> None:
        about = self.about(step)
        if about.get("step", step) != step:
            raise Unusable(f"it is of step {about['step']}")
        checksums = about.get("checksums", {})
        for name, tree in arrays.items():
            for path, array in _flat(tree).items():
                if checksums.get(f"{name}/{path}", _checksum(array)) != _checksum(array):
                    raise Unusable(f"{name}/{path} has other bytes than were written")

    def delete(self, steps: Iterable[int]) -> None:
        """Deletes the checkpoints of the given steps."""
        for step in steps:
            shutil.rmtree(self.path / str(step), ignore_errors=True)

    def clear_partial(self) -> None:
        """Removes what writes that were killed have left; only for who alone writes here."""
        for entry in self.path.glob("*") if self.path.is_dir() else ():
            final = entry.with_suffix("")
            if entry.suffix == _REPLACED and not final.exists():
                entry.rename(final)
            elif entry.suffix in (_PARTIAL, _REPLACED) or "orbax-checkpoint-tmp" in entry.name:
                shutil.rmtree(entry, ignore_errors=True)


def cannot_be_used(path: pathlib.Path, error: Unusable) -> str:
    """Returns the beginning of a sentence about a checkpoint."""
    return f"checkpoint {path} cannot be used ({error})"


def none_can_be_used(unusable: Mapping[pathlib.Path, Unusable]) -> UserError:
    """Returns the sentence about checkpoints of which none can be used, the newest first."""
    path, error = next(iter(unusable.items()))
    others = f", nor can the {len(unusable) - 1} before it" if len(unusable) > 1 else ""
    return UserError(
        f"{cannot_be_used(path, error)}{others}: name another run, put a good copy in its place, or move {path.parent} away"
    )


def _checkpointer(items: Mapping[str, Any]) -> ocp.Checkpointer:
    # Of several processes, whoever writes or reads here does it alone: Orbax would wait for the others.
    alone = ocp.options.MultiprocessingOptions(primary_host=jax.process_index(), active_processes={jax.process_index()})
    json, arrays = ocp.JsonCheckpointHandler, ocp.StandardCheckpointHandler
    handlers = {name: (json if name == _ABOUT else arrays)(multiprocessing_options=alone) for name in items}
    together = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(alone), **handlers)
    return ocp.Checkpointer(together, multiprocessing_options=alone)


def _flat(tree: Any) -> dict[str, Any]:
    """The leaves by their path, "depth/conv/kernel"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _as_stored(item: str, stored: Any, wanted: Any) -> Any:
    """Arrays in the tree that is wanted, of the types that are stored; Orbax fills them."""
    leaves = _flat(stored)
    found, expected = ({path: list(leaf.shape) for path, leaf in of.items()} for of in (leaves, _flat(wanted)))
    for path in (*expected, *found):
        if found.get(path) != expected.get(path):
            it, config = (f"has {of[path]}" if path in of else "lacks it" for of in (found, expected))
            raise Unusable(f"it does not fit the config's networks: of {item}/{path} it {it}, the config {config}")
    return jax.tree.unflatten(
        jax.tree.structure(wanted), [np.empty(leaf.shape, leaves[path].dtype) for path, leaf in _flat(wanted).items()]
    )


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))
