"""The ways in which a training gets its batches, and bare decoding, which none that reads files can beat by much."""

import contextlib
import io
import os
import pathlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from PIL import Image

from benchmarks.case import Case
from benchmarks.drawn_frames import write_drive
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.prepare import Encoding, prepare_set
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources import prepared
from dopi_jax.training.parallel import gather_snippets

BARE = "bare decoding"
PREPARED = "prepared"

Opener = Callable[[], Iterator[Any]]
"""Begins to read batches without end; closing what it returns ends that."""


def openers(case: Case, folder: pathlib.Path) -> dict[str, Opener]:
    """Returns what gives the batches of a case, by name.

    Args:
      case: Its batch and size.
      folder: Where the frames are written.

    Returns:
      Of `BARE` the arrays of as many frames as a batch holds, three a snippet: the images of the prepared set, from memory,
      decoded by Pillow with one thread a core. Of the others batches, on the host, or on the device of JAX's choice.
    """
    size = case.height, case.width
    png, jpeg = (write_drive(folder / suffix[1:], suffix) for suffix in (".png", ".jpg"))
    packed = _prepare(png, size, folder / "prepared")

    def read(sequence: Sequence, cache: bool = False) -> TrainingInput:
        return TrainingInput([sequence], size=size, batch_size=case.batch, seed=0, cache=cache)

    encoded = [frame.open().getvalue() for frame in packed.frames]
    return {
        BARE: lambda: _decode(encoded, 3 * case.batch),
        "folder of PNG": read(png).batches,
        "folder of JPEG": read(jpeg).batches,
        PREPARED: read(packed).batches,
        "prepared, kept in memory": read(packed, cache=True).batches,
        "prepared, on the device": _on_device(read(packed)),
    }


def _prepare(sequence: Sequence, size: tuple[int, int], out: pathlib.Path) -> Sequence:
    dataset, item = sequence.origin
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        prepare_set([sequence], size, out, Encoding(), [f"{dataset}:{item}"])
    (packed,) = prepared.read(out, dataset, item)
    return packed


def _decode(encoded: list[bytes], count: int) -> Generator[list[np.ndarray], None, None]:
    """Yields `count` decoded images at a time; as many again are decoded ahead."""
    cores = os.cpu_count() or 1

    def decode(image: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(image)) as stored:
            return np.asarray(stored)

    with ThreadPoolExecutor(cores) as pool:
        pending = []
        next_image = 0
        while True:
            while len(pending) < 2 * count + cores:
                pending.append(pool.submit(decode, encoded[next_image % len(encoded)]))
                next_image += 1
            yield [future.result() for future in pending[:count]]
            del pending[:count]


def _on_device(source: TrainingInput) -> Opener:
    resident = jax.device_put(source.reader.read_all()._asdict())
    gather = jax.jit(gather_snippets)

    def batches() -> Generator[dict[str, jax.Array], None, None]:
        for indices in source.index_batches():
            yield jax.block_until_ready(gather(resident, indices))

    return batches
