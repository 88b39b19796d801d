"""Depth maps as surfaces and point clouds, and back."""

import chex
import jax.numpy as jnp

from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.camera import MIN_Z, backproject, project, transform_points
from dopi_jax.geometry.occlusion import z_buffer
from dopi_jax.geometry.warp import is_usable


def point_cloud(
    depth: chex.Array, K: chex.Array, world_from_camera: chex.Array | None = None
) -> tuple[chex.Array, chex.Array]:
    """Returns the points of a depth map as one list, in row-major order of the pixels: T D(p) K^-1 (x, y, 1).

    Args:
      depth: Depth map [H, W].
      K: Intrinsics [3, 3].
      world_from_camera: Pose [4, 4]; points stay in camera coordinates if None.

    Returns:
      Points [H W, 3] in the unit of depth, and `valid` [H W], True where the depth is usable. Colours follow as
      `image.reshape(-1, 3)`; outside of `jit`, `points[valid]` drops the rest.

    Examples:
      >>> points, valid = geometry.point_cloud(jnp.array([[2.0, jnp.nan]]), jnp.eye(3))
      >>> points.tolist(), valid.tolist()
      ([[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]], [True, False])
    """
    depth = as_float(depth)
    points = backproject(depth, K)
    if world_from_camera is not None:
        points = transform_points(world_from_camera, points)
    return points.reshape(-1, 3), is_usable(depth, inverse_depth=False).reshape(-1)


def depth_from_points(points: chex.Array, K: chex.Array, height: int, width: int) -> chex.Array:
    """Returns the depth map that a point cloud makes in a camera: each pixel that of the nearest point inside it.

    Args:
      points: Points [..., 3] in camera coordinates; those that are not finite or not in front of it are left out.
      K: Intrinsics [3, 3].
      height: Rows of the image.
      width: Columns of the image.

    Returns:
      Depth [H, W] in the unit of the points, 0 in pixels without a point, without gradient.

    Examples:
      Two points in the pixel (1, 0), one in the pixel (0, 0).

      >>> points = jnp.array([[2.0, 0.0, 2.0], [4.2, 0.0, 4.0], [0.0, 0.0, 3.0]])
      >>> geometry.depth_from_points(points, jnp.eye(3), 1, 3).tolist()
      [[3.0, 2.0, 0.0]]
    """
    pixels, z = project(points, K)
    nearest = z_buffer(jnp.round(pixels), z, z > MIN_Z, height, width)
    return jnp.where(jnp.isfinite(nearest), nearest, 0.0)


def depth_normals(depth: chex.Array, K: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Returns the surface normals of a depth map, from central differences of its points: dP/dy x dP/dx, normalised.

    Args:
      depth: Depth map [H, W]. On its border the differences are one-sided.
      K: Intrinsics [3, 3].

    Returns:
      Unit vectors [H, W, 3] in camera coordinates that point towards the camera, 0 where there is none; and `valid` [H, W],
      True where the depth of the pixel and of the neighbours used is usable and the map has more than one row and column.
      At an edge in depth the normal is that of the slope between both sides.

    Examples:
      A wall across the optical axis looks back along it.

      >>> normals, valid = geometry.depth_normals(jnp.full((3, 3), 4.0), jnp.eye(3))
      >>> normals[1, 1].tolist(), bool(valid.all())
      ([0.0, 0.0, -1.0], True)
    """
    depth = as_float(depth)
    usable = is_usable(depth, inverse_depth=False)
    # In units of the depth itself, so that no product of differences underflows.
    safe = jnp.where(usable, depth, 1.0)
    points = backproject(safe, K)
    down, right = (_difference(points, axis) / safe[..., None] for axis in (0, 1))
    normal = jnp.cross(down, right)
    squared = jnp.sum(normal**2, axis=-1)
    neighbours = [shifted for axis in (0, 1) for shifted in _neighbours(usable, axis)]
    valid = usable & jnp.all(jnp.stack(neighbours), axis=0) & (squared > 0)
    length = jnp.sqrt(jnp.where(valid, squared, 1.0))
    return jnp.where(valid[..., None], normal / length[..., None], 0.0), valid


def _neighbours(values: chex.Array, axis: int) -> tuple[chex.Array, chex.Array]:
    """The values before and after each one; on the border it is its own neighbour."""
    size = values.shape[axis]
    place = jnp.arange(size)
    return (
        jnp.take(values, jnp.maximum(place - 1, 0), axis=axis, mode="clip"),
        jnp.take(values, jnp.minimum(place + 1, size - 1), axis=axis, mode="clip"),
    )


def _difference(values: chex.Array, axis: int) -> chex.Array:
    before, after = _neighbours(values, axis)
    return after - before
