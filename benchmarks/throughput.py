"""Images a second: of prediction by a network, and of the input pipeline."""

import itertools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from PIL import Image

from benchmarks.case import Case, initial_state, random_images
from dopi_jax import predict
from dopi_jax.training import network_variables

_FRAMES = 24
_STORED_SIZE = (375, 1242)  # pixels, of a frame of KITTI


def prediction(case: Case) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
    """Returns what predicts a batch: disparity of the targets in phase 1, flow to both neighbours in phase 2.

    Args:
      case: The network and the batch.

    Returns:
      A name, a compiled function and its arguments.
    """
    config, state, batch = case.config(), initial_state(case), random_images(case)
    variables = network_variables(state.params, state.batch_stats)
    if case.phase == "1":
        return "predict disparity", predict.make_predict_disparity(config), (variables, batch["target"])
    return "predict flow", predict.make_predict_flow(config), (variables, batch["target"], batch["sources"])


def pipeline_batches(case: Case, folder: pathlib.Path) -> Callable[[], object]:
    """Returns a function that takes one training batch from PNG files of KITTI's size: decoded and resized.

    Args:
      case: Its batch and size.
      folder: Where the files are written.

    Returns:
      The function. It reads every file anew: nothing is kept in memory.

    Raises:
      ImportError: TensorFlow is not installed.
    """
    from dopi_jax.data.pipeline import TrainingInput
    from dopi_jax.data.snippets import Sequence

    frames = tuple(folder / f"{number:010d}.png" for number in range(_FRAMES))
    shape = (3, -(-_STORED_SIZE[0] // 8), -(-_STORED_SIZE[1] // 8))
    for number, path in enumerate(frames):
        blocks = np.random.default_rng(number).integers(0, 256, shape, np.uint8).transpose(1, 2, 0)
        image = blocks.repeat(8, axis=0).repeat(8, axis=1)[: _STORED_SIZE[0], : _STORED_SIZE[1]]
        Image.fromarray(image).save(path)
    K = np.array([[720.0, 0, 609], [0, 720, 172], [0, 0, 1]])
    sequence = Sequence("drawn", frames, tuple(range(_FRAMES)), K, _STORED_SIZE)
    size = case.height, case.width
    return TrainingInput([sequence], size=size, batch_size=case.batch, seed=0, cache=False).batches().__next__


def pipeline_seconds(case: Case, repeats: int, clock: Callable[[], float]) -> float | None:
    """Returns the mean time of a batch of the input pipeline in seconds; None where TensorFlow is not installed.

    The mean over many batches in a row, since a few are prepared ahead: single ones cost nothing or a lot.

    Args:
      case: Its batch and size.
      repeats: A quarter of the batches that are taken.
      clock: Gives seconds.
    """
    with tempfile.TemporaryDirectory(prefix="dopi_jax_frames_") as folder:
        try:
            take = pipeline_batches(case, pathlib.Path(folder))
        except ImportError:
            return None
        for _ in range(2):
            take()
        count = 4 * repeats
        start = clock()
        for _ in itertools.repeat(None, count):
            take()
        return (clock() - start) / count


def wait(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], object]:
    """Returns a call of a compiled function that ends when its results are there."""
    return lambda: jax.block_until_ready(function(*arguments))
