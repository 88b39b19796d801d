"""The one exception that means "the user can mend this", and how commands tell it."""

import argparse
import contextlib
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn


class UserError(Exception):
    """A mistake in the input, told in one sentence: the field or file, what was found, what was expected, what to do.

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
def told_in_one_sentence() -> Iterator[None]:
    """Ends the process with status 1 and one sentence on stderr at a `UserError` inside."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        leave_interrupted()


def leave_interrupted() -> NoReturn:
    """Ends the process as Ctrl-C ends one, without a traceback."""
    print("interrupted", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)
