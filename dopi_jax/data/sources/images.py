"""One's own footage as folders of images.

<root>/000000.jpg, 000001.jpg ...              root is the recording
<root>/<recording>/000000.jpg ...              or every folder in it that holds images is one
<root>/<recording>/intrinsics.txt              fx fy cx cy in pixels; need not be there
"""

import collections
import itertools
import pathlib
import re

import numpy as np

from dopi_jax.data.footage import Footage, find_calibration, split_into_sequences
from dopi_jax.data.images import image_size
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources.choice import Choice, choose_footage
from dopi_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # in any case
HOW_TO_GET = (
    f"set --config.data.root to a folder of images ({', '.join(SUFFIXES)}) whose names sort in the order of time, or to a "
    "folder of such folders"
)

_DATA_SETS = ("kitti_raw", "kitti_odometry", "kitti_flow_2012", "kitti_flow_2015", "cityscapes")
_FEWEST = 3  # frames of a snippet


def items(root: pathlib.Path) -> list[str]:
    """Lists the recordings at hand: the root itself if it holds images, else the folders in it that do, by name.

    Args:
      root: any folder, or a file.

    Returns:
      The names; none if no folder holds the three images of a snippet.
    """
    root = root.resolve()
    if not root.is_dir():
        return []
    if len(list_frames(root)) >= _FEWEST:
        return [root.name]
    folders = [path for path in root.iterdir() if path.is_dir() and not _is_hidden(path) and path.name not in _DATA_SETS]
    return sorted((path.name for path in folders if len(list_frames(path)) >= _FEWEST), key=_natural)


def choose(name: str, at_hand: list[str], where: str) -> Choice:
    """Returns the folders of images that a selection names, as `choose_footage` says."""
    return choose_footage("images", name, at_hand, where, HOW_TO_GET)


def check_training(_selection: str, _items: list[str]) -> None:
    """Does nothing: one's own footage is no test."""


def read(root: pathlib.Path, item: str, footage: Footage) -> list[Sequence]:
    """Reads a recording as sequences, one a shot.

    Args:
      root: the folder of images, or the folder that holds it.
      item: one of `items`.
      footage: intrinsics and stride.

    Raises:
      UserError: there is no such folder, it holds fewer than three images, or the intrinsics are wrong.
    """
    root = root.resolve()
    folder = root / item
    if item == root.name and not folder.is_dir():
        folder = root
    frames = list_frames(folder)
    if len(frames) < _FEWEST:
        raise UserError(f"images:{item} cannot be used: {why_unused(folder)}; {HOW_TO_GET}")
    size = image_size(frames[0])
    calibration = find_calibration(footage, size, beside=folder, frame=frames[0])
    return split_into_sequences(item, frames, number_frames(frames), size, calibration, footage.stride)


def list_frames(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Lists the images of a folder in the order of the numbers in their names: 9.png before 10.png.

    Args:
      folder: it need not exist; hidden files and unknown suffixes are no frames.
    """
    if not folder.is_dir():
        return ()
    frames = [path for path in folder.iterdir() if _ignored_because(path) is None]
    # Of a frame's original and its JPEG copy, the one with the earlier suffix is left.
    frames.sort(key=lambda path: SUFFIXES.index(path.suffix.lower()), reverse=True)
    return tuple(sorted({path.stem: path for path in frames}.values(), key=lambda path: _natural(path.stem)))


def number_frames(frames: tuple[pathlib.Path, ...]) -> tuple[int, ...]:
    """Numbers frames by the digits at the end of their names, so that missing frames leave a gap.

    Names that all lie about the same number apart, such as every fifth frame or times in nanoseconds, count that as 1.
    Where a name has no number, or they do not rise, frames are numbered from 0 without gaps.

    Args:
      frames: image files in the order of time.

    Returns:
      Rising numbers; those of the names if most of them follow each other.
    """
    digits = [re.search(r"\d+$", path.stem) for path in frames]
    if not all(digits):
        return tuple(range(len(frames)))
    named = [int(match[0]) for match in digits]
    apart = [later - earlier for earlier, later in itertools.pairwise(named)]
    if not apart or min(apart) < 1:
        return tuple(range(len(frames)))
    usual = sorted(apart)[len(apart) // 2]
    first = named[0] if usual == 1 else 0
    return tuple(int(n) for n in first + np.cumsum([0, *(max(1, round(distance / usual)) for distance in apart)]))


def why_unused(folder: pathlib.Path) -> str:
    """Says in half a sentence why a folder is no recording: what it holds and why that is no frame."""
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    count = len(list_frames(folder))
    reasons = collections.Counter(_ignored_because(path) for path in folder.iterdir() if path.is_file())
    del reasons[None]
    ignored = "".join(f", {number} ignored ({reason})" for reason, number in reasons.most_common(4))
    return f"{folder} has {count} images{ignored}, expected at least {_FEWEST}"


def _ignored_because(path: pathlib.Path) -> str | None:
    """Why a file is no frame; None if it is one."""
    if _is_hidden(path):
        return "hidden"
    if path.suffix.lower() not in SUFFIXES:
        return f"{path.suffix or 'no suffix'} is no image that is read"
    return None if path.is_file() else "no file"


def _is_hidden(path: pathlib.Path) -> bool:
    return path.name.startswith(".")  # ._0000.png, too: what macOS leaves on other disks


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts digits as the number they are."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
