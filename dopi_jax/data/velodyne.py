"""Ground-truth depth from laser scans, as the Eigen evaluation defines it.

Its conventions are kept exactly, because all published numbers use them: only points with x >= 0, pixel = round(u) - 1
(from 1-based indices), the nearest depth where several points share a pixel, and an off-by-one in which points do.
"""

import itertools
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dopi_jax.data import splits
from dopi_jax.data.calibration import RawCalibration
from dopi_jax.data.images import image_size
from dopi_jax.data.intrinsics import is_scaled
from dopi_jax.data.snippets import Frame, numbered_frames
from dopi_jax.data.sources import kitti_raw
from dopi_jax.errors import UserError


class EvaluationImage(NamedTuple):
    """One colour frame of KITTI raw with what its ground truth is made of."""

    image: pathlib.Path
    scan: pathlib.Path
    calibration: RawCalibration
    camera: int

    def ground_truth(self) -> np.ndarray:
        """Returns `ground_truth_depth` at the size that the camera was calibrated for.

        That is the native size of the frame; of one that is stored smaller, too, so that its errors are those of the field.

        Raises:
          UserError: the frame, the scan or the calibration is missing or damaged, or the frame is no smaller copy.
        """
        stored = image_size(self.image)
        native = self.calibration.image_size(self.camera) or stored
        is_scaled(native, stored, self.calibration.cameras.path)
        return ground_truth_depth(self.scan, self.calibration, self.camera, native)


def read_scan(path: pathlib.Path) -> np.ndarray:
    """Reads a laser scan.

    Args:
      path: a .bin file of KITTI raw.

    Returns:
      float32 [N, 4]: x forward, y left, z up in metres, and reflectance in 0..1.

    Raises:
      UserError: the file is missing, empty or not a whole number of points.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"laser scan {path} cannot be read ({error.strerror}): download the drive again") from error
    if not data or len(data) % 16:
        raise UserError(
            f"laser scan {path} has {len(data)} bytes, expected a multiple of 16 (4 float32 a point): "
            "the file is damaged; download the drive again"
        )
    return np.frombuffer(data, "<f4").reshape(-1, 4)


def ground_truth_depth(
    scan_path: pathlib.Path, calibration: RawCalibration, camera: int, shape: tuple[int, int]
) -> np.ndarray:
    """Projects a laser scan into a rectified camera.

    Args:
      scan_path: a .bin file of KITTI raw.
      calibration: of the scan's day.
      camera: 0..3; the Eigen test list uses 2.
      shape: (height, width) of the native image in pixels.

    Returns:
      float64 [height, width]: depth along the optical axis in metres, 0 where there is no point.

    Raises:
      UserError: the scan or the calibration is missing or damaged.
    """
    points = read_scan(scan_path).astype(np.float64)
    points = points[points[:, 0] >= 0]
    points[:, 3] = 1.0
    u_depth, v_depth, depth = calibration.pixels_from_velodyne(camera) @ points.T
    with np.errstate(divide="ignore", invalid="ignore"):
        column = np.round(u_depth / depth) - 1
        row = np.round(v_depth / depth) - 1
    inside = (column >= 0) & (row >= 0) & (column < shape[1]) & (row < shape[0])
    row, column, depth = row[inside].astype(int), column[inside].astype(int), depth[inside]
    # The off-by-one: pixels are numbered by rows of width - 1, so the last pixel of a row meets the first of the next. Their
    # nearest depth goes to the pixel whose point came first. Both lie outside the Garg crop.
    _, first, pixel = np.unique(row * (shape[1] - 1) + column, return_index=True, return_inverse=True)
    nearest = np.full(first.shape, np.inf)
    np.minimum.at(nearest, pixel, depth)
    image = np.zeros(shape)
    image[row, column] = depth
    image[row[first], column[first]] = nearest
    return np.maximum(image, 0.0)  # points just behind the camera, ahead of the laser, have negative depth


def with_ground_truth(images: Iterable[Frame]) -> list[EvaluationImage]:
    """Finds the laser scans that belong to frames.

    Args:
      images: frames; those that are no files of KITTI raw, or whose drive has no scan of their number, are left out.

    Returns:
      The frames with a scan.

    Raises:
      UserError: the calibration of a drive's day is missing.
    """
    found, calibrations = [], {}
    for image in images:
        if not isinstance(image, pathlib.Path) or image.parent.name != "data":
            continue
        drive = image.parents[2]
        scan = drive / "velodyne_points" / "data" / f"{image.stem}.bin"
        if scan.is_file():
            if drive.parent not in calibrations:
                calibrations[drive.parent] = RawCalibration.read(drive.parent)
            camera = int(image.parents[1].name.removeprefix("image_"))
            found.append(EvaluationImage(image, scan, calibrations[drive.parent], camera))
    return found


def eigen_test_images(*roots: pathlib.Path) -> tuple[list[EvaluationImage], int]:
    """Finds the frames of the Eigen test list that are at hand, of drives with laser scans.

    Args:
      *roots: the data roots.

    Returns:
      The frames at hand, by root, drive and frame number, and how many the whole list has (697). The scan of one may be
      missing.

    Raises:
      UserError: none is at hand, or the calibration of a drive's day is missing.
    """
    images = []
    for root, (drive, numbers) in itertools.product(roots, sorted(splits.eigen_test_frames().items())):
        frames = numbered_frames(kitti_raw.frames_folder(root, drive, splits.EIGEN_TEST_CAMERA))
        scans = kitti_raw.drive_folder(root, drive) / "velodyne_points" / "data"
        at_hand = [n for n in numbers if n in frames]
        if at_hand and scans.is_dir():
            calibration = RawCalibration.read(kitti_raw.drive_folder(root, drive).parent)
            images += [
                EvaluationImage(frames[n], scans / f"{n:010d}.bin", calibration, splits.EIGEN_TEST_CAMERA) for n in at_hand
            ]
    if not images:
        raise UserError(
            f"none of the {splits.EIGEN_TEST_COUNT} Eigen test frames is at hand, looked for image_02 and "
            f"velodyne_points of 28 drives such as {kitti_raw.drive_folder(roots[0], min(splits.eigen_test_scenes()))}: "
            f"{kitti_raw.HOW_TO_GET}"
        )
    return images, splits.EIGEN_TEST_COUNT
