"""Items whose ground truth cannot be read: each is named and skipped, the others are evaluated."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from dopi_jax import evaluation
from dopi_jax.data.velodyne import EvaluationImage
from dopi_jax.errors import UserError

Item = TypeVar("Item")
Truth = TypeVar("Truth")


class Skipped:
    """The items that an evaluation skips.

    Attributes:
      reasons: One sentence for each item.
    """

    def __init__(self):
        self.reasons: list[str] = []

    def readable(self, items: Iterable[Item], read: Callable[[Item], Truth]) -> Iterator[tuple[Item, Truth]]:
        """Yields the readable items with their ground truth; records why the others are not readable.

        Args:
          items: What is to be evaluated.
          read: Returns the ground truth of an item; raises a `UserError` if there is none.
        """
        for item in items:
            try:
                truth = read(item)
            except UserError as error:
                self.reasons.append(str(error))
            else:
                yield item, truth

    def print_notes(self) -> None:
        """Prints a note on stderr for each item."""
        for reason in self.reasons:
            print(f"note: left out: {reason}", file=sys.stderr)

    def none_left(self, what: str) -> UserError:
        """Returns the error to raise if every item was skipped.

        Args:
          what: Name of the items.
        """
        if len(self.reasons) == 1:
            return UserError(self.reasons[0])
        return UserError(f"none of the {len(self.reasons)} {what} can be used, the first because {self.reasons[0]}")


def depth_truth(image: EvaluationImage) -> np.ndarray:
    """Returns the true depth [H, W] of a frame in metres, 0 where there is none.

    Raises:
      UserError: It cannot be read, or has no pixel to evaluate.
    """
    truth = image.ground_truth()
    try:
        evaluation.require_ground_truth(truth)
    except UserError as error:
        raise UserError(f"laser scan {image.scan}: {error}") from error
    return truth
