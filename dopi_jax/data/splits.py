"""Which frames train, validate and test: the lists that the field shares.

Test frames are those of Eigen et al. (2014): 697 frames of the left colour camera in 28 drives ("scenes"), none of
which may be trained on. Frames on which the car stands still give no parallax and are left out of training; the list
of the 8,044 such frames is that of Zhou et al. (2017). Both are stored in `lists/` as runs of frame numbers per drive:
"0-6:3,9" is 0, 3, 6, 9.

The folds of training and validation drives in the paper came from a random draw in the order of a directory listing
and cannot be reproduced. Here a drive validates if the CRC-32 of its name is a multiple of 10: about one in ten, the
same ones on every machine, and independent of which other drives are at hand.
"""

import functools
import importlib.resources
import json
import warnings
import zlib
from collections.abc import Iterable, Sequence

EIGEN_TEST_COUNT = 697
EIGEN_TEST_CAMERA = 2

ODOMETRY_TRAIN = tuple(f"{number:02d}" for number in range(9))
ODOMETRY_TEST = ("09", "10")

# The raw drive that each odometry sequence is cut from (KITTI odometry development kit). Training on one and testing
# on the other is training on the test set.
ODOMETRY_DRIVES = {
    "00": "2011_10_03_drive_0027",
    "01": "2011_10_03_drive_0042",
    "02": "2011_10_03_drive_0034",
    "03": "2011_09_26_drive_0067",
    "04": "2011_09_30_drive_0016",
    "05": "2011_09_30_drive_0018",
    "06": "2011_09_30_drive_0020",
    "07": "2011_09_30_drive_0027",
    "08": "2011_09_30_drive_0028",
    "09": "2011_09_30_drive_0033",
    "10": "2011_09_30_drive_0034",
}


@functools.cache
def eigen_test_frames() -> dict[str, tuple[int, ...]]:
    """Returns the Eigen test list: drive -> frame numbers, rising; camera 02 throughout; 697 in all."""
    return _read_list("eigen_test.json")


def eigen_test_scenes() -> frozenset[str]:
    """Returns the 28 drives that the Eigen test list draws from."""
    return frozenset(eigen_test_frames())


@functools.cache
def static_frames() -> dict[str, frozenset[int]]:
    """Returns the frames without motion: drive -> frame numbers; 8,044 in all, the same for every camera."""
    return {drive: frozenset(numbers) for drive, numbers in _read_list("static_frames.json").items()}


def is_validation(drive: str) -> bool:
    """Returns whether a drive that is not a test scene validates (about 1 in 10) rather than trains.

    Args:
      drive: such as 2011_09_26_drive_0095.
    """
    return zlib.crc32(drive.encode()) % 10 == 0


def parse_runs(text: str) -> tuple[int, ...]:
    """Returns the numbers that runs such as "0-6:3,9" stand for, here (0, 3, 6, 9).

    Args:
      text: comma-separated `number`, `first-last` or `first-last:step`; last is included.
    """
    numbers: list[int] = []
    for run in text.split(","):
        ends, _, step = run.partition(":")
        first, _, last = ends.partition("-")
        numbers += range(int(first), int(last or first) + 1, int(step or 1))
    return tuple(numbers)


def format_runs(numbers: Sequence[int]) -> str:
    """Returns rising numbers as runs that `parse_runs` reads, such as "0-6,9"."""
    starts = [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1] + 1]
    runs = [(numbers[start], numbers[end - 1]) for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True)]
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def check_for_tests(selection: str, drives: Iterable[str]) -> None:
    """Warns if the raw drives that are trained on, under whatever name, are tested on under another.

    Args:
      selection: The words that chose them, for the message.
      drives: Such as 2011_09_26_drive_0095.
    """
    drives = set(drives)
    scenes = sorted(eigen_test_scenes() & drives)
    if scenes:
        warnings.warn(
            f"{selection} is cut from Eigen test scenes ({', '.join(scenes)}): a network trained on it has seen frames of "
            "the depth test; train on kitti_raw:eigen to report depth errors",
            stacklevel=3,
        )
    poses = [name for name in ODOMETRY_TEST if ODOMETRY_DRIVES[name] in drives]
    if poses:
        warnings.warn(
            f"{selection} holds the drives that odometry {' and '.join(poses)} is cut from: a network trained on it has "
            "seen the pose test; train on kitti_odometry:train to report pose errors",
            stacklevel=3,
        )


def _read_list(name: str) -> dict[str, tuple[int, ...]]:
    text = importlib.resources.files("dopi_jax.data").joinpath("lists", name).read_text(encoding="utf-8")
    return {drive: parse_runs(runs) for drive, runs in json.loads(text).items()}
