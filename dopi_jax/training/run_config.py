"""The config of a run, in its folder: config.json, and where that is damaged the copy in the checkpoints."""

import json
import pathlib

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training.checkpoint import newest_config
from dopi_jax.training.notes import Notes
from dopi_jax.training.run_folder import set_aside, write_whole

_FILE = "config.json"


def has_config(workdir: pathlib.Path) -> bool:
    """Returns whether a folder is a run's."""
    return (workdir / _FILE).is_file()


def read_config(workdir: pathlib.Path) -> Config:
    """Returns the config of a run.

    Args:
      workdir: The run's folder, with config.json.

    Returns:
      The config; if the file is damaged, that of the newest checkpoint, which is told.

    Raises:
      UserError: The file is damaged, and no checkpoint has a copy; or it has fields that no config has.
    """
    config = find_config(workdir)
    if config is None:
        raise UserError(
            f"{workdir / _FILE} is damaged, and no checkpoint has a copy of it: the command that trained the run writes it "
            "again, or put a good copy in its place"
        )
    return config


def find_config(workdir: pathlib.Path) -> Config | None:
    """Returns the same, and None if the file is damaged and no checkpoint has a copy."""
    path = workdir / _FILE
    text = _whole(path)
    if text is not None:
        return config_lib.from_json(text)
    config = newest_config(workdir)
    if config is not None:
        Notes.print(f"{path} is damaged: the copy in the newest checkpoint is used")
    return config


def write_config(workdir: pathlib.Path, config: Config) -> None:
    """Writes the config of a run; a file that is damaged is set aside.

    Args:
      workdir: The run's folder.
      config: The config.

    Raises:
      OSError: It cannot be written.
    """
    path = workdir / _FILE
    if path.exists() and _whole(path) is None:
        kept = set_aside(path, workdir)
        Notes(workdir).tell(f"{path} is damaged: set aside as {kept}, and written again from the config of this command")
    write_whole(path, config_lib.to_json(config))


def _whole(path: pathlib.Path) -> str | None:
    """The text of a file that holds a JSON object, None if it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
        return text if isinstance(json.loads(text), dict) else None
    except (OSError, ValueError):
        return None
