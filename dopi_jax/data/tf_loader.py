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
    read: Callable[[int], Sample], indices: range, batch_size: int, size: tuple[int, int]
) -> Iterator[dict[str, np.ndarray]]:
    """Yields samples in batches, read in parallel and ahead.

    Args:
      read: Global index -> sample, as `SnippetReader.sample` gives it.
      indices: The global indices, rising by 1; those that do not fill the last batch are left out.
      batch_size: Samples a batch.
      size: (height, width) of the frames.

    Raises:
      UserError: From the iterator, whatever `read` raises.
    """
    errors: list[UserError] = []

    def read_in_tf(index: np.int64) -> tuple[np.ndarray, np.ndarray, np.uint32, np.bool]:
        # An exception thrown inside tf.data would be logged by TensorFlow, traceback and all, and arrive as one of its own.
        try:
            sample = read(int(index))
            return sample["frames"], sample["intrinsics"], sample["index"], np.True_
        except UserError as error:
            errors.append(error)
            return np.zeros((3, *size, 3), np.uint8), np.zeros((3, 3), np.float32), np.uint32(0), np.False_

    def as_dict(index: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (tf.uint8, tf.float32, tf.uint32, tf.bool)
        values = tf.numpy_function(read_in_tf, [index], types, stateful=False)
        shapes = {"frames": (3, *size, 3), "intrinsics": (3, 3), "index": (), "readable": ()}
        return {name: tf.ensure_shape(value, shapes[name]) for name, value in zip(shapes, values, strict=True)}

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
