"""Lens distortion. All other functions of this library take rectified images; these two convert between the two kinds.

An image is rectified by `bilinear_sample(image, distort_pixels(pixel_grid(H, W), K, coefficients))`; points found in it by
`undistort_pixels`. Points of a scene appear in it at `distort_pixels(project(points, K)[0], K, coefficients)`.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from dopi_jax.errors import UserError
from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.camera import pixels_of_rays, rays

LensModel = Literal["radial_tangential", "fisheye"]

_COEFFICIENTS = {"radial_tangential": (4, 5), "fisheye": (4,)}
_ITERATIONS = 12
_LARGEST_STEP = 10.0  # on the plane at depth 1
_SMALL = 1e-6


def distort_pixels(
    pixels: chex.Array, K: chex.Array, coefficients: chex.Array, model: LensModel = "radial_tangential"
) -> chex.Array:
    """Returns where pixels of a rectified image lie in the image that the lens made, by OpenCV's models.

    With (x, y) on the plane at depth 1 and r its distance from the axis, "radial_tangential" (Brown) takes (x, y) to
    (x, y) (1 + k1 r^2 + k2 r^4 + k3 r^6) + (2 p1 x y + p2 (r^2 + 2 x^2), p1 (r^2 + 2 y^2) + 2 p2 x y); "fisheye" (Kannala
    and Brandt) to (x, y) a / r (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8) with a = atan(r).

    Args:
      pixels: Positions [..., 2] = (x, y) in the rectified image.
      K: Intrinsics [3, 3] of both images.
      coefficients: (k1, k2, p1, p2) or (k1, k2, p1, p2, k3) for "radial_tangential", (k1, k2, k3, k4) for "fisheye".
      model: "radial_tangential" or "fisheye".

    Returns:
      Positions [..., 2] in the distorted image.

    Raises:
      UserError: The model has another name or another number of coefficients.

    Examples:
      One focal length right of the principal point, r = 1: k1 = -0.2 draws it in by a fifth.

      >>> K = [[100, 0, 50], [0, 100, 50], [0, 0, 1]]
      >>> [round(value, 3) for value in geometry.distort_pixels([150, 50], K, [-0.2, 0, 0, 0]).tolist()]
      [130.0, 50.0]
    """
    pixels, K, coefficients = _checked(pixels, K, coefficients, model)
    x, y = _distorted(*rays(pixels, K), coefficients, model)
    return pixels_of_rays(x, y, K)


def undistort_pixels(
    pixels: chex.Array, K: chex.Array, coefficients: chex.Array, model: LensModel = "radial_tangential"
) -> chex.Array:
    """Returns where pixels of a distorted image lie in the rectified one: `distort_pixels` inverted by Newton's method.

    Args:
      pixels: Positions [..., 2] = (x, y) in the distorted image.
      K: Intrinsics [3, 3] of both images.
      coefficients: As in `distort_pixels`.
      model: "radial_tangential" or "fisheye".

    Returns:
      Positions [..., 2] in the rectified image; finite but without meaning beyond the field of view in which the model can
      be inverted. Gradients are those of the inverse function.

    Raises:
      UserError: The model has another name or another number of coefficients.

    Examples:
      >>> K = [[100, 0, 50], [0, 100, 50], [0, 0, 1]]
      >>> [round(value, 3) for value in geometry.undistort_pixels([130, 50], K, [-0.2, 0, 0, 0]).tolist()]
      [150.0, 50.0]
    """
    pixels, K, coefficients = _checked(pixels, K, coefficients, model)
    goal_x, goal_y = rays(pixels, K)

    def newton(x, y, coefficients, goal_x, goal_y):
        def distorted(x, y):
            return _distorted(x, y, coefficients, model)

        ones, zeros = jnp.ones_like(x), jnp.zeros_like(x)
        (got_x, got_y), (xx, yx) = jax.jvp(distorted, (x, y), (ones, zeros))
        _, (xy, yy) = jax.jvp(distorted, (x, y), (zeros, ones))
        determinant = xx * yy - xy * yx
        determinant = jnp.where(jnp.abs(determinant) > _SMALL, determinant, _SMALL)
        left_x, left_y = goal_x - got_x, goal_y - got_y
        steps = (yy * left_x - xy * left_y) / determinant, (xx * left_y - yx * left_x) / determinant
        return tuple(v + jnp.clip(step, -_LARGEST_STEP, _LARGEST_STEP) for v, step in zip((x, y), steps, strict=True))

    constants = jax.lax.stop_gradient((coefficients, goal_x, goal_y))
    x, y = jax.lax.fori_loop(0, _ITERATIONS, lambda _, place: newton(*place, *constants), constants[1:])
    # One more step from the solution has the derivative of the inverse, by the implicit function theorem.
    x, y = newton(*jax.lax.stop_gradient((x, y)), coefficients, goal_x, goal_y)
    return pixels_of_rays(x, y, K)


def _checked(
    pixels: chex.Array, K: chex.Array, coefficients: chex.Array, model: str
) -> tuple[chex.Array, chex.Array, chex.Array]:
    pixels, K, coefficients = as_float(pixels, K, coefficients)
    chex.assert_axis_dimension(pixels, -1, 2)
    chex.assert_shape(K, (3, 3))
    if model not in _COEFFICIENTS:
        raise UserError(f"model is {model!r}: expected 'radial_tangential' or 'fisheye'")
    if coefficients.shape not in [(count,) for count in _COEFFICIENTS[model]]:
        counts = " or ".join(map(str, _COEFFICIENTS[model]))
        raise UserError(f"coefficients have the shape {coefficients.shape}: expected {counts} numbers for {model!r}")
    return pixels, K, coefficients


def _distorted(x: chex.Array, y: chex.Array, coefficients: chex.Array, model: str) -> tuple[chex.Array, chex.Array]:
    squared = x * x + y * y
    if model == "fisheye":
        is_centre = squared < _SMALL
        radius = jnp.sqrt(jnp.where(is_centre, 1.0, squared))
        angle = jnp.where(is_centre, 0.0, jnp.arctan(radius))
        # atan(r) / r = 1 - r^2 / 3 near the axis.
        factor = jnp.where(is_centre, 1 - squared / 3, angle / radius)
        power = jnp.where(is_centre, squared, angle * angle)
        k1, k2, k3, k4 = coefficients
        factor = factor * (1 + power * (k1 + power * (k2 + power * (k3 + power * k4))))
        return x * factor, y * factor
    k1, k2, p1, p2 = coefficients[:4]
    k3 = coefficients[4] if len(coefficients) == 5 else 0.0
    radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
    shift_x = 2 * p1 * x * y + p2 * (squared + 2 * x * x)
    shift_y = p1 * (squared + 2 * y * y) + 2 * p2 * x * y
    return x * radial + shift_x, y * radial + shift_y
