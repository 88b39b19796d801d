"""Samples to batches with Grain, the loader of prepared sets, and of folders where TensorFlow is not installed."""

from collections.abc import Callable, Iterator

import grain
import numpy as np

_THREADS = 16  # decoding leaves Python's lock
_AHEAD = 32  # samples


def load_batches(
    read: Callable[[int], dict[str, np.ndarray]], indices: range, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields samples in batches, read in parallel and ahead.

    Args:
      read: Global index -> sample.
      indices: The global indices, rising by 1; those that do not fill the last batch are left out.
      batch_size: Samples a batch.

    Raises:
      UserError: From the iterator, whatever `read` raises.
    """
    samples = grain.MapDataset.range(indices.start, indices.stop).map(read)
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    return iter(samples.to_iter_dataset(options).batch(batch_size, drop_remainder=True))
