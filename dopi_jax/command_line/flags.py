"""Command-line flags shared by the commands, and how their mistakes are told.

--config FILE.py[:VARIANT] names the experiment, --config.section.field=value changes one of its values, and --workdir
says where the run lives.
"""

import difflib
import itertools
import logging
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
from absl import app, flags
from ml_collections import config_flags

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors

_DEFAULT_CONFIG = "kitti_depthpose"
_KEPT_FROM = 0.1  # seconds of compiling
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder. Default: runs/<config name>.")


def run(main: Callable[[], None], arguments: list[str] | None = None) -> None:
    """Runs a command: a user's mistake is one sentence on stderr and exit status 1, anything else a traceback.

    Args:
      main: The command; reads the flags that are parsed by then.
      arguments: Of the command line; those of this process if None.
    """
    # The checkpoint library tells every file that it writes, at a level that absl shows.
    logging.getLogger("absl").addFilter(lambda record: record.levelno >= logging.WARNING)
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
    with report_user_errors():
        app.run(lambda _: main(), argv=None if arguments is None else [sys.argv[0], *arguments], flags_parser=_parse)


def run_with_options(run_command: Callable[[Any], None], parser: ArgumentParser, arguments: list[str] | None) -> None:
    """Runs a command that has options of its own: a user's mistake is one sentence on stderr and exit status 1.

    Args:
      run_command: The command; takes the options.
      parser: Reads them.
      arguments: Of the command line; those of this process if None.
    """
    with report_user_errors():
        options = parser.parse_args(arguments)
        print_warnings_as_notes()
        use_compilation_cache()
        run_command(options)


def config() -> Config:
    """Returns the config that the flags say, after `config.check`."""
    value = flags.FLAGS.config
    config_lib.check(value)
    return value


def config_is_named() -> bool:
    """Returns whether the command line has --config, rather than overrides of the default alone."""
    return bool(flags.FLAGS["config"].present)


def overrides() -> dict[str, Any]:
    """Returns the values that --config.section.field=value gave, by dotted field name."""
    return config_flags.get_override_values(flags.FLAGS["config"])


def workdir(default_run: str | None = None) -> pathlib.Path:
    """Returns the run's folder: --workdir, else runs/<config name>.

    Args:
      default_run: Name to take instead of the default config's if neither a config nor a folder is named.
    """
    name = default_run if default_run and not config_is_named() else flags.FLAGS.config.name
    return pathlib.Path(_WORKDIR.value or pathlib.Path("runs") / name).expanduser()


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, so that a step that was compiled once starts within seconds.

    They lie in ~/.cache/dopi_jax, or where $JAX_COMPILATION_CACHE_DIR says; with them, by JAX's default, what a GPU's
    compiler found out by trying (jax_persistent_cache_enable_xla_caches).
    """
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or pathlib.Path.home() / ".cache" / "dopi_jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # A start compiles dozens of small programs besides the step, each in less than the second that JAX keeps them from.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _KEPT_FROM)


def print_warnings_as_notes() -> None:
    """Prints Python's warnings, which here are for people, as one line each."""
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)


def _parse(argv: list[str]) -> list[str]:
    argv = _config_first(_with_flag_files(argv))
    _check_override_names(argv)
    try:
        # Defined only now, because the definition already looks for overrides.
        config_flags.DEFINE_config_dataclass(
            "config",
            config_lib.load_config(_DEFAULT_CONFIG),
            "Config file, with :VARIANT if it has variants.",
            sys_argv=argv,
            parse_fn=config_lib.load_config,
        )
        flags.FLAGS["config"].default_as_str = f"'{_DEFAULT_CONFIG}'"
        _show_in_help()
        rest = flags.FLAGS(argv)
    except flags.IllegalFlagValueError as error:
        raise UserError(_illegal_value(str(error))) from error
    except (flags.Error, ValueError) as error:
        raise UserError(f"{error}; --help lists the options") from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: options are written --name=value, --help lists them")
    return rest


def _with_flag_files(argv: list[str]) -> list[str]:
    """The arguments with the lines of a file in place of --flagfile."""
    try:
        found = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
    except flags.Error as error:
        message = str(error).removeprefix("ERROR:: ")
        raise UserError(f"{message}: --flagfile names a file with one option a line") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the file that --flagfile names is no text ({error}): expected one option a line") from error
    for argument in found:
        if "\0" in argument:
            raise UserError(f"{argument!r} is no option: expected text without control characters")
    return found


def _config_first(argv: list[str]) -> list[str]:
    """The arguments with --config before its overrides, which is where they can be read; the order is the user's choice."""
    first, rest = [], []
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument in ("--config", "-config"):
            first += [argument, *itertools.islice(arguments, 1)]
        elif re.match(r"--?config=", argument):
            first.append(argument)
        else:
            rest.append(argument)
    return [argv[0], *first, *rest]


def _check_override_names(argv: list[str]) -> None:
    fields = config_lib.field_types()
    for argument in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if match and match[1] not in fields:
            raise UserError(
                f"--config.{match[1]} names no field of the config: {_hint(match[1], list(fields))}; "
                "dopi_jax/config/fields.py lists them all"
            )


def _hint(name: str, fields: list[str]) -> str:
    of_section = [field for field in fields if field.startswith(f"{name}.")]
    if of_section:
        return f"it is a section, with fields such as --config.{of_section[0]}"
    last = name.rpartition(".")[2]
    last_words = [field.rpartition(".")[2] for field in fields]
    initials = ["".join(word[:1] for word in words.split("_")) for words in last_words]  # lr is learning_rate
    for wanted, known, cutoff in ((name, fields, 0.7), (last, last_words, 0.7), (last, initials, 1.0)):
        close = difflib.get_close_matches(wanted, known, 1, cutoff)
        if close:
            return f"the nearest is --config.{fields[known.index(close[0])]}"
    sections = dict.fromkeys(field.partition(".")[0] for field in fields if "." in field)
    return f"expected --config.SECTION.FIELD with one of the sections {', '.join(sections)}"


def _illegal_value(message: str) -> str:
    match = re.match(r"flag --config\.([\w.]+)=(.*?): ", message, re.DOTALL)
    if match:
        return f"--config.{match[1]} is {match[2]!r}: expected {config_lib.field_types()[match[1]].__name__}"
    match = re.match(r"flag --(\w+)=(.*?): invalid literal for int", message, re.DOTALL)
    if match:
        return f"--{match[1]} is {match[2]!r}: expected a whole number"
    return " ".join(message.split())


def _show_in_help() -> None:
    """Makes --help, which shows flags of the main module alone, show those of the commands."""
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("dopi_jax."):
            for flag in defined:
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
