"""Corners followed from one grey frame to another by sparse Lucas-Kanade, and what their motion says of the camera's.

Lengths are shares of the image's width, so that they hold for any size that frames are resized to: times the width they
are pixels.
"""

import contextlib
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from dopi_jax import opencv as cv2
from dopi_jax.data.images import read_image

WIDTH = 640  # pixels that frames are tracked at: a corner is found again within a few tenths of a pixel

_CORNERS = 400
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
    corners = cv2.goodFeaturesToTrack(first, _CORNERS, qualityLevel=0.005, minDistance=width / 80)
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
