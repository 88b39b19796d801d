"""What a source answers when it is asked for frames by name."""

from typing import NamedTuple

from dopi_jax.errors import UserError


class EmptySplit(UserError):
    """Nothing of a whole split is at hand: no error where other selections have frames."""


class NoFootage(EmptySplit):
    """No folder of images, or no video: reported only where there is nothing else."""


class NoFrames(UserError):
    """An item without usable frames: an error if it was named, left out if it is one of a whole split."""


class Choice(NamedTuple):
    """What a selection names.

    Attributes:
      items: drives, sequences, cities, folders or videos, in the order in which they are read.
      whole: whether it is all of a split, where a sequence without a snippet is left out, or named one by one, where it is a
        mistake.
    """

    items: list[str]
    whole: bool


def choose_footage(source: str, name: str, at_hand: list[str], where: str, how_to_get: str) -> Choice:
    """Returns what of one's own footage a selection names: "all", or one by its name.

    Args:
      source: word before the colon of the selection.
      name: word behind it.
      at_hand: names to choose from.
      where: where they lie, for messages.
      how_to_get: what to do where there is none, for messages.

    Raises:
      NoFootage: all are asked for and there is none.
      UserError: what is named is not at hand.
    """
    if name == "all" and not at_hand:
        raise NoFootage(f"{source}:all is empty: none found in {where}; {how_to_get}")
    if name != "all" and name not in at_hand:
        raise UserError(f"{source}:{name} is not at hand, looked in {where}, found {some(at_hand) or 'none'}: {how_to_get}")
    # Of a recording with cuts, a shot may be too short for a snippet.
    return Choice(at_hand if name == "all" else [name], whole=True)


def some(names: list[str]) -> str:
    """Returns the names for a message, at most five of them."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
