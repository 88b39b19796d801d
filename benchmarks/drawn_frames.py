"""Drawn frames of a drive that are as hard to decode as photographs: white noise would be harder, blocks easier."""

import functools
import pathlib

import numpy as np
from PIL import Image

from dopi_jax.data.snippets import Sequence

STORED_SIZE = (375, 1242)
"""Height and width of a frame of KITTI, in pixels."""

FRAMES = 12


def write_drive(folder: pathlib.Path, suffix: str) -> Sequence:
    """Writes frames of KITTI's size.

    Args:
      folder: Where to; made if it is not there.
      suffix: ".png", or ".jpg" for JPEG of quality 92.

    Returns:
      The frames as one sequence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = tuple(folder / f"{number:010d}{suffix}" for number in range(FRAMES))
    for number, path in enumerate(frames):
        Image.fromarray(drawn_frame(number)).save(path, **({"quality": 92} if suffix == ".jpg" else {}))
    K = np.array([[720.0, 0, 609], [0, 720, 172], [0, 0, 1]])
    return Sequence("drawn", frames, tuple(range(FRAMES)), K, STORED_SIZE, origin=("drawn", "drawn"))


@functools.cache
def drawn_frame(number: int) -> np.ndarray:
    """Returns uint8 [H, W, 3]: noise of every scale, the stronger the coarser, and of weak colour."""
    rng = np.random.default_rng(number)
    pixels = np.full((*STORED_SIZE, 3), 110.0)
    for scale in 2 ** np.arange(8):
        grid = [-(-length // scale) for length in STORED_SIZE]
        grey, colour = rng.normal(size=(*grid, 1)), rng.normal(size=(*grid, 3))
        noise = _CONTRAST * scale**_SMOOTHNESS * (grey + _COLOUR * colour)
        for channel in range(3):
            coarse = Image.fromarray(noise[..., channel].astype(np.float32))
            pixels[..., channel] += np.asarray(coarse.resize(STORED_SIZE[::-1], Image.Resampling.BICUBIC))
    return pixels.clip(0, 255).round().astype(np.uint8)


# With these a frame takes as many bytes as one of KITTI, as PNG and, at 128x416, as JPEG.
_CONTRAST = 3.3
_SMOOTHNESS = 0.65
_COLOUR = 0.1
