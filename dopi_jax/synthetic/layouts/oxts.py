"""What the GPS/IMU unit records on a drive: 30 numbers a frame, in the order of KITTI's dataformat.txt.

Positions follow the development kit: a Mercator projection whose scale is that of the first frame's latitude; yaw 0 is east
and counts counter-clockwise. The street leads east.
"""

import numpy as np

from dopi_jax.synthetic.layouts.rig import CAMERA_FROM_VELODYNE, FRAME_RATE, VELODYNE_FROM_IMU

_EARTH_RADIUS = 6378137.0  # metres
_LATITUDE, _LONGITUDE, _ALTITUDE = 49.015, 8.434, 116.0  # of the first frame; degrees, degrees, metres
_GRAVITY = 9.81
_EAST_NORTH_UP_FROM_WORLD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
# Accuracies of position (m) and velocity (m/s); navigation status, satellites, and the modes of position, velocity and
# orientation, as in a recording with good reception.
_QUALITY = "0.02 0.01 4 10 5 5 6"


def oxts_records(world_from_camera: np.ndarray) -> list[str]:
    """Returns the text of one file a frame for camera poses [N, 4, 4], N at least 2."""
    world_from_imu = world_from_camera @ CAMERA_FROM_VELODYNE @ VELODYNE_FROM_IMU
    rotation = _EAST_NORTH_UP_FROM_WORLD @ world_from_imu[:, :3, :3]
    position = (world_from_imu[:, :3, 3] - world_from_imu[0, :3, 3]) @ _EAST_NORTH_UP_FROM_WORLD.T
    roll, pitch, yaw = _roll_pitch_yaw(rotation)
    level = _about_vertical(yaw)  # axes forward and left along the ground

    velocity = np.gradient(position, 1 / FRAME_RATE, axis=0)
    acceleration = np.gradient(velocity, 1 / FRAME_RATE, axis=0)
    acceleration[:, 2] += _GRAVITY  # what an accelerometer feels: standing still it is pushed upwards by the ground
    turning = np.gradient(rotation, 1 / FRAME_RATE, axis=0) @ np.swapaxes(rotation, 1, 2)
    angular_rate = np.stack([turning[:, 2, 1], turning[:, 0, 2], turning[:, 1, 0]], axis=-1)

    numbers = np.column_stack(
        [
            *_geographic(position),
            *(roll, pitch, yaw),
            *(velocity[:, 1], velocity[:, 0]),  # north, east
            _in_axes(level, velocity),
            _in_axes(rotation, acceleration),
            _in_axes(level, acceleration),
            _in_axes(rotation, angular_rate),
            _in_axes(level, angular_rate),
        ]
    )
    return [f"{' '.join(repr(number) for number in row)} {_QUALITY}" for row in numbers.tolist()]


def _geographic(position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latitudes, longitudes (degrees) and altitudes of positions [N, 3], metres to the east, north and up of the first."""
    radius = _EARTH_RADIUS * np.cos(np.radians(_LATITUDE))
    north = radius * np.log(np.tan(np.radians(90 + _LATITUDE) / 2)) + position[:, 1]
    latitude = 2 * np.degrees(np.arctan(np.exp(north / radius))) - 90
    return latitude, _LONGITUDE + np.degrees(position[:, 0] / radius), _ALTITUDE + position[:, 2]


def _roll_pitch_yaw(rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The angles [N] about x, y and z, in this order, that make up rotations [N, 3, 3]."""
    roll = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    pitch = np.arctan2(-rotation[:, 2, 0], np.hypot(rotation[:, 0, 0], rotation[:, 1, 0]))
    return roll, pitch, np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])


def _about_vertical(yaw: np.ndarray) -> np.ndarray:
    rotation = np.tile(np.eye(3), (len(yaw), 1, 1))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(yaw)
    rotation[:, 0, 1], rotation[:, 1, 0] = -np.sin(yaw), np.sin(yaw)
    return rotation


def _in_axes(axes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, 3] as seen in axes that are the columns of rotations [N, 3, 3]."""
    return np.einsum("nij,ni->nj", axes, vectors)
