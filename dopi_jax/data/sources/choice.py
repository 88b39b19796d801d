"""What a source answers when it is asked for frames by name."""

from typing import NamedTuple

from dopi_jax.errors import UserError


class EmptySplit(UserError):
    """A whole split of which nothing is at hand: no mistake where a part of a data set is meant to do."""


class NoFootage(EmptySplit):
    """No folder of images, or no video: worth a word only where there is nothing else."""


class NoFrames(UserError):
    """An item without frames of use: a mistake where it was named, and left out where it is one of a whole split."""


class Choice(NamedTuple):
    """What a selection names.

    Attributes:
      items: drives, sequences, cities, folders or videos, in the order in which they are read.
      whole: whether it is all of a split, where a sequence without a snippet is left out, or named one by one, where it is a
        mistake.
    """

    items: list[str]
    whole: bool


def some(names: list[str]) -> str:
    """Returns the names for a message, at most five of them."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
