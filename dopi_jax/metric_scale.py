"""The metric scale of depth, in metres per unit, from lengths that the user knows."""

from collections.abc import Sequence

import numpy as np

_LOOKS_DOWN = 0.15  # of the image's height below the principal point, from where on rows show the road
_MIDDLE = 0.5  # of the width
_ITERATIONS = 10
_FLAT = 0.05  # share of the disparity by which a road's may be off its plane
_LEAST_LENGTH = 0.01  # metres
_LEAST_SUPPORT = 0.3  # share of the pixels that must lie on the plane


def camera_height(depth: np.ndarray, K: np.ndarray) -> float | None:
    """Returns how high the camera stands above the plane that the lower middle of the image shows, in units of depth.

    On a plane n . X = h the inverse depth of a pixel is n . (K^-1 p) / h, linear in the pixel: a robust linear fit gives
    n / h, whose length is 1 / h.

    Args:
      depth: Depth map [H, W].
      K: Intrinsics [3, 3] in pixels of that map.

    Returns:
      The height; None where what is seen is no plane below the camera.
    """
    height, width = depth.shape
    rows = np.arange(height)[round(K[1, 2] + _LOOKS_DOWN * height) :: 2]
    columns = np.arange(width)[round(width * (1 - _MIDDLE) / 2) : round(width * (1 + _MIDDLE) / 2) : 2]
    if len(rows) < 2 or len(columns) < 2:
        return None
    y, x = np.meshgrid(rows, columns, indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ np.linalg.inv(K).T
    disparity = 1 / np.asarray(depth, np.float64)[y, x].reshape(-1)
    rays, disparity = rays[np.isfinite(disparity)], disparity[np.isfinite(disparity)]
    if len(disparity) < 10:
        return None
    weights = np.ones(len(disparity))
    for _ in range(_ITERATIONS):
        normal, *_ = np.linalg.lstsq(rays * weights[:, None], disparity * weights, rcond=None)
        off = np.abs(rays @ normal - disparity) / (_FLAT * disparity)
        weights = 1 / (1 + off**2)
    # The normal of a road points down, which is y in a camera.
    if np.mean(off < 1) < _LEAST_SUPPORT or normal[1] < 0.9 * np.linalg.norm(normal):
        return None
    return float(1 / np.linalg.norm(normal))


def metres_per_unit(lengths: Sequence[float | None], metres: float | Sequence[float]) -> float | None:
    """Returns the scale from lengths in units of depth and the same in metres: the median over those that are known.

    Args:
      lengths: [N] in units; None or 0 where one is not known.
      metres: Of all of them, or [N] of each; those below 1 cm tell nothing.

    Returns:
      Metres a unit; None where no length tells it.
    """
    pairs = zip(lengths, np.broadcast_to(metres, len(lengths)).tolist(), strict=True)
    units_per_metre = [length / true for length, true in pairs if length and true > _LEAST_LENGTH]
    return 1 / float(np.median(units_per_metre)) if units_per_metre else None
