"""Looks through the frames of one's own footage: where a new shot starts, and how much moves from frame to frame.

Every frame is looked at as a thumbnail, which finds cuts, jumps of the exposure and black bars; corners are tracked in
some forty pairs of frames, which gives the stride and tells whether there is parallax.
"""

import functools
import itertools
import pathlib

import numpy as np
from tqdm import tqdm

from dopi_jax import opencv as cv2
from dopi_jax.data.recording import Bars, Survey
from dopi_jax.data.tracking import WIDTH, Tracks, read_grey, track
from dopi_jax.errors import UserError

LEAST_MOTION = 2.5 / 416  # share of the width; with less, parallax is too small to match (docs/experiments_small.md)
STATIC_MOTION = 0.25 / 416  # share of the width, above the noise of tracking; with less, the camera stands still
LONGEST_STRIDE = 8  # frames; over a longer distance too much leaves the image

_PAIRS = 40
_FEWEST_MOVING = 0.1  # share of the pairs below which a recording counts as static
_PARALLAX_MOTION = 2 / WIDTH  # with less, one homography explains any motion
_ON_HOMOGRAPHY = 0.8  # share of the tracks; a pair with more shows no parallax

_THUMBNAIL = (36, 64)  # (height, width) in pixels
_ALIKE = 0.95  # correlation of thumbnails above which there is no cut between two frames
_CUT_WIDTH = 320  # pixels; frames that are less alike are tracked at this width
_CUT_FOUND = 0.2  # share of corners found again; less means a cut
_EXPOSURE_JUMP = np.log(1.3)  # of the median pixel's brightness
_FLAT = 2.0  # standard deviation of grey levels below which a thumbnail shows nothing
_BAR_LEVEL = 40  # grey level that nothing in a black bar reaches
_BAR_SPREAD = 12  # of its levels over all frames, at most; those of a night sky differ more
_SMALLEST_BAR = 0.02  # share of the side


@functools.lru_cache(maxsize=64)
def survey(frames: tuple[pathlib.Path, ...], numbers: tuple[int, ...], stride: int = 0) -> Survey:
    """Looks through a recording; asked again for the same frames, it answers from memory.

    Args:
      frames: image files in the order of time, at least one.
      numbers: their numbers, rising.
      stride: frames from one frame of a snippet to the next; 0 chooses the smallest with enough motion.

    Raises:
      UserError: no frame can be read.
    """
    progress = tqdm(frames, desc="looking through frames", unit="frame", disable=None if len(frames) > 500 else True)
    thumbnails = [_thumbnail(path) for path in progress]
    if all(thumbnail is None for thumbnail in thumbnails):
        raise UserError(f"none of the {len(frames)} frames in {frames[0].parent} can be read: copy or download them again")
    cuts, jumps = [], []
    known = [index for index, thumbnail in enumerate(thumbnails) if thumbnail is not None]
    for before, after in itertools.pairwise(known):
        if _is_cut(frames[before], frames[after], thumbnails[before], thumbnails[after]):
            cuts.append(numbers[after])
        elif abs(_brightening(thumbnails[before], thumbnails[after])) > _EXPOSURE_JUMP:
            jumps.append(numbers[after])
    pairs = _Pairs(frames, numbers, cuts)
    stride = stride or _choose_stride(pairs)
    tracks = pairs.tracks(stride)
    return Survey(
        cuts=tuple(cuts),
        exposure_jumps=tuple(jumps),
        bars=_find_bars([frames[known[index]] for index in _spread(len(known), _PAIRS)]),
        stride=stride,
        motions=tuple(pair.median_motion() for pair in tracks),
        parallax=_parallax(tracks),
    )


