"""The pinhole camera: backprojection, projection, and how image edits change the intrinsics.

Products with 3x3 matrices are written out coordinate by coordinate: they stay in float32 on every device, where a matrix
product may be rounded to TF32, and XLA fuses them with their surroundings. Arrays [..., 3] and [..., 2] are stacked last of
all, so that XLA sees through them: a selection between stacked arrays made a CPU compute masks in twice the time.
"""

import chex
import jax.numpy as jnp

from dopi_jax.forms import is_plain
from dopi_jax.geometry.arrays import as_float

MIN_Z = 1e-3
"""Points nearer to the camera plane than this, in the unit of depth, or behind it have no pixel."""


def pixel_grid(height: int, width: int) -> chex.Array:
    """Returns the coordinates of all pixel centres.

    Args:
      height: Number of rows.
      width: Number of columns.

    Returns:
      Array [H, W, 2] of (x, y), from (0, 0) to (W-1, H-1).

    Examples:
      >>> geometry.pixel_grid(1, 3).tolist()
      [[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]]
    """
    x, y = jnp.meshgrid(jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32))
    return jnp.stack([x, y], axis=-1)


def backproject(depth: chex.Array, K: chex.Array) -> chex.Array:
    """Returns the 3-D point that every pixel of a depth map sees: D(p) K^-1 (x, y, 1) (paper eq. 1).

    Args:
      depth: Depth map [H, W].
      K: Intrinsics [3, 3] of that map, upper triangular.

    Returns:
      Points [H, W, 3] in camera coordinates, in the unit of depth. A depth that is not finite gives the point (0, 0, 0).

    Examples:
      Ten pixels to the right of the principal point, at a focal length of 20 and a depth of 4.

      >>> K = [[20, 0, 0], [0, 20, 0], [0, 0, 1]]
      >>> geometry.backproject(jnp.full((1, 11), 4.0), K)[0, 10].tolist()
      [2.0, 0.0, 4.0]
    """
    depth, K = as_float(depth, K)
    chex.assert_rank(depth, 2)
    chex.assert_shape(K, (3, 3))
    ray_x, ray_y = rays(pixel_grid(*depth.shape).astype(depth.dtype), K)
    # Replaced before it is used, not after: a NaN that is only masked later still poisons the gradient of K.
    depth = jnp.where(jnp.isfinite(depth), depth, 0.0)
    return jnp.stack([ray_x * depth, ray_y * depth, depth], axis=-1)


