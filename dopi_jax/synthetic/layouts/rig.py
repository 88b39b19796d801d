"""The car's sensors, arranged as on KITTI's: four rectified cameras, a laser scanner and a GPS/IMU unit.

Cameras look along z with x to the right and y down; laser and IMU look along x with y to the left and z up. Cameras 0 and 2
are the street's camera, 1 and 3 lie to its right; only images of camera 2 are written.
"""

import pathlib

import numpy as np

from dopi_jax.synthetic.street import Street

FRAME_RATE = 10.0  # Hz
_BASELINE = 0.54  # metres
_MADE_AT = "calib_time: 09-Jan-2012 13:57:47"  # the official files' date; readers skip it


def _rigid(rotation: np.ndarray, translation: tuple[float, float, float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    return pose


def _small_turn(about_x: float, about_y: float, about_z: float) -> np.ndarray:
    """The rotation by the vector of these angles in radians (Rodrigues' formula)."""
    skew = np.array([[0, -about_z, about_y], [about_z, 0, -about_x], [-about_y, about_x, 0]])
    angle = np.sqrt(about_x**2 + about_y**2 + about_z**2)
    return np.eye(3) + np.sin(angle) / angle * skew + (1 - np.cos(angle)) / angle**2 * skew @ skew


_CAMERA_AXES_FROM_FORWARD_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])

# No real rig is aligned perfectly: about a degree off, so that a reader which ignores the rotation is found out.
CAMERA_FROM_VELODYNE = _rigid(_small_turn(0.015, 0.007, -0.001) @ _CAMERA_AXES_FROM_FORWARD_AXES, (-0.004, -0.076, -0.272))
VELODYNE_FROM_IMU = _rigid(_small_turn(0.015, 0.002, -0.001), (-0.81, 0.32, -0.8))


def projections(K: np.ndarray) -> list[np.ndarray]:
    """Returns P_rect [3, 4] of the cameras 0 to 3: from camera 0's axes to pixels of intrinsics K [3, 3]."""
    return [K @ np.column_stack([np.eye(3), _offset(camera)]) for camera in range(4)]


def write_cameras(path: pathlib.Path, street: Street) -> None:
    """Writes calib_cam_to_cam.txt for images of the street's size; they are rectified and without distortion."""
    lines = [_MADE_AT]
    size = (street.width, street.height)
    for camera, projection in enumerate(projections(street.K)):
        entries = {
            "S": size,
            "K": street.K,
            "D": np.zeros(5),
            "R": np.eye(3),
            "T": _offset(camera),
            "S_rect": size,
            "R_rect": np.eye(3),
            "P_rect": projection,
        }
        lines += [calibration_line(f"{key}_{camera:02d}", value) for key, value in entries.items()]
    write_lines(path, lines)


def write_transform(path: pathlib.Path, transform: np.ndarray) -> None:
    """Writes a rigid transform [4, 4] as R and T, as in calib_velo_to_cam.txt and calib_imu_to_velo.txt."""
    rotation, translation = transform[:3, :3], transform[:3, 3]
    write_lines(path, [_MADE_AT, calibration_line("R", rotation), calibration_line("T", translation)])


def calibration_line(key: str, values: np.ndarray | tuple[int, ...]) -> str:
    """Returns `key: numbers`, row by row, with all digits that a reader needs to get the same float64 back."""
    return f"{key}: {' '.join(repr(value) for value in np.ravel(values).astype(np.float64).tolist())}"


def write_lines(path: pathlib.Path, lines: list[str]) -> None:
    """Writes a text file of these lines, with the same bytes on every system."""
    path.write_bytes(("\n".join(lines) + "\n").encode())


def _offset(camera: int) -> np.ndarray:
    """Where camera 0 lies in the axes of a camera, [3] in metres."""
    return np.array([-_BASELINE if camera % 2 else 0.0, 0.0, 0.0])