class _Pairs:
    """Pairs of frames of one shot, spread over a recording."""

    def __init__(self, frames: tuple[pathlib.Path, ...], numbers: tuple[int, ...], cuts: list[int]):
        shots = np.searchsorted(cuts, numbers, side="right")
        self._frames = {number: (path, shot) for number, path, shot in zip(numbers, frames, shots, strict=True)}
        # A snippet takes two strides of one shot.
        self.longest_stride = min(LONGEST_STRIDE, max(1, (np.bincount(shots).max() - 1) // 2))

    def tracks(self, stride: int) -> list[Tracks]:
        """Follows corners in some pairs whose numbers are a stride apart; those that cannot be read are left out."""
        pairs = []
        for number, (path, shot) in self._frames.items():
            following, its_shot = self._frames.get(number + stride, (None, None))
            if following is not None and its_shot == shot:
                pairs.append((path, following))
        found = []
        for index in _spread(len(pairs), _PAIRS):
            try:
                first, second = (read_grey(path, WIDTH) for path in pairs[index])
            except UserError:
                continue
            if first.shape == second.shape:
                found.append(track(first, second))
        return found


def _choose_stride(pairs: _Pairs) -> int:
    """The smallest stride at which what moves does so enough; 1 where nothing does."""
    stride = 1
    while True:
        motions = np.array([pair.median_motion() for pair in pairs.tracks(stride)])
        moving = motions[motions > STATIC_MOTION]
        is_static = len(moving) <= _FEWEST_MOVING * len(motions)
        if not is_static and np.median(moving) >= LEAST_MOTION:
            return stride
        if stride >= pairs.longest_stride:
            return 1 if is_static else stride
        needed = 2 * stride if is_static else int(np.ceil(stride * LEAST_MOTION / np.median(moving)))
        stride = min(max(needed, stride + 1), pairs.longest_stride)


def _parallax(tracks: list[Tracks]) -> float:
    shares = np.array([pair.share_on_homography() for pair in tracks if pair.median_motion() > _PARALLAX_MOTION])
    shares = shares[np.isfinite(shares)]
    return float(np.mean(shares < _ON_HOMOGRAPHY)) if len(shares) else float("nan")


def _thumbnail(path: pathlib.Path) -> np.ndarray | None:
    try:
        grey = read_grey(path, _THUMBNAIL[1])
    except UserError:  # a damaged frame is left out here; the pipeline tells of it when it comes to it
        return None
    # Blurred, so that what moves by less than a thumbnail's pixel or two stays alike.
    return cv2.GaussianBlur(cv2.resize(grey, _THUMBNAIL[::-1]).astype(np.float32), (0, 0), 1.5)


def _is_cut(before: pathlib.Path, after: pathlib.Path, thumbnail: np.ndarray, following: np.ndarray) -> bool:
    if max(thumbnail.std(), following.std()) < _FLAT:
        return False
    if min(thumbnail.std(), following.std()) >= _FLAT and np.corrcoef(thumbnail.ravel(), following.ravel())[0, 1] > _ALIKE:
        return False
    try:
        first, second = read_grey(before, _CUT_WIDTH), read_grey(after, _CUT_WIDTH)
    except UserError:
        return False
    return first.shape != second.shape or track(first, second).found < _CUT_FOUND


def _brightening(thumbnail: np.ndarray, following: np.ndarray) -> float:
    """Logarithm of how much brighter the median pixel becomes; dark ones count less, their noise is large."""
    return float(np.median(np.log((following + 8) / (thumbnail + 8))))


def _find_bars(frames: list[pathlib.Path]) -> Bars:
    """Rows and columns along the edges that are black and the same in all of these frames."""
    brightest, darkest = None, None
    for path in frames:
        try:
            grey = read_grey(path, WIDTH)
        except UserError:
            continue
        if brightest is None:
            brightest, darkest = grey, grey
        elif grey.shape == brightest.shape:
            brightest, darkest = np.maximum(brightest, grey), np.minimum(darkest, grey)
    if brightest is None:
        return Bars()
    bars = []
    for axis, side in ((1, 0), (0, 1)):
        highest, lowest = brightest.max(axis).astype(int), darkest.min(axis).astype(int)
        picture = np.flatnonzero((highest >= _BAR_LEVEL) | (highest - lowest > _BAR_SPREAD))
        length = brightest.shape[side]
        before, after = (picture[0], length - 1 - picture[-1]) if len(picture) else (0, 0)
        bars += [float(count / length) if count >= _SMALLEST_BAR * length else 0.0 for count in (before, after)]
    return Bars(*bars)


def _spread(count: int, at_most: int) -> np.ndarray:
    """At most so many indices below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int)) if count else np.arange(0)
