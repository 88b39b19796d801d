"""What a look at one's own footage shows before training: shots, stride, motion, parallax, and its camera."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Calibration(NamedTuple):
    """The camera of one's own footage, and how it became known.

    Attributes:
      intrinsics: float64 [3, 3] in pixels of the stored frames.
      how: for people, such as "from intrinsics.txt".
      guessed: nothing was known of this camera.
    """

    intrinsics: np.ndarray
    how: str
    guessed: bool = False


class Bars(NamedTuple):
    """Black bars around the picture, as shares of its height or width; 0 where there is none."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0


@dataclasses.dataclass(frozen=True)
class Survey:
    """What the pictures of a recording show.

    Attributes:
      cuts: numbers of the frames with which a new shot starts, without the first one.
      exposure_jumps: numbers of the frames that are suddenly much brighter or darker than the one before.
      bars: black bars around the picture.
      stride: how many frames lie from one frame of a snippet to the next.
      motions: median motion in each of some pairs of frames a stride apart, as a share of the image's width.
      parallax: share of the moving pairs whose motion one homography does not explain; NaN if none moves enough to tell.
    """

    cuts: tuple[int, ...]
    exposure_jumps: tuple[int, ...]
    bars: Bars
    stride: int
    motions: tuple[float, ...]
    parallax: float


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One video or folder of images.

    Attributes:
      name: for people.
      frame_rate: frames a second; 0 if not known.
      calibration: its camera.
      survey: what its pictures show.
    """

    name: str
    frame_rate: float
    calibration: Calibration
    survey: Survey
