"""Sequences -> batches.

The batch of step k is a function of (sequences, size, batch size, seed, k) alone, and nothing is remembered between steps: a
run that starts at step k sees what an uninterrupted run would have seen. The choice of the loader changes only the speed.

A batch is a dict of numpy arrays: `frames` uint8 [B, 3, H, W, 3] at (t-1, t, t+1), `intrinsics` float32 [B, 3, 3] in pixels
of these frames, `index` uint32 [B], the samples' global indices, and, if asked for, `matches` float32 [B, 2, N, 4], corners
of the target and where they are in t-1 and t+1, (x, y, x, y) in pixels. `dopi_jax.augment` makes the networks' input.
"""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

from dopi_jax.data import grain_loader
from dopi_jax.data.order import GivenOrder, ShuffledOrder
from dopi_jax.data.reader import SnippetReader, all_snippets
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources.prepared import PreparedFrame
from dopi_jax.errors import UserError

Batch = dict[str, np.ndarray]

_ENDLESS = 2**62


class TrainingInput:
    """The snippets of a training, as shuffled batches from any step on."""

    def __init__(
        self,
        sequences: list[Sequence],
        *,
        size: tuple[int, int],
        batch_size: int,
        seed: int,
        cache: bool = True,
        matches: bool = False,
        max_bad_frames: float = 0.01,
        share: tuple[int, int] = (0, 1),
    ):
        """Sets up the input; nothing is read yet.

        Args:
          sequences: Where the snippets come from.
          size: (height, width) in pixels that frames are resized to.
          batch_size: Snippets a batch.
          seed: Of the order.
          cache: Keep decoded frames in memory if all of them fit into 4 GiB.
          matches: Follow corners from frame to frame.
          max_bad_frames: Share of the frames, from 0 to 1, that may be unreadable.
          share: (which, of how many): the part of every batch that is read, where several processes divide it among
            themselves.

        Raises:
          UserError: There is no snippet, or the batch cannot be divided evenly.
        """
        which, parts = share
        if batch_size % parts:
            raise UserError(
                f"config.train.batch_size is {batch_size}: expected a multiple of {parts}, the number of processes"
            )
        snippets = all_snippets(sequences)
        order = ShuffledOrder(len(snippets), seed)
        self.reader = SnippetReader(snippets, size, order, cache=cache, matches=matches, max_bad_frames=max_bad_frames)
        self._sequences = sequences
        self._batch_size = batch_size
        self._own = range(batch_size)[which * batch_size // parts : (which + 1) * batch_size // parts]

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Returns batches without end; a batch may span two epochs.

        Args:
          start_step: The step of the first batch; any step can be the first (D22).

        Raises:
          UserError: From the iterator, too many frames cannot be read.
        """
        own = len(self._own)

        def read(index: int) -> Batch:
            step, place = divmod(index, own)
            return self.reader.sample(step * self._batch_size + self._own[place])

        return _load(self._sequences, self.reader, range(start_step * own, _ENDLESS), own, read)

    def index_batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Returns the same batches as `snippet` int32 [B] and `index` uint32 [B], for frames that are in memory already.

        Args:
          start_step: The step of the first batch.
        """
        for first in range(start_step * self._batch_size, _ENDLESS, self._batch_size):
            places = [self.reader.place(first + offset) for offset in self._own]
            yield {name: np.stack([place[name] for place in places]) for name in places[0]}


def validation_batches(
    sequences: list[Sequence],
    size: tuple[int, int],
    batch_size: int,
    at_most: int | None = None,
    *,
    matches: bool = False,
) -> Iterator[Batch]:
    """Returns snippets once and in order; those that do not fill the last batch are left out.

    Args:
      sequences: Where the snippets come from.
      size: (height, width) in pixels that frames are resized to.
      batch_size: Snippets a batch.
      at_most: Number of batches, of snippets spread evenly over all; None for every snippet.
      matches: Follow corners from frame to frame.

    Raises:
      UserError: There are fewer snippets than a batch takes; later, from the iterator, none can be read.
    """
    snippets = all_snippets(sequences, at_least=batch_size)
    chosen = np.arange(len(snippets))
    if at_most is not None and at_most * batch_size < len(snippets):
        chosen = np.arange(at_most * batch_size) * len(snippets) // (at_most * batch_size)
    # Unreadable validation frames must not end the training.
    reader = SnippetReader(snippets, size, GivenOrder(chosen), matches=matches, max_bad_frames=1.0)
    return _load(sequences, reader, range(len(chosen)), batch_size, reader.sample)


def _load(
    sequences: list[Sequence], reader: SnippetReader, indices: range, batch_size: int, read: Callable[[int], Batch]
) -> Iterator[Batch]:
    prepared = all(isinstance(frame, PreparedFrame) for sequence in sequences for frame in sequence.frames)
    if prepared or importlib.util.find_spec("tensorflow") is None:
        return grain_loader.load_batches(read, indices, batch_size)
    from dopi_jax.data import tf_loader  # TensorFlow takes seconds to import

    return tf_loader.load_batches(read, indices, batch_size, reader.empty_sample())
