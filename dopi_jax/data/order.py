"""The order of the training snippets: a function of the seed and the step, not of the loader."""

import functools

import numpy as np


class ShuffledOrder:
    """An endless order of snippets: every epoch is another permutation."""

    def __init__(self, count: int, seed: int):
        """Sets up the order.

        Args:
          count: Number of snippets.
          seed: Of the training.
        """
        self._count = count
        self._seed = seed
        # Batches span two epochs, and several are read at a time.
        self._epoch = functools.lru_cache(maxsize=4)(self._permutation)

    def candidates(self, global_index: int) -> np.ndarray:
        """Returns the snippet at a place of the order, then those that replace it if it cannot be read.

        Args:
          global_index: How many samples came before this one in the whole training.

        Returns:
          Every snippet once: the one at this place of the epoch, then those after it, then those before it.
        """
        epoch, position = divmod(global_index, self._count)
        return np.roll(self._epoch(epoch), -position)

    def _permutation(self, epoch: int) -> np.ndarray:
        # The raw numbers of a bit generator are the same in every version of NumPy; its permutations need not be.
        numbers = np.random.Philox(key=[self._seed % 2**64, epoch]).random_raw(self._count)
        return np.argsort(numbers, kind="stable")


class GivenOrder:
    """Snippets once, in the order in which they are listed."""

    def __init__(self, snippets: np.ndarray):
        """Sets up the order.

        Args:
          snippets: Their indices.
        """
        self._snippets = snippets

    def candidates(self, global_index: int) -> np.ndarray:
        """Returns the snippet at a place of the list, then those after it, then those before it."""
        return np.roll(self._snippets, -global_index)
