"""A trained model as one file: its networks' variables in half precision, and the config that they go with."""

import io
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from flax import traverse_util

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError

SUFFIX = ".npz"
_CONFIG, _STEP = "config", "step"  # beside the arrays, whose names have slashes
_SHIPPED = "weights"  # the folder of the package


def write_model(path: pathlib.Path, config: Config, variables: Mapping[str, Any], step: int) -> None:
    """Writes a model, whole or not at all.

    Args:
      path: The file, NAME.npz.
      config: The config of the run that trained it.
      variables: Variables by network, as `apply` takes them; they are rounded to 16 bits.
      step: The step that they were trained to.

    Raises:
      UserError: The name ends otherwise, the file cannot be written, or a value is too large for 16 bits.
    """
    if path.suffix != SUFFIX:
        raise UserError(f"{path} is no name for a model: expected NAME{SUFFIX}")
    arrays = {}
    for name, value in traverse_util.flatten_dict(dict(variables), sep="/").items():
        with np.errstate(over="ignore"):
            arrays[name] = np.asarray(value).astype(np.float16)
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"{name} has values that 16 bits cannot hold: the networks have not been trained well")
    texts = {_CONFIG: np.array(config_lib.to_json(config)), _STEP: np.array(step)}
    content = io.BytesIO()
    np.savez_compressed(content, **texts, **arrays)
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.getvalue())
        partial.rename(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another place") from error


def read_model(path: pathlib.Path) -> tuple[Config, dict[str, Any], int]:
    """Returns what `write_model` has written, in single precision.

    Args:
      path: The file.

    Returns:
      The config, the variables by network, and the step.

    Raises:
      UserError: The file is missing, damaged or no model.
    """
    try:
        if path.exists() and not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz archive, or the end of it is missing")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        config = config_lib.from_json(str(arrays.pop(_CONFIG)))
        step = int(arrays.pop(_STEP))
    except FileNotFoundError as error:
        raise UserError(f"model {path} does not exist: write one with `dopi-jax export`") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read as a model ({error}): expected a file that `export` wrote") from error
    variables = {name: array.astype(np.float32) for name, array in arrays.items()}
    return config, traverse_util.unflatten_dict(variables, sep="/"), step


def shipped_models() -> dict[str, pathlib.Path]:
    """Returns the models that come with the package, by name."""
    folder = pathlib.Path(str(resources.files("dopi_jax") / _SHIPPED))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def find_model_file(what: str) -> pathlib.Path | None:
    """Returns the file of a model that is given by the name of a shipped one or by its path; None if it is neither."""
    if what in (shipped := shipped_models()):
        return shipped[what]
    return pathlib.Path(what).expanduser() if what.endswith(SUFFIX) else None
