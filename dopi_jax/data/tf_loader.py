"""Samples to batches with tf.data, the loader of folders. The only module that imports TensorFlow."""

import atexit
import weakref
from collections.abc import Callable, Generator, Iterator

import numpy as np
import tensorflow as tf

from dopi_jax.errors import UserError

tf.config.set_visible_devices([], "GPU")  # TensorFlow only decodes; the accelerators belong to JAX

Sample = dict[str, np.ndarray]


def load_batches(
    read: Callable[[int], Sample], indices: range, batch_size: int, empty: Sample
) -> Iterator[dict[str, np.ndarray]]:
    """Yields samples in batches, read in parallel and ahead.

    Args:
      read: Global index -> sample, as `SnippetReader.sample` gives it.
      indices: The global indices, rising by 1; those that do not fill the last batch are left out.
      batch_size: Samples a batch.
      empty: A sample of zeros, which says what a sample has, in which shape and type.

    Raises:
      UserError: From the iterator, whatever `read` raises.
    """
    errors: list[UserError] = []

    def read_in_tf(index: np.int64) -> tuple[np.ndarray, ...]:
        # An exception thrown inside tf.data would be logged by TensorFlow, traceback and all, and arrive as one of its own.
        try:
            sample = read(int(index))
            return *(sample[name] for name in empty), np.True_
        except UserError as error:
            errors.append(error)
            return *empty.values(), np.False_

    def as_dict(index: tf.Tensor) -> dict[str, tf.Tensor]:
        types = [tf.as_dtype(value.dtype) for value in empty.values()]
        *values, readable = tf.numpy_function(read_in_tf, [index], [*types, tf.bool], stateful=False)
        shaped = {n: tf.ensure_shape(value, empty[n].shape) for n, value in zip(empty, values, strict=True)}
        return shaped | {"readable": tf.ensure_shape(readable, ())}

    def batches() -> Generator[dict[str, np.ndarray], None, None]:
        samples = tf.data.Dataset.range(indices.start, indices.stop).map(as_dict, num_parallel_calls=tf.data.AUTOTUNE)
        for batch in samples.batch(batch_size, drop_remainder=True).prefetch(2).as_numpy_iterator():
            if not batch.pop("readable").all():
                raise errors[0]
            yield batch

    generator = batches()
    _open.add(generator)
    return generator


_open: weakref.WeakSet[Generator] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stops the reading threads while Python can still serve them; left to its shutdown, the process would hang."""
    for batches in list(_open):
        batches.close()