def rays(pixels: chex.Array, K: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Returns where the rays of pixels [..., 2] meet the plane at depth 1: x [...] and y [...], without distortion."""
    y = (pixels[..., 1] - K[1, 2]) / K[1, 1]
    x = (pixels[..., 0] - K[0, 2] - K[0, 1] * y) / K[0, 0]
    return x, y


def pixels_of_rays(x: chex.Array, y: chex.Array, K: chex.Array) -> chex.Array:
    """Returns the pixels [..., 2] that see x [...] and y [...] on the plane at depth 1: the inverse of `rays`."""
    return jnp.stack([K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]], axis=-1)


def transform_points(pose: chex.Array, points: chex.Array) -> chex.Array:
    """Returns points moved by a rigid transform: R p + t.

    Args:
      pose: Transform [4, 4] `b_from_a`.
      points: Points [..., 3] in the coordinates of a.

    Returns:
      Points [..., 3] in the coordinates of b.

    Examples:
      >>> pose = geometry.pose_from_vector([0, 0, -1, 0, 0, 0])  # the camera moves forward by 1
      >>> geometry.transform_points(pose, [2, 0, 4]).tolist()
      [2.0, 0.0, 3.0]
    """
    pose, points = as_float(pose, points)
    chex.assert_shape(pose, (4, 4))
    chex.assert_axis_dimension(points, -1, 3)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    if is_plain():
        # All three coordinates at once: a third of the operations to compile, where a CPU does better with each by itself.
        r, s, t, u = jnp.moveaxis(pose[:3], 1, 0).reshape(4, 3, *[1] * x.ndim)
        return jnp.moveaxis(r * x + s * y + t * z + u, 0, -1)
    rotation = pose[:3, :3]
    return jnp.stack([r[0] * x + r[1] * y + r[2] * z + t for r, t in zip(rotation, pose[:3, 3], strict=True)], axis=-1)


def project(points: chex.Array, K: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Returns where points appear in the image, and their depth: (X/Z, Y/Z) with (X, Y, Z) = K Q (paper eq. 1).

    Args:
      points: Points [..., 3] in camera coordinates.
      K: Intrinsics [3, 3], upper triangular.

    Returns:
      Pixels [..., 2] = (x, y), which may lie outside of the image, and depth z [...]. Only points with z > `MIN_Z` have a
      pixel. Others get a finite place without meaning: z is held at `MIN_Z` in the division, and a point with a
      coordinate that is not finite is taken as (0, 0, 0).

    Examples:
      >>> pixel, z = geometry.project([2, 0, 4], [[20, 0, 0], [0, 20, 0], [0, 0, 1]])
      >>> pixel.tolist(), float(z)
      ([10.0, 0.0], 4.0)
    """
    points, K = as_float(points, K)
    chex.assert_axis_dimension(points, -1, 3)
    chex.assert_shape(K, (3, 3))
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    finite = jnp.isfinite(x) & jnp.isfinite(y) & jnp.isfinite(z)
    x, y, z = (jnp.where(finite, coordinate, 0.0) for coordinate in (x, y, z))
    in_front = jnp.where(z > MIN_Z, z, MIN_Z)
    return pixels_of_rays(x / in_front, y / in_front, K), z


def scale_intrinsics(K: chex.Array, scale_x: chex.Numeric, scale_y: chex.Numeric) -> chex.Array:
    """Returns the intrinsics of an image whose pixel coordinates are multiplied: diag(sx, sy, 1) K.

    This is exact when the pixel (x, y) moves to (sx x, sy y). Resizing between pixel borders, as image libraries do,
    moves it to (sx (x + 1/2) - 1/2, ...): the principal point is then off by (1 - s)/2, less than half a pixel when an
    image shrinks, which this method's published code accepts and so do we.

    Args:
      K: Intrinsics [3, 3].
      scale_x: New width over old width.
      scale_y: New height over old height.

    Returns:
      Intrinsics [3, 3].

    Examples:
      >>> geometry.scale_intrinsics([[20, 0, 8], [0, 20, 6], [0, 0, 1]], 0.5, 2).tolist()
      [[10.0, 0.0, 4.0], [0.0, 40.0, 12.0], [0.0, 0.0, 1.0]]
    """
    K, scale_x, scale_y = as_float(K, scale_x, scale_y)
    return K * jnp.stack([scale_x, scale_y, jnp.ones_like(scale_x)])[:, None]


def scale_focal_length(K: chex.Array, factor: chex.Numeric) -> chex.Array:
    """Returns the intrinsics of a camera of longer focal length with the same principal point, frame size and pixels.

    Args:
      K: Intrinsics [3, 3].
      factor: New focal length over old focal length.

    Returns:
      Intrinsics [3, 3].

    Examples:
      >>> geometry.scale_focal_length([[20, 0, 8], [0, 20, 6], [0, 0, 1]], 2).tolist()
      [[40.0, 0.0, 8.0], [0.0, 40.0, 6.0], [0.0, 0.0, 1.0]]
    """
    K, factor = as_float(K, factor)
    return K.at[:2, :2].multiply(factor)


def crop_intrinsics(K: chex.Array, left: chex.Numeric, top: chex.Numeric) -> chex.Array:
    """Returns the intrinsics of an image that lost columns on its left and rows at its top.

    Args:
      K: Intrinsics [3, 3].
      left: Columns removed on the left, in pixels. The right side does not matter.
      top: Rows removed at the top, in pixels.

    Returns:
      Intrinsics [3, 3].

    Examples:
      >>> geometry.crop_intrinsics([[20, 0, 8], [0, 20, 6], [0, 0, 1]], left=3, top=0.5)[:2, 2].tolist()
      [5.0, 5.5]
    """
    K, left, top = as_float(K, left, top)
    return K.at[0, 2].add(-left).at[1, 2].add(-top)


def flip_intrinsics(K: chex.Array, width: int) -> chex.Array:
    """Returns the intrinsics of an image that is mirrored left to right: cx' = W - 1 - cx, skew' = -skew (D28).

    Args:
      K: Intrinsics [3, 3].
      width: Columns of the image.

    Returns:
      Intrinsics [3, 3].

    Examples:
      >>> geometry.flip_intrinsics([[20, 0, 8], [0, 20, 6], [0, 0, 1]], width=20)[0, 2].tolist()
      11.0
    """
    K, width = as_float(K, width)
    return K.at[0, 2].set(width - 1 - K[0, 2]).at[0, 1].multiply(-1.0)
