"""KITTI odometry: a sequence to train on and the two that test poses.

<folder>/sequences/03/calib.txt, times.txt, image_2/000000.png
<folder>/poses/03.txt
"""

import pathlib

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax.errors import UserError
from dopi_jax.formats import write_kitti_poses
from dopi_jax.synthetic.layouts import rig
from dopi_jax.synthetic.layouts.streets import make_street, write_frames
from dopi_jax.synthetic.street import Street

TRAINING_SEQUENCE = "03"  # not cut from a drive of the Eigen test list, of which a training run would warn
TEST_SEQUENCES = ("09", "10")

_SNIPPET = 5  # frames, the longest that poses are tested on
_FEWEST = _SNIPPET * (1 + len(TEST_SEQUENCES))


def streets(frames: int, seed: int, size: tuple[int, int]) -> dict[str, Street]:
    """Returns the street of each sequence: a quarter of the frames for each that tests, the rest for the one that trains.

    Args:
      frames: how many all sequences have together.
      seed: each gives other streets.
      size: (height, width) of the images in pixels.

    Raises:
      UserError: there are too few frames for a snippet in each sequence.
    """
    if frames < _FEWEST:
        raise UserError(
            f"--frames is {frames}: expected at least {_FEWEST} for kitti_odometry, {_SNIPPET} (a snippet of the pose test) "
            f"for each of its {1 + len(TEST_SEQUENCES)} sequences"
        )
    quarter = max(_SNIPPET, frames // 4)
    lengths = {TRAINING_SEQUENCE: frames - len(TEST_SEQUENCES) * quarter} | dict.fromkeys(TEST_SEQUENCES, quarter)
    return {name: make_street(f"kitti_odometry {name}", length, seed, size) for name, length in lengths.items()}


def write(folder: pathlib.Path, streets: dict[str, Street]) -> None:
    """Writes sequences, from `streets`, into a folder that is there."""
    (folder / "poses").mkdir()
    with tqdm(total=sum(street.frames for street in streets.values()), unit="frame") as progress:
        for name, street in streets.items():
            _write_sequence(folder / "sequences" / name, street, progress)
            # The first camera is the world, as in the official files.
            write_kitti_poses(folder / "poses" / f"{name}.txt", np.linalg.inv(street.poses[0]) @ street.poses)


def _write_sequence(folder: pathlib.Path, street: Street, progress: tqdm) -> None:
    (folder / "image_2").mkdir(parents=True)
    matrices = {f"P{camera}": projection for camera, projection in enumerate(rig.projections(street.K))}
    matrices["Tr"] = rig.CAMERA_FROM_VELODYNE[:3]
    rig.write_lines(folder / "calib.txt", [rig.calibration_line(key, matrix) for key, matrix in matrices.items()])
    rig.write_lines(folder / "times.txt", [f"{number / rig.FRAME_RATE:.6e}" for number in range(street.frames)])

    def write_frame(number: int) -> None:
        Image.fromarray(street.frame(number).image).save(folder / "image_2" / f"{number:06d}.png")

    write_frames(write_frame, street.frames, progress)
