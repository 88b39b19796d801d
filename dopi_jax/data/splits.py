"""Which frames train, validate and test: the lists that the field shares.

Test frames are those of Eigen et al. (2014): 697 frames of the left colour camera in 28 drives ("scenes"), none of
which may be trained on. Frames on which the car stands still give no parallax and are left out of training; the list
of the 8,044 such frames is that of Zhou et al. (2017). Both are stored in `lists/` as runs of frame numbers per drive:
"0-6:3,9" is 0, 3, 6, 9.

The folds of training and validation drives in the paper came from a random draw in the order of a directory listing
and cannot be had again. Here a drive validates if the CRC-32 of its name is a multiple of 10: about one in ten, the
same ones on every machine, and independent of which other drives are at hand.
"""

import functools
import importlib.resources
import json
import zlib

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


def _read_list(name: str) -> dict[str, tuple[int, ...]]:
    text = importlib.resources.files("dopi_jax.data").joinpath("lists", name).read_text(encoding="utf-8")
    return {drive: parse_runs(runs) for drive, runs in json.loads(text).items()}
