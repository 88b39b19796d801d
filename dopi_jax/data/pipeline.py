"""Sequences -> batches, with tf.data.

The batch of step k is a function of (sequences, size, batch size, seed, k) alone: the order comes from a permutation
drawn for each epoch, augmentation from a seed of its own for each sample, and nothing is remembered between steps. A
run that starts at step k therefore sees what an uninterrupted run would have seen, and no iterator state is saved.

A batch is a dict of numpy arrays: `target` float32 [B, H, W, 3] and `sources` float32 [B, 2, H, W, 3] (t-1, t+1) in
[-1, 1], `intrinsics` float32 [B, 3, 3] in pixels of these images.
"""

import atexit
import pathlib
import weakref
from collections.abc import Generator, Iterator

import numpy as np
import tensorflow as tf

from dopi_jax.data.augment import augment as augment_snippet
from dopi_jax.data.images import read_image
from dopi_jax.data.snippets import Sequence, Snippet
from dopi_jax.errors import UserError

tf.config.set_visible_devices([], "GPU")  # TensorFlow only decodes; the accelerators belong to JAX

CACHE_BYTES = 4 * 2**30

Batch = dict[str, np.ndarray]


def training_batches(
    sequences: list[Sequence],
    *,
    size: tuple[int, int],
    batch_size: int,
    seed: int,
    start_step: int = 0,
    augment: bool = True,
    cache: bool = True,
) -> Iterator[Batch]:
    """Returns shuffled, augmented batches without end; a batch may span two epochs.

    Args:
      sequences: where the snippets come from.
      size: (height, width) in pixels that frames are resized to.
      batch_size: snippets a batch.
      seed: of order and augmentation.
      start_step: the step of the first batch; any step can be the first (D22).
      augment: flip, scale and crop at random.
      cache: keep decoded frames in memory if all of them fit in 4 GiB.

    Raises:
      UserError: there is no snippet; later, from the iterator, a frame cannot be read.
    """
    snippets = _all_snippets(sequences, at_least=1)
    reader = _SnippetReader(snippets, size, cache)

    def prepare(global_index: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        images, intrinsics, readable = reader.read(index)
        if augment:
            images, intrinsics = augment_snippet(images, intrinsics, tf.stack([seed, global_index]))
        return _as_sample(images, intrinsics, readable)

    order = _shuffled_indices(len(snippets), seed, start_step * batch_size)
    return _closed_at_exit(reader.batches(order.map(prepare, num_parallel_calls=tf.data.AUTOTUNE), batch_size))


def validation_batches(
    sequences: list[Sequence], size: tuple[int, int], batch_size: int, at_most: int | None = None
) -> Iterator[Batch]:
    """Returns snippets once, in order and as they are; those that do not fill the last batch are left out.

    Args:
      sequences: where the snippets come from.
      size: (height, width) in pixels that frames are resized to.
      batch_size: snippets a batch.
      at_most: number of batches, of snippets spread evenly over all; None for every snippet.

    Raises:
      UserError: there are fewer snippets than a batch takes; later, from the iterator, a frame cannot be read.
    """
    snippets = _all_snippets(sequences, at_least=batch_size)
    if at_most is not None and at_most * batch_size < len(snippets):
        chosen = np.arange(at_most * batch_size) * len(snippets) // (at_most * batch_size)
        snippets = [snippets[index] for index in chosen]
    reader = _SnippetReader(snippets, size, cache=False)
    order = tf.data.Dataset.range(len(snippets))
    samples = order.map(lambda index: _as_sample(*reader.read(index)), num_parallel_calls=tf.data.AUTOTUNE)
    return _closed_at_exit(reader.batches(samples, batch_size))


class _SnippetReader:
    """Reads snippets by index inside tf.data.

    A frame that cannot be read marks its sample, and the iterator raises when it comes to that sample: an exception
    thrown inside tf.data would be logged by TensorFlow, traceback and all, and arrive as one of its own.
    """

    def __init__(self, snippets: list[Snippet], size: tuple[int, int], cache: bool):
        self._snippets = snippets
        self._size = size
        self._intrinsics = np.stack([snippet.intrinsics_at(size) for snippet in snippets]).astype(np.float32)
        frames = {path for snippet in snippets for path in snippet.frames}
        self._keep = cache and len(frames) * size[0] * size[1] * 3 <= CACHE_BYTES
        self._kept: dict[pathlib.Path, np.ndarray] = {}
        self._error: UserError | None = None

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns a snippet's frames, float32 [3, H, W, 3] in 0..255, its intrinsics [3, 3], and if it was readable."""
        images, readable = tf.numpy_function(self._read_frames, [index], (tf.uint8, tf.bool), stateful=False)
        images = tf.cast(tf.ensure_shape(images, (3, *self._size, 3)), tf.float32)
        return images, tf.gather(self._intrinsics, index), tf.ensure_shape(readable, ())

    def batches(self, samples: tf.data.Dataset, batch_size: int) -> Generator[Batch, None, None]:
        """Yields the samples in batches; raises the UserError when it comes to one that could not be read."""
        for batch in samples.batch(batch_size, drop_remainder=True).prefetch(2).as_numpy_iterator():
            if not batch.pop("readable").all():
                raise self._error
            yield batch

    def _read_frames(self, index: np.int64) -> tuple[np.ndarray, np.bool]:
        try:
            snippet = self._snippets[index]
            return np.stack([self._read_frame(path, snippet.kept_rows) for path in snippet.frames]), np.True_
        except UserError as error:
            self._error = self._error or error
            return np.zeros((3, *self._size, 3), np.uint8), np.False_

    def _read_frame(self, path: pathlib.Path, kept_rows: float) -> np.ndarray:
        # Two threads may decode the same frame at once; both get the same pixels.
        frame = self._kept.get(path)
        if frame is None:
            frame = read_image(path, self._size, kept_rows)
            if self._keep:
                self._kept[path] = frame
        return frame


def _shuffled_indices(count: int, seed: int, start: int) -> tf.data.Dataset:
    """Endless pairs (global index from `start` on, snippet index): every epoch is a permutation of its own."""

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        # Negative, so that it never meets the seed of a sample's augmentation.
        keys = tf.random.stateless_uniform([count], seed=tf.stack([seed, -1 - epoch]), dtype=tf.float64)
        return tf.data.Dataset.from_tensor_slices(tf.argsort(keys, stable=True))

    first_epoch, position = divmod(start, count)
    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return epochs.flat_map(shuffled).skip(position).enumerate(start)


def _as_sample(images: tf.Tensor, intrinsics: tf.Tensor, readable: tf.Tensor) -> dict[str, tf.Tensor]:
    previous, target, following = tf.unstack(images / 127.5 - 1.0)
    return {
        "target": target,
        "sources": tf.stack([previous, following]),
        "intrinsics": intrinsics,
        "readable": readable,
    }


def _all_snippets(sequences: list[Sequence], at_least: int) -> list[Snippet]:
    snippets = [snippet for sequence in sequences for snippet in sequence.snippets()]
    if len(snippets) < at_least:
        raise UserError(
            f"the {len(sequences)} selected sequences hold {len(snippets)} snippets, expected at least {at_least}: "
            "select more frames or a smaller batch"
        )
    return snippets


_open: weakref.WeakSet[Generator] = weakref.WeakSet()


def _closed_at_exit(batches: Generator[Batch, None, None]) -> Iterator[Batch]:
    _open.add(batches)
    return batches


@atexit.register
def _close_all() -> None:
    """Stops the reading threads while Python can still serve them; left to its shutdown, the process would hang."""
    for batches in list(_open):
        batches.close()
