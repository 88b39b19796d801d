"""Frames of a video of any length, a few at a time."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from dopi_jax.errors import UserError

OVERLAP = 4  # frames that two chunks share
_CHUNK = 16  # further ones
_FIRST_CHUNK = 12  # fewer, so that one sees a result soon


def overlapping_chunks(frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields chunks of a video, of which each begins with the last `OVERLAP` frames of the one before it.

    Args:
      frames: uint8 [H, W, 3], all of one size.

    Yields:
      Frames [N, H, W, 3], and whether they are the last chunk.

    Raises:
      UserError: There is no frame, or one is no image or of another size.
    """
    frames = (checked_frames(np.asarray(frame)[None])[0] for frame in frames)
    chunk = list(itertools.islice(frames, _FIRST_CHUNK))
    if not chunk:
        raise UserError("there is no frame: expected one or more, uint8 [H, W, 3]")
    while True:
        following = list(itertools.islice(frames, _CHUNK))
        sizes = {frame.shape[:2] for frame in chunk}
        if len(sizes) > 1:
            (h, w), (other_h, other_w), *_ = sorted(sizes)
            raise UserError(f"frames of a video are {w}x{h} and {other_w}x{other_h} pixels: expected one size")
        yield np.stack(chunk), not following
        if not following:
            return
        chunk = chunk[-OVERLAP:] + following


def checked_frames(frames: np.ndarray) -> np.ndarray:
    """Returns frames as an array uint8 [N, H, W, 3]; [H, W, 3] is a video of one frame.

    Raises:
      UserError: They are no such array.
    """
    frames = np.asarray(frames)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise UserError(
            f"frames are {frames.dtype} of the shape {frames.shape}: expected uint8 [N, H, W, 3], RGB, in the order of time"
        )
    return frames
