"""Command-line flags shared by the commands, and how their mistakes are told."""

import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
from absl import app, flags
from ml_collections import config_flags

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError


def define_config(default: str) -> flags.FlagHolder:
    """Defines --config FILE.py[:VARIANT], with --config.section.field=value overrides, and --workdir."""
    flags.DEFINE_string("workdir", None, "The run's folder. Default: runs/<config name>.")
    return config_flags.DEFINE_config_file("config", default, "Config file, with :VARIANT if it has variants.")


def workdir_of(config: Config) -> pathlib.Path:
    """Returns the run's folder: --workdir, else runs/<config name>."""
    return pathlib.Path(flags.FLAGS.workdir or pathlib.Path("runs") / config.name)


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a command: a user's mistake is one sentence on stderr and exit status 1, anything else a traceback."""
    try:
        # The checkpoint library tells every file that it writes, at a level that absl shows.
        logging.getLogger("absl").addFilter(lambda record: record.levelno >= logging.WARNING)
        logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
        app.run(_with_user_errors(main), flags_parser=_parse)
    except UserError as error:
        _exit(error)


def overrides(config_flag: flags.FlagHolder) -> dict[str, Any]:
    """Returns the values that --config.section.field=value gave, by dotted field name."""
    return config_flags.get_override_values(flags.FLAGS[config_flag.name])


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, so that a step that was compiled once starts within seconds."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or pathlib.Path.home() / ".cache" / "dopi_jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))


def checked(config: Config) -> Config:
    """Returns the config after `config.check`."""
    config_lib.check(config)
    return config


def _with_user_errors(main):
    def wrapped(argv):
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: options are written --name=value, see --help")
        try:
            main(argv)
        except UserError as error:
            _exit(error)

    return wrapped


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except FileNotFoundError as error:
        raise UserError(f"config file {error.filename} does not exist: see configs/ for those that do") from error
    except flags.Error as error:
        raise UserError(f"{str(error).splitlines()[0]}; see --help") from error
    except (KeyError, AttributeError) as error:
        override = next((a for a in argv if a.startswith("--config.")), "--config")
        raise UserError(
            f"{override.split('=')[0]} names no field of the config ({error}): dopi_jax/config.py lists them"
        ) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"an override of the config cannot be used: {error}") from error


def _exit(error: UserError) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
