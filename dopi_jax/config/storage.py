"""Configs on disk: as JSON in the run's folder, and as files in configs/ that build on one another."""

import dataclasses
import json
import pathlib
import runpy
import traceback
from collections.abc import Callable
from typing import Any

from dopi_jax.config.check import check_types
from dopi_jax.config.fields import Config
from dopi_jax.errors import UserError

SHIPPED = pathlib.Path(__file__).parents[1] / "configs"
"""The configs that come with the package, which are those of the project's folder configs/."""

_GONE = {"config.loss.vehicle_motion"}  # earlier versions had it; what was trained with it predicts as before


def to_json(config: Config) -> str:
    """Returns the config as JSON text, for the run's folder."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Returns the config that `to_json` wrote.

    Args:
      text: JSON text.

    Returns:
      A config. Fields that the text lacks have their defaults.

    Raises:
      UserError: The text has fields that no config has or values of a wrong type, or is not JSON.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"the stored config is not JSON ({error}): start the run in a new folder") from error
    config = Config()
    _fill(config, values, "config")
    try:
        check_types(config)
    except UserError as error:
        raise UserError(f"the stored config cannot be read ({error}): start the run in a new folder") from error
    return config


def _fill(section: Any, values: dict, path: str) -> None:
    if not isinstance(values, dict):
        raise UserError(f"the stored config has {values!r} for {path}, expected its fields: start the run in a new folder")
    known = {f.name for f in dataclasses.fields(section)}
    for name, value in values.items():
        if f"{path}.{name}" in _GONE:
            continue
        if name not in known:
            raise UserError(f"the stored config has the field {path}.{name}, which this version of dopi_jax does not know")
        current = getattr(section, name)
        if dataclasses.is_dataclass(current):
            _fill(current, value, f"{path}.{name}")
        else:
            setattr(section, name, tuple(value) if isinstance(value, list) else value)


def find_config_file(named: str) -> str:
    """Returns the config file that a user names, with its variant: a file, or the name of one that comes with the package.

    Args:
      named: Such as "configs/kitti_depthpose.py:full", or "kitti_depthpose:full" from any folder.

    Raises:
      UserError: There is none.
    """
    file, colon, variant = named.partition(":")
    if pathlib.Path(file).is_file():
        return named
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.py"))}
    path = pathlib.PurePath(file)
    stem = path.name.removesuffix(".py")
    if stem not in shipped or str(path.parent) not in (".", "configs"):
        raise UserError(
            f"config file {file!r} does not exist (seen from {pathlib.Path.cwd()}): name one with --config, or one of those "
            f"that come with the package, {', '.join(shipped)}"
        )
    return f"{shipped[stem]}{colon}{variant}"


def load_config(named: str) -> Config:
    """Returns the config of a file that a user names.

    Args:
      named: As `find_config_file` takes it.

    Returns:
      What the file's `get_config` gives, called with the variant if one is named. It is not checked.

    Raises:
      UserError: There is no such file, it has no variant of this name, or it is no config.
    """
    found = find_config_file(named)
    file, colon, variant = found.partition(":")
    expected = "expected Python with a function get_config that returns a dopi_jax.config.Config"
    try:
        defined = runpy.run_path(file)
        if not callable(defined.get("get_config")):
            raise UserError(f"config file {file!r} has no function get_config: {expected}")
        config = defined["get_config"](variant) if colon else defined["get_config"]()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"config file {file!r} fails{_line_of(file, error)} ({_in_words(error)}): {expected}") from error
    if not isinstance(config, Config):
        raise UserError(f"config file {file!r} returns {type(config).__name__}: {expected}")
    return config


def _line_of(file: str, error: BaseException) -> str:
    lines = [error.lineno] if isinstance(error, SyntaxError) and error.filename == file else []
    lines += [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" in line {lines[-1]}" if lines else ""


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def config_beside(file: str, name: str) -> Callable[[str], Config]:
    """Returns `get_config` of another config file in the same folder: configs/ is no package, its files are read by path.

    Args:
      file: `__file__` of the config that builds on the other.
      name: The other's name, without ".py".

    Returns:
      The function (variant) -> config.
    """
    return runpy.run_path(str(pathlib.Path(file).with_name(f"{name}.py")))["get_config"]
