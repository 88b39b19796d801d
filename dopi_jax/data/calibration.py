"""KITTI calibration files: lines of `key: numbers`.

Names follow the KITTI development kit: P_rect_0c projects rectified camera-0 coordinates to pixels of camera c,
R_rect_00 rotates camera 0 into its rectified frame, [R | T] of calib_velo_to_cam.txt takes laser points to camera 0.
"""

import dataclasses
import pathlib

import numpy as np

from dopi_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class CalibrationFile:
    """The numeric entries of one calibration file.

    Attributes:
      path: the file, for messages.
      values: key -> float64 vector.
    """

    path: pathlib.Path
    values: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: pathlib.Path) -> "CalibrationFile":
        """Reads a file of `key: numbers` lines; entries that are not numbers, such as calib_time, are left out.

        Raises:
          UserError: the file does not exist or is not text.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UserError(f"calibration file {path} does not exist: unpack the calibration archive there") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"calibration file {path} cannot be read ({error}): download it again") from error
        values = {}
        for line in text.splitlines():
            key, _, numbers = line.partition(":")
            try:
                value = np.array([float(number) for number in numbers.split()])
            except ValueError:
                continue
            if value.size:
                values[key.strip()] = value
        return cls(path, values)

    def matrix(self, key: str, *shape: int) -> np.ndarray:
        """Returns the entry `key` as a float64 array of the given shape.

        Raises:
          UserError: the entry is missing or has another number of values.
        """
        if key not in self.values:
            raise UserError(
                f"calibration file {self.path} has no {key} (found {', '.join(sorted(self.values)) or 'nothing'}): "
                "use the official file of this recording"
            )
        value, expected = self.values[key], int(np.prod(shape))
        if value.size != expected:
            raise UserError(
                f"calibration file {self.path}: {key} has {value.size} numbers, expected {expected}: "
                "use the official file of this recording"
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

    def intrinsics(self, camera: int, size: tuple[int, int]) -> np.ndarray:
        """Returns K of a rectified camera in pixels of an image of the given size.

        P_rect belongs to images of the size S_rect; frames stored smaller to save space keep their right intrinsics.

        Args:
          camera: 0..3; 2 and 3 are the colour cameras.
          size: (height, width) of the stored frames in pixels.

        Returns:
          float64 [3, 3].

        Raises:
          UserError: P_rect of this camera is missing.
        """
        intrinsics = self.cameras.matrix(f"P_rect_{camera:02d}", 3, 4)[:, :3]
        if f"S_rect_{camera:02d}" not in self.cameras.values:
            return intrinsics
        width, height = self.cameras.matrix(f"S_rect_{camera:02d}", 2)
        return scale_rows(intrinsics, size[0] / height, size[1] / width)

    def pixels_from_velodyne(self, camera: int) -> np.ndarray:
        """Returns P_rect·R_rect_00·T_velo, which takes homogeneous laser points to pixels times depth.

        Args:
          camera: 0..3.

        Returns:
          float64 [3, 4]; input in metres (x forward), output in native pixels and metres.

        Raises:
          UserError: calib_velo_to_cam.txt or one of the matrices is missing.
        """
        velodyne = CalibrationFile.read(self.folder / "calib_velo_to_cam.txt")
        camera_from_velodyne = np.eye(4)
        camera_from_velodyne[:3, :3] = velodyne.matrix("R", 3, 3)
        camera_from_velodyne[:3, 3] = velodyne.matrix("T", 3)
        rectified_from_camera = np.eye(4)
        rectified_from_camera[:3, :3] = self.cameras.matrix("R_rect_00", 3, 3)
        return self.cameras.matrix(f"P_rect_{camera:02d}", 3, 4) @ rectified_from_camera @ camera_from_velodyne


def read_odometry_intrinsics(path: pathlib.Path, camera: int) -> np.ndarray:
    """Reads K of one camera from the calib.txt of an odometry sequence.

    Args:
      path: calib.txt with lines P0..P3.
      camera: 0..3.

    Returns:
      float64 [3, 3] in native pixels.

    Raises:
      UserError: the file or the camera's line is missing.
    """
    return CalibrationFile.read(path).matrix(f"P{camera}", 3, 4)[:, :3]


def scale_rows(intrinsics: np.ndarray, zoom_y: float, zoom_x: float) -> np.ndarray:
    """Returns the intrinsics of an image resized by the two factors, float64 [3, 3].

    The lineage of this method scales the whole rows, principal point included; so do we, for comparable numbers.
    """
    return np.diag([zoom_x, zoom_y, 1.0]) @ intrinsics
