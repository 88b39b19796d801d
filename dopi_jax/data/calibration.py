"""KITTI calibration files: lines of `key: numbers`.

Names follow the KITTI development kit: P_rect_0c projects rectified camera-0 coordinates to pixels of camera c,
R_rect_00 rotates camera 0 into its rectified frame, [R | T] of calib_velo_to_cam.txt takes laser points to camera 0.
"""

import dataclasses
import pathlib

import numpy as np

from dopi_jax.data.intrinsics import check_intrinsics, intrinsics_of_stored
from dopi_jax.errors import UserError

_OFFICIAL = "use the official file of this recording"


@dataclasses.dataclass(frozen=True)
class CalibrationFile:
    """The numeric entries of one calibration file.

    Attributes:
      path: the file, for messages.
      values: key -> float64 vector.
      texts: key -> what stands there instead of numbers, such as the date of calib_time.
    """

    path: pathlib.Path
    values: dict[str, np.ndarray]
    texts: dict[str, str]

    @classmethod
    def read(cls, path: pathlib.Path) -> "CalibrationFile":
        """Reads a file of `key: numbers` lines.

        Raises:
          UserError: the file does not exist, is empty or is not text.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise UserError(f"calibration file {path} does not exist: unpack the calibration archive there") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"calibration file {path} cannot be read ({error}): download it again") from error
        if not text.strip():
            raise UserError(f"calibration file {path} is empty, expected lines such as 'P2: 718.856 0 ...': {_OFFICIAL}")
        values, texts = {}, {}
        for line in text.splitlines():
            key, colon, numbers = (part.strip() for part in line.partition(":"))
            if not colon:
                continue
            try:
                values[key] = np.array([float(number) for number in numbers.split()])
            except ValueError:
                texts[key] = numbers
        return cls(path, values, texts)

    def matrix(self, key: str, *shape: int) -> np.ndarray:
        """Returns the entry `key` as a float64 array of the given shape.

        Raises:
          UserError: the entry is missing, has another number of values, or one that is no finite number.
        """
        expected = int(np.prod(shape))
        if key in self.texts:
            raise UserError(
                f"calibration file {self.path}: {key} is {_shortened(self.texts[key])!r}, expected {expected} numbers with "
                f"spaces between them and decimal points: {_OFFICIAL}"
            )
        if key not in self.values:
            found = ", ".join(sorted(map(_shortened, self.values))) or "nothing"
            raise UserError(f"calibration file {self.path} has no {key} (found {found}): {_OFFICIAL}")
        value = self.values[key]
        if value.size != expected:
            raise UserError(
                f"calibration file {self.path}: {key} has {value.size} numbers, expected {expected}: {_OFFICIAL}"
            )
        if not np.all(np.isfinite(value)):
            raise UserError(
                f"calibration file {self.path}: {key} has {value[~np.isfinite(value)][0]:g}, expected finite numbers: "
                f"{_OFFICIAL}"
            )
        return value.reshape(shape)


@dataclasses.dataclass(frozen=True)
class RawCalibration:
    """Calibration of one recording day of KITTI raw.

    Attributes:
      folder: where calib_velo_to_cam.txt lies.
      cameras: calib_cam_to_cam.txt.
    """

    folder: pathlib.Path
    cameras: CalibrationFile

    @classmethod
    def read(cls, folder: pathlib.Path) -> "RawCalibration":
        """Reads the calibration of the day whose folder is given.

        Raises:
          UserError: calib_cam_to_cam.txt is missing.
        """
        return cls(folder, CalibrationFile.read(folder / "calib_cam_to_cam.txt"))

    def image_size(self, camera: int) -> tuple[int, int] | None:
        """Returns S_rect, the (height, width) of the images that P_rect belongs to; None where the file has none.

        Raises:
          UserError: S_rect is no size.
        """
        key = f"S_rect_{camera:02d}"
        if key not in self.cameras.values and key not in self.cameras.texts:
            return None
        width, height = self.cameras.matrix(key, 2)
        if min(width, height) < 1:
            raise UserError(
                f"calibration file {self.cameras.path}: {key} is {width:g} {height:g}, expected a width and a height in "
                f"pixels: {_OFFICIAL}"
            )
        return round(height), round(width)

    def intrinsics(self, camera: int, size: tuple[int, int]) -> np.ndarray:
        """Returns K of a rectified camera in pixels of an image of the given size.

        Args:
          camera: 0..3; 2 and 3 are the colour cameras.
          size: (height, width) of the stored frames in pixels.

        Returns:
          float64 [3, 3].

        Raises:
          UserError: P_rect of this camera is missing or no camera, or the frames are no smaller copies of its images.
        """
        key = f"P_rect_{camera:02d}"
        intrinsics = self.cameras.matrix(key, 3, 4)[:, :3]
        return intrinsics_of_stored(intrinsics, self.image_size(camera), size, self.cameras.path, key)

    def pixels_from_velodyne(self, camera: int) -> np.ndarray:
        """Returns P_rect·R_rect_00·T_velo, which takes homogeneous laser points to pixels times depth.

        Args:
          camera: 0..3.

        Returns:
          float64 [3, 4]; input in metres (x forward), output in metres and pixels of images of the size `image_size`.

        Raises:
          UserError: calib_velo_to_cam.txt or one of the matrices is missing, or P_rect is no camera.
        """
        key = f"P_rect_{camera:02d}"
        pixels_from_rectified = self.cameras.matrix(key, 3, 4)
        check_intrinsics(pixels_from_rectified[:, :3], f"{key} of {self.cameras.path}", self.image_size(camera))
        velodyne = CalibrationFile.read(self.folder / "calib_velo_to_cam.txt")
        camera_from_velodyne = np.eye(4)
        camera_from_velodyne[:3, :3] = velodyne.matrix("R", 3, 3)
        camera_from_velodyne[:3, 3] = velodyne.matrix("T", 3)
        rectified_from_camera = np.eye(4)
        rectified_from_camera[:3, :3] = self.cameras.matrix("R_rect_00", 3, 3)
        return pixels_from_rectified @ rectified_from_camera @ camera_from_velodyne


def read_odometry_intrinsics(path: pathlib.Path, camera: int) -> np.ndarray:
    """Reads K of one camera from the calib.txt of an odometry sequence.

    Args:
      path: calib.txt with lines P0..P3.
      camera: 0..3.

    Returns:
      float64 [3, 3] in pixels of the images that were calibrated, whose size the file does not say.

    Raises:
      UserError: the file or the camera's line is missing, or it is no camera.
    """
    intrinsics = CalibrationFile.read(path).matrix(f"P{camera}", 3, 4)[:, :3]
    check_intrinsics(intrinsics, f"P{camera} of {path}")
    return intrinsics


def _shortened(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:30]}..."
