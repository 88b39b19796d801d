"""Rigid flow, and warping the source image into the target view."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.camera import MIN_Z, backproject, pixel_grid, project, transform_points
from dopi_jax.geometry.sampling import Padding, bilinear_sample

_VERY_FAR = 1e15
"""Depth at which no translation is seen, and whose square float32 still holds."""


class Reprojection(NamedTuple):
    """Positions and depths of the pixels of one view in another.

    Attributes:
      pixels: Positions [H, W, 2] in the other view; the pixel itself where it has none.
      z: Depth [H, W] in the other camera; +inf for what is infinitely far by an inverse depth of 0.
      valid: Mask [H, W]: the depth is usable and the point lies in front of the other camera.
    """

    pixels: chex.Array
    z: chex.Array
    valid: chex.Array


def is_usable(depth: chex.Array, inverse_depth: bool) -> chex.Array:
    """Returns which depths are valid: finite and positive; an inverse depth may also be 0."""
    return jnp.isfinite(depth) & ((depth >= 0) if inverse_depth else (depth > 0))


def reproject(
    depth: chex.Array,
    K: chex.Array,
    other_from_this: chex.Array,
    other_K: chex.Array | None = None,
    inverse_depth: bool = False,
) -> Reprojection:
    """Returns where every pixel of a view appears in another view (paper eq. 1).

    With inverse depth the point is taken as (K^-1 (x, y, 1), 1/D) in homogeneous coordinates: only translation fades away
    with distance. An infinite depth gets the same position, but is not valid.

    Args:
      depth: Depth map [H, W] of this view.
      K: Intrinsics [3, 3] of this view.
      other_from_this: Pose [4, 4].
      other_K: Intrinsics [3, 3] of the other view, those of this view if None.
      inverse_depth: Whether `depth` holds inverse depth.

    Returns:
      A `Reprojection`.
    """
    depth, K, other_from_this, other_K = as_float(depth, K, other_from_this, K if other_K is None else other_K)
    chex.assert_rank(depth, 2)
    chex.assert_shape(other_from_this, (4, 4))
    usable = is_usable(depth, inverse_depth)
    if inverse_depth:
        nearness = jnp.where(usable, depth, 1.0)
        turned = transform_points(other_from_this.at[:3, 3].set(0.0), backproject(jnp.ones_like(depth), K))
        points = jnp.stack([turned[..., axis] + nearness * other_from_this[axis, 3] for axis in range(3)], axis=-1)
        pixels, scaled_z = project(points, other_K)
        far = nearness == 0
        z = jnp.where(far, jnp.inf, scaled_z / jnp.where(far, 1.0, nearness))
        valid = has_place = usable & (scaled_z > MIN_Z) & (z > MIN_Z)
    else:
        far = depth == jnp.inf
        points = backproject(jnp.where(usable, depth, jnp.where(far, _VERY_FAR, 1.0)), K)
        pixels, z = project(transform_points(other_from_this, points), other_K)
        valid, has_place = usable & (z > MIN_Z), (usable | far) & (z > MIN_Z)
    # The result is replaced too: a point just behind the camera would project a million pixels away.
    grid = pixel_grid(*depth.shape).astype(depth.dtype)
    pixels = jnp.stack([jnp.where(has_place, pixels[..., axis], grid[..., axis]) for axis in (0, 1)], axis=-1)
    return Reprojection(pixels, z, valid)


def rigid_flow(
    depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    *,
    source_K: chex.Array | None = None,
    inverse_depth: bool = False,
) -> chex.Array:
    """Returns the optical flow that camera motion alone causes in a static scene: p'(p) - p.

    Args:
      depth: Target depth [H, W]. An infinite one moves as the camera turns, as the sky does.
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      source_from_target: Pose [4, 4].
      source_K: Intrinsics [3, 3] of the source.
      inverse_depth: Whether `depth` holds inverse depth, 0 for what is infinitely far.

    Returns:
      Flow [H, W, 2] in pixels from target to source. It is 0, without gradient, where the depth is NaN, 0 or negative (an
      inverse depth NaN, infinite or negative) or the point lies behind the source camera.

    Examples:
      A wall at depth 5, seen by a camera of focal length 10 that moves by 1 to the right: 10 * 1 / 5 pixels to the left.

      >>> K = [[10, 0, 1], [0, 10, 1], [0, 0, 1]]
      >>> moved = geometry.pose_from_vector([-1, 0, 0, 0, 0, 0])
      >>> geometry.rigid_flow(jnp.full((2, 3), 5.0), K, moved)[0, 0].tolist()
      [-2.0, 0.0]
    """
    return flow_of_reprojection(reproject(depth, K, source_from_target, source_K, inverse_depth))


def flow_of_reprojection(reprojected: Reprojection) -> chex.Array:
    """Returns the flow [H, W, 2] from pixels to where they appear."""
    return reprojected.pixels - pixel_grid(*reprojected.z.shape).astype(reprojected.z.dtype)


def warp_by_flow(image: chex.Array, flow: chex.Array, padding: Padding = "zeros") -> tuple[chex.Array, chex.Array]:
    """Returns the source image as the target view would see it, by optical flow: I_s(p + f(p)).

    Args:
      image: Source image [H, W, C].
      flow: Flow [H', W', 2] in pixels of the source, from target to source.
      padding: "zeros" or "border", as in `bilinear_sample`.

    Returns:
      The warped image [H', W', C], and `inside` [H', W'], True where the position lies in the image.

    Examples:
      Everything is found one pixel to the right; the last column has left the image.

      >>> row = jnp.array([[[1.0], [2.0], [3.0]]])
      >>> warped, inside = geometry.warp_by_flow(row, jnp.array([[[1.0, 0.0]] * 3]))
      >>> warped[..., 0].tolist(), inside.tolist()
      ([[2.0, 3.0, 0.0]], [[True, True, False]])
    """
    flow = as_float(flow)
    chex.assert_rank(flow, 3)
    return bilinear_sample(image, pixel_grid(*flow.shape[:2]).astype(flow.dtype) + flow, padding)


def warp_by_depth(
    source_image: chex.Array,
    target_depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    padding: Padding = "zeros",
    *,
    source_K: chex.Array | None = None,
    inverse_depth: bool = False,
) -> tuple[chex.Array, chex.Array]:
    """Returns the source image as the target view would see it, by target depth and camera motion (paper eq. 1).

    Args:
      source_image: Source image [H', W', C], of the target's size or of its own.
      target_depth: Target depth [H, W].
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      source_from_target: Pose [4, 4].
      padding: "zeros" or "border", as in `bilinear_sample`.
      source_K: Intrinsics [3, 3] of the source.
      inverse_depth: Whether `target_depth` holds inverse depth, 0 for what is infinitely far.

    Returns:
      The warped image [H, W, C], and `inside` [H, W]: the depth is usable, the point lies in front of the source camera
      and appears in its image. With "zeros" the warped image is 0 elsewhere.

    Examples:
      A source of twice the size, from the same place: every second pixel of it.

      >>> image = jnp.arange(8.0).reshape(2, 4, 1)
      >>> K = jnp.array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 1]])
      >>> large = geometry.scale_intrinsics(K, 2, 2)
      >>> warped, inside = geometry.warp_by_depth(image, jnp.ones((1, 2)), K, jnp.eye(4), source_K=large)
      >>> warped[..., 0].tolist(), inside.tolist()
      ([[0.0, 2.0]], [[True, True]])
    """
    reprojected = reproject(target_depth, K, source_from_target, source_K, inverse_depth)
    warped, inside = bilinear_sample(source_image, reprojected.pixels, padding)
    if padding == "zeros":
        warped = jnp.where(reprojected.valid[..., None], warped, 0.0)
    return warped, inside & reprojected.valid
