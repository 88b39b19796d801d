"""Corners followed from one grey frame to another by sparse Lucas-Kanade, and what their motion says of the camera's.

Lengths are shares of the image's width, so that they hold for any size that frames are resized to: times the width they
are pixels.
"""

import contextlib
import itertools
import pathlib
import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from dopi_jax import opencv as cv2
from dopi_jax.data.images import read_image
from dopi_jax.data.snippets import Snippet

WIDTH = 640  # pixels that frames are tracked at: a corner is found again within a few tenths of a pixel

CORNERS = 400  # of a frame, at most
NO_MATCHES = np.full((CORNERS, 4), np.nan, np.float32)
_ROUND_TRIP = 1.0  # pixels that a corner may miss itself by, followed there and back
_HOMOGRAPHY_TOLERANCE = 1.0  # pixels, some times the error of a track
_FEWEST_TRACKS = 20  # a homography through fewer says nothing
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class Tracks(NamedTuple):
    """Corners of one frame found again in another.

    Attributes:
      start: float32 [N, 2], (x, y) in pixels of the first frame.
      end: float32 [N, 2], where they are in the second.
      sought: how many corners the first frame has; those that were not found again leave N smaller.
      width: of the frames in pixels.
    """

    start: np.ndarray
    end: np.ndarray
    sought: int
    width: int

    @property
    def found(self) -> float:
        """Share of the corners that were found again, in [0, 1]; 0 where there are none."""
        return len(self.start) / max(self.sought, 1)

    def median_motion(self) -> float:
        """Median length of the tracks as a share of the width; 0 where there are none."""
        if not len(self.start):
            return 0.0
        return float(np.median(np.linalg.norm(self.end - self.start, axis=1)) / self.width)

    def share_on_homography(self) -> float:
        """Share of the tracks that one homography explains: all of them if the camera only turns or sees one plane.

        Returns:
          In [0, 1]; NaN where there are too few tracks to tell.
        """
        if len(self.start) < _FEWEST_TRACKS:
            return np.nan
        homography, inliers = cv2.findHomography(self.start, self.end, cv2.USAC_MAGSAC, _HOMOGRAPHY_TOLERANCE)
        return np.nan if homography is None else float(inliers.mean())


def match(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Follows corners from one frame of a video to the next.

    Args:
      first: uint8 [height, width, 3], RGB.
      second: likewise, of the same size.

    Returns:
      float32 [CORNERS, 4]: (x, y) in the first and in the second frame, in pixels; NaN where there are fewer.
    """
    tracks = track(*(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)))
    matches = NO_MATCHES.copy()
    matches[: len(tracks.start)] = np.concatenate([tracks.start, tracks.end], axis=1)
    return matches


def match_snippets(
    frames: np.ndarray, size: tuple[int, int], progress: Callable[[Iterable], Iterable] = iter
) -> np.ndarray | None:
    """Follows corners from each frame of a video to its neighbours, at the width that suits it.

    Args:
      frames: uint8 [N, H, W, 3], RGB.
      size: (height, width) of the frames in whose pixels the matches are wanted.
      progress: Goes through the frames, and may show how far it has come.

    Returns:
      float32 [N-2, 2, CORNERS, 4], of every inner frame with both neighbours, as `matches_around` returns them; of two
      frames [1, 2, CORNERS, 4], of the second with the first and with none. None, with a warning, where OpenCV is missing.
    """
    if not cv2.is_installed():
        warnings.warn("OpenCV is not installed: motion is that of the networks alone, less exact", stacklevel=2)
        return None
    height = max(1, round(WIDTH * frames.shape[1] / frames.shape[2]))
    zoom = np.float32([size[1] / WIDTH, size[0] / height] * 2)
    before, found = None, []
    for frame in progress(frames):
        frame = np.asarray(Image.fromarray(frame).resize((WIDTH, height), Image.Resampling.BILINEAR))
        if before is not None:
            found.append((match(before, frame) + np.float32(0.5)) * zoom - np.float32(0.5))
        before = frame
    found += [NO_MATCHES] * (2 - len(found))
    return np.stack([matches_around(*pair) for pair in itertools.pairwise(found)])


def match_stored(snippet: Snippet, size: tuple[int, int]) -> np.ndarray | None:
    """Returns `match_snippets` of one snippet's stored frames, float32 [2, CORNERS, 4]; None where OpenCV is missing.

    Args:
      snippet: Its frames are read at the size that they are stored at.
      size: (height, width) of the frames in whose pixels the matches are wanted.

    Raises:
      UserError: A frame is missing, truncated or not an image.
    """
    found = match_snippets(np.stack([read_image(frame) for frame in snippet.frames]), size)
    return None if found is None else found[0]


def matches_around(to_target: np.ndarray, to_next: np.ndarray) -> np.ndarray:
    """Returns the matches of a target with both of its sources, float32 [2, CORNERS, 4], from those of both pairs of frames.

    Args:
      to_target: From t-1 to t, as `match` returns them.
      to_next: From t to t+1.
    """
    return np.stack([to_target[:, [2, 3, 0, 1]], to_next])


def read_grey(path: str | pathlib.Path, width: int) -> np.ndarray:
    """Reads a frame as grey, resized to a width and of its own aspect.

    Args:
      path: an image file.
      width: in pixels; a frame that is narrower is enlarged.

    Returns:
      uint8 [height, width].

    Raises:
      UserError: the file is missing, truncated or not an image.
    """
    with contextlib.suppress(*_UNREADABLE), Image.open(path) as stored:
        # A JPEG is decoded at half, quarter or eighth size where that is enough; EXIF data may turn it.
        if stored.format == "JPEG" and "exif" not in stored.info:
            stored.draft("L", (width, width * stored.height // stored.width))
            return _resized(stored, width)
    return _resized(Image.fromarray(read_image(path)), width)


def _resized(image: Image.Image, width: int) -> np.ndarray:
    height = max(1, round(width * image.height / image.width))
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BILINEAR))


def track(first: np.ndarray, second: np.ndarray) -> Tracks:
    """Follows the corners of one frame to another, and keeps those that come back to where they started.

    Args:
      first: uint8 [height, width].
      second: likewise, of the same size.
    """
    width = first.shape[1]
    second = _with_brightness_of(first, second)
    corners = cv2.goodFeaturesToTrack(first, CORNERS, qualityLevel=0.005, minDistance=width / 80)
    if corners is None:
        return Tracks(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), 0, width)
    options = {"winSize": (15, 15), "maxLevel": 4}
    moved, there, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None, **options)
    returned, back, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, None, **options)
    kept = (there & back).ravel().astype(bool)
    kept &= np.linalg.norm((returned - corners).reshape(-1, 2), axis=1) < _ROUND_TRIP
    return Tracks(corners.reshape(-1, 2)[kept], moved.reshape(-1, 2)[kept], len(corners), width)


def _with_brightness_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The second frame with mean and spread of the first: tracking compares grey levels, and cameras change exposure."""
    contrast = first.std() / max(second.std(), 1.0)
    return np.clip((second - second.mean()) * contrast + first.mean(), 0, 255).astype(np.uint8)
