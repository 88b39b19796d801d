"""Rigid flow, and warping the source image into the target view."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from dopi_jax.geometry.camera import MIN_Z, backproject, pixel_grid, project, transform_points
from dopi_jax.geometry.sampling import Padding, bilinear_sample


class Landing(NamedTuple):
    """Where the pixels of one view appear in another.

    Attributes:
      pixels: Positions [H, W, 2] in the other view; the pixel itself where `valid` is False.
      z: Depth [H, W] in the other camera.
      valid: Mask [H, W]: the depth is finite and positive and the point lies in front of the other camera.
    """

    pixels: chex.Array
    z: chex.Array
    valid: chex.Array


def land(depth: chex.Array, K: chex.Array, other_from_this: chex.Array) -> Landing:
    """Returns where every pixel of a view appears in another view (paper eq. 1).

    Args:
      depth: Depth map [H, W] of this view.
      K: Intrinsics [3, 3] of both views.
      other_from_this: Pose [4, 4].

    Returns:
      A `Landing`.
    """
    usable = jnp.isfinite(depth) & (depth > 0)
    points = backproject(jnp.where(usable, depth, 1.0), K)
    pixels, z = project(transform_points(other_from_this, points), K)
    valid = usable & (z > MIN_Z)
    # The result is replaced too: a point just behind the camera would land a million pixels away.
    grid = pixel_grid(*depth.shape)
    pixels = jnp.stack([jnp.where(valid, pixels[..., axis], grid[..., axis]) for axis in (0, 1)], axis=-1)
    return Landing(pixels, z, valid)


def rigid_flow(depth: chex.Array, K: chex.Array, source_from_target: chex.Array) -> chex.Array:
    """Returns the optical flow that camera motion alone causes in a static scene: p'(p) - p.

    Args:
      depth: Target depth [H, W].
      K: Intrinsics [3, 3] of both views.
      source_from_target: Pose [4, 4].

    Returns:
      Flow [H, W, 2] in pixels from target to source. It is 0, without gradient, where the depth is not a positive finite
      number or the point lies behind the source camera.
    """
    return land(depth, K, source_from_target).pixels - pixel_grid(*depth.shape)


def warp_by_flow(image: chex.Array, flow: chex.Array, padding: Padding = "zeros") -> tuple[chex.Array, chex.Array]:
    """Returns the source image as the target view would see it, by optical flow: I_s(p + f(p)).

    Args:
      image: Source image [H, W, C].
      flow: Flow [H', W', 2] in pixels of the source, from target to source.
      padding: "zeros" or "border", as in `bilinear_sample`.

    Returns:
      The warped image [H', W', C], and `inside` [H', W'], True where the position lies in the image.
    """
    chex.assert_rank(flow, 3)
    return bilinear_sample(image, pixel_grid(*flow.shape[:2]) + flow, padding)


def warp_by_depth(
    source_image: chex.Array,
    target_depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    padding: Padding = "zeros",
) -> tuple[chex.Array, chex.Array]:
    """Returns the source image as the target view would see it, by target depth and camera motion (paper eq. 1).

    Args:
      source_image: Source image [H, W, C].
      target_depth: Target depth [H, W].
      K: Intrinsics [3, 3] of both views.
      source_from_target: Pose [4, 4].
      padding: "zeros" or "border", as in `bilinear_sample`.

    Returns:
      The warped image [H, W, C], and `inside` [H, W]: the depth is usable, the point lies in front of the source camera
      and appears in its image. With "zeros" the warped image is 0 elsewhere.
    """
    landing = land(target_depth, K, source_from_target)
    warped, inside = bilinear_sample(source_image, landing.pixels, padding)
    if padding == "zeros":
        warped = jnp.where(landing.valid[..., None], warped, 0.0)
    return warped, inside & landing.valid
