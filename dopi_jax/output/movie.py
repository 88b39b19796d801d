"""Pictures as a video that any player opens."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from dopi_jax import opencv as cv2
from dopi_jax.errors import UserError

USUAL_RATE = 10.0  # frames a second, where the input does not tell


class Movie:
    """Frames added one by one; all of the first one's size."""

    def __init__(self, path: pathlib.Path, rate: float):
        self._path = path
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None

    def add(self, picture: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3], RGB, of even height and width.

        Raises:
          UserError: This OpenCV cannot write videos.
        """
        if self._writer is None:
            codec = cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, picture.shape[1::-1])
            if not self._writer.isOpened():
                raise UserError(f"{self._path} cannot be written as a video: make room, or choose another folder")
        self._writer.write(picture[:, :, ::-1])

    def close(self) -> None:
        """Finishes the file."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def movie(path: pathlib.Path, rate: float) -> Iterator[Movie]:
    """Opens a video for writing; it has its name only when it is whole.

    Args:
      path: The file, .mp4.
      rate: Frames a second; 0 for the usual.
    """
    unfinished = path.with_name(f"unfinished_{path.name}")
    writer = Movie(unfinished, rate or USUAL_RATE)
    try:
        yield writer
        writer.close()
        if unfinished.exists():
            unfinished.replace(path)
    finally:
        writer.close()
        unfinished.unlink(missing_ok=True)
