"""How far the camera moves from frame to frame in metres, where that is known: by its speed, KITTI's GPS/IMU, true poses."""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from dopi_jax import formats
from dopi_jax.data.inputs import Input
from dopi_jax.errors import UserError

OXTS = "oxts"
_SPEED = slice(8, 11)  # of a record's numbers: m/s forward, to the left and up


class KnownMotion(NamedTuple):
    """Lengths of the steps from each frame to the next.

    Attributes:
      lengths: float64 [N-1] in metres.
      known_by: For people, such as "the camera moves at 50 km/h".
    """

    lengths: np.ndarray
    known_by: str


def motion_by_speed(seen: Input, speed: str, frame_rate: float) -> KnownMotion:
    """Returns the steps of a camera whose speed is known.

    Args:
      seen: The frames.
      speed: In km/h, the same for all frames; or "oxts" for what the GPS/IMU unit of a KITTI raw drive recorded.
      frame_rate: In frames a second, where the input does not tell it; 0 if not known.

    Raises:
      UserError: It is neither, the records are not there, or nothing tells the time between two frames.
    """
    if frame_rate:
        seconds = np.full(len(seen.frames) - 1, 1 / frame_rate)
    elif len(seen.times) == len(seen.frames):
        seconds = np.diff(seen.times)
    else:
        raise UserError(f"--speed is given, but {seen.name} does not tell its frame rate: give it by --frame-rate")
    if speed == OXTS:
        speeds = np.array([_recorded_speed(path) for path in _records(seen)])
        return KnownMotion((speeds[:-1] + speeds[1:]) / 2 * seconds, "the GPS/IMU unit recorded the true speed")
    kmh = _positive(speed)
    return KnownMotion(kmh / 3.6 * seconds, f"the camera moves at {kmh:g} km/h")


def motion_by_poses(seen: Input, path: pathlib.Path) -> KnownMotion:
    """Returns the steps between true camera poses.

    Args:
      seen: The frames.
      path: A file in KITTI's format, 12 numbers a line, in metres: a pose for each frame, or one for each frame of the whole
        sequence that a selection is a part of.

    Raises:
      UserError: It cannot be read, or has another number of poses.
    """
    poses = formats.read_kitti_poses(path)
    if len(poses) != len(seen.frames):
        if not seen.numbers or max(seen.numbers) >= len(poses):
            raise UserError(f"{path} has {len(poses)} poses for {len(seen.frames)} frames: expected one for each frame")
        poses = poses[list(seen.numbers)]
    return KnownMotion(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1), f"the poses in {path} are true")


def _positive(speed: str) -> float:
    try:
        kmh = float(speed)
    except ValueError:
        kmh = math.nan
    if not 0 < kmh < math.inf:
        raise UserError(f"--speed is {speed!r}: expected km/h, more than 0, or {OXTS!r} for a drive of KITTI")
    return kmh


def _records(seen: Input) -> list[pathlib.Path]:
    """The records <drive>_sync/oxts/data/0000000000.txt beside the frames <drive>_sync/image_02/data/0000000000.png."""
    frame = seen.frames[0]
    of_data_set = seen.numbers and isinstance(frame, pathlib.Path)
    folder = frame.parents[2] / OXTS / "data" if of_data_set else None
    if folder is None or not folder.is_dir():
        looked = f", looked for {folder}" if folder else ""
        raise UserError(
            f"--speed=oxts is given, but {seen.name} is no KITTI raw drive with its oxts/data{looked}: give km/h"
        )
    return [folder / f"{number:010d}.txt" for number in seen.numbers]


def _recorded_speed(path: pathlib.Path) -> float:
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): expected the numbers of KITTI's oxts") from error
    if len(numbers) != 30 or not np.isfinite(numbers[_SPEED]).all():
        raise UserError(f"{path} has {len(numbers)} numbers: expected the 30 finite ones of KITTI's oxts")
    return float(np.linalg.norm(numbers[_SPEED]))
