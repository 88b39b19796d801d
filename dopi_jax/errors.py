"""The exception for mistakes that the user can correct, and how commands report it."""

import argparse
import contextlib
import errno
import io
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

_SMALLER = "choose smaller images or fewer at a time; in training config.train.accumulate or rematerialise needs less memory"


class UserError(Exception):
    """A mistake in the input, as one sentence: the field or file, what was found, what was expected, what to do.

    The commands print it without a traceback and exit with status 1.
    """


class ArgumentParser(argparse.ArgumentParser):
    """Raises a mistake on the command line as a `UserError`, instead of printing the usage.

    Args:
      prog: The command as it is typed.
      example: What `--help` shows at its end, line by line.
      **options: As argparse takes them.
    """

    def __init__(self, prog: str, *, example: str = "", **options):
        if example:
            options |= {"epilog": f"example:\n{example}", "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(prog, **options)

    def parse_args(self, *arguments, **options) -> argparse.Namespace:
        """Reads the command line; the shell leaves the ~ of --out=~/DIR as it is."""
        parsed = super().parse_args(*arguments, **options)
        for name, value in vars(parsed).items():
            if isinstance(value, pathlib.Path):
                setattr(parsed, name, value.expanduser())
            elif isinstance(value, list):
                setattr(parsed, name, [part.expanduser() if isinstance(part, pathlib.Path) else part for part in value])
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raises what is wrong."""
        raise UserError(f"{message}; --help lists the options")


@contextlib.contextmanager
def report_user_errors() -> Iterator[None]:
    """Ends the process with status 1 and one sentence on stderr at a `UserError` inside.

    The same for a file or folder that cannot be read or written, and for too little memory. Ctrl-C ends it with status
    130, as usual; a closed pipe, as by `head`, ends it without a message.
    """
    print_any_text()
    try:
        try:
            yield
        finally:
            _flush_output()
    except UserError as error:
        _end(str(error))
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.filename is not None:
            _end(f"{str(error.filename)!r} cannot be used ({error.strerror}): check the path, its permissions and the disk")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _end(f"a file, or what is printed, cannot be written ({error.strerror}): make room on the disk")
    except MemoryError:
        _end(f"not enough memory: {_SMALLER}")
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _end(f"not enough memory on the device: {_SMALLER}")


def print_any_text() -> None:
    """Makes print escape what a terminal or a pipe cannot show, such as ± where the locale is ASCII, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush_output() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # or Python would try again at exit, and report the failure
        raise


def _end(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
