"""Laser scans of the true depth, with the beams of the scanner on KITTI's car."""

import numpy as np

from dopi_jax.synthetic.layouts.rig import CAMERA_FROM_VELODYNE
from dopi_jax.synthetic.street import Frame

MAX_RANGE = 80.0  # metres
_ELEVATIONS = np.radians(np.linspace(2.0, -24.8, 64))
_AZIMUTHS = np.radians(np.arange(-60.0, 60.0, 0.16))


def scan(frame: Frame, K: np.ndarray) -> np.ndarray:
    """Samples what the beams meet within range.

    The evaluation of the field takes the pixel of a point for round(u) - 1, round(v) - 1 (see `dopi_jax.data.velodyne`).
    So that it finds the true depth of a pixel there, the point lies on the ray one pixel further to the right and down.

    Args:
      frame: the image and its depth.
      K: intrinsics [3, 3] of the image.

    Returns:
      float32 [N, 4]: x forward, y left, z up in the laser's axes in metres, and reflectance in 0..1.
    """
    row, column = _sampled_pixels(K, frame.depth.shape)
    depth = frame.depth[row, column]
    seen = np.isfinite(depth)
    row, column, depth = row[seen], column[seen], depth[seen]
    rays = np.column_stack([column + 1, row + 1, np.ones(len(row))]) @ np.linalg.inv(K).T
    points = np.column_stack([depth[:, None] * rays, np.ones(len(row))]) @ np.linalg.inv(CAMERA_FROM_VELODYNE).T
    points[:, 3] = frame.image[row, column].mean(axis=-1) / 255
    near = np.linalg.norm(points[:, :3], axis=-1) <= MAX_RANGE
    return points[near].astype(np.float32)


def _sampled_pixels(K: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows [N] and columns [N] of the pixels that a beam meets, each once, as if the laser were in the camera's place."""
    azimuth, elevation = np.meshgrid(_AZIMUTHS, _ELEVATIONS)
    column = np.rint(K[0, 2] + K[0, 0] * np.tan(azimuth)).astype(int)
    row = np.rint(K[1, 2] - K[1, 1] * np.tan(elevation) / np.cos(azimuth)).astype(int)
    # Not the first column: the evaluation mistakes it for the last one of the row above.
    inside = (row >= 0) & (row < shape[0]) & (column > 0) & (column < shape[1])
    return np.divmod(np.unique(row[inside] * shape[1] + column[inside]), shape[1])
