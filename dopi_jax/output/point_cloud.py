"""A coloured cloud of the points that a video's pixels see, without those that are far, hidden or at edges of depth."""

import pathlib

import numpy as np

from dopi_jax import formats

MOST_POINTS = 400_000
_FAR = 3.0  # times the median depth of the first frame
_EDGE = 0.05  # of the depth, from one pixel to the next: between a thing and what is behind it there is nothing


class PointCloud:
    """Collects points in the coordinates of the first camera."""

    def __init__(self, frames: int):
        """Sets up an empty cloud.

        Args:
          frames: How many frames will give points.
        """
        self._of_each = MOST_POINTS // max(1, frames)
        self._far: float | None = None
        self._points: list[np.ndarray] = []
        self._colours: list[np.ndarray] = []

    def add(
        self, frame: np.ndarray, depth: np.ndarray, K: np.ndarray, pose: np.ndarray, visible: np.ndarray | None = None
    ) -> None:
        """Adds the points of a frame, evenly thinned out.

        Args:
          frame: uint8 [H, W, 3].
          depth: [H, W].
          K: Intrinsics [3, 3].
          pose: Camera to first camera [4, 4], in the unit of depth.
          visible: bool [H, W], pixels that another frame confirms; all if None.
        """
        depth = np.asarray(depth, np.float64)
        usable = np.isfinite(depth) & (depth > 0)
        if self._far is None:
            self._far = _FAR * float(np.median(depth[usable])) if usable.any() else None
        kept = usable & (depth < (self._far or np.inf))
        kept[:, 1:] &= np.abs(np.diff(depth, axis=1)) < _EDGE * depth[:, 1:]
        kept[1:] &= np.abs(np.diff(depth, axis=0)) < _EDGE * depth[1:]
        if visible is not None:
            kept &= np.asarray(visible, bool)
        y, x = np.nonzero(kept)
        chosen = np.linspace(0, len(x) - 1, min(len(x), self._of_each)).astype(int)
        y, x = y[chosen], x[chosen]
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(K).T
        points = rays * depth[y, x][:, None]
        self._points.append((points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32))
        self._colours.append(frame[y, x])

    @property
    def points(self) -> np.ndarray:
        """float32 [N, 3]: x to the right, y down, z forward."""
        return np.concatenate([np.zeros((0, 3), np.float32), *self._points])

    @property
    def colours(self) -> np.ndarray:
        """uint8 [N, 3]."""
        return np.concatenate([np.zeros((0, 3), np.uint8), *self._colours])


def write_ply(path: pathlib.Path, points: np.ndarray, colours: np.ndarray) -> None:
    """Writes a cloud in the binary PLY format, which MeshLab, Blender and CloudCompare open.

    Args:
      path: The file.
      points: float32 [N, 3].
      colours: uint8 [N, 3].
    """
    kinds = [("x", "float"), ("y", "float"), ("z", "float"), ("red", "uchar"), ("green", "uchar"), ("blue", "uchar")]
    properties = "".join(f"property {kind} {name}\n" for name, kind in kinds)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    vertices = np.empty(len(points), [("point", "<f4", 3), ("colour", "u1", 3)])
    vertices["point"], vertices["colour"] = points, colours
    formats.write_bytes(path, header.encode() + vertices.tobytes())
