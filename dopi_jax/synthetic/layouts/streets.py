"""Which street a recording shows, and how its frames are written."""

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from dopi_jax.synthetic.street import Street


def make_street(recording: str, frames: int, seed: int, size: tuple[int, int]) -> Street:
    """Returns the street of a recording.

    The recording's name takes part: no two recordings share a street, not even in different data sets, so that what is
    trained on one may be tested on another.

    Args:
      recording: its name, such as "kitti_odometry 09".
      frames: its length.
      seed: of the data set.
      size: (height, width) of the images in pixels.
    """
    height, width = size
    return Street(zlib.crc32(f"{recording} {seed}".encode()), frames, height, width)


def write_frames(write: Callable[[int], None], frames: int, progress: tqdm) -> None:
    """Writes the frames of a recording, several at a time.

    Args:
      write: draws and writes the frame of a number.
      frames: how many there are.
      progress: is told of each.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(write, range(frames)):
            progress.update()
