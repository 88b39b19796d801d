"""The terms of the objectives: photometric error, masks from error, smoothness. Unbatched, images in [-1, 1]."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.errors import UserError
from dopi_jax.gaussian_window import SIZE, blurred

Penalty = Literal["charbonnier", "power"]

_EPSILON = 0.01
_POWER = 0.4
_C1 = 0.01**2
_C2 = 0.03**2
_PLAIN = 0.1  # standard deviation of an image in [-1, 1] over a window: below it matching tells little


def robust_penalty(difference: chex.Array, penalty: Penalty = "charbonnier") -> chex.Array:
    """Returns the robust penalty rho of a difference, element by element (paper eq. 3, D2).

    Args:
      difference: Array of any shape.
      penalty: "charbonnier" for the paper's sqrt(d^2 + 0.01^2); "power" for (|d| + 0.01)^0.4 of the published code.

    Returns:
      Array of the same shape, positive even where the difference is 0.

    Raises:
      UserError: The penalty has another name.
    """
    if penalty == "charbonnier":
        return jnp.sqrt(jnp.square(difference) + _EPSILON**2)
    if penalty == "power":
        return (jnp.abs(difference) + _EPSILON) ** _POWER
    raise UserError(f"penalty is {penalty!r}: expected 'charbonnier' or 'power'")


def ssim(a: chex.Array, b: chex.Array) -> chex.Array:
    """Returns the structural similarity of two images (paper eq. 4, D3).

    Local means and variances are taken with a 13x13 Gaussian of sigma 1.5, with zeros beyond the border.

    Args:
      a: Image [H, W, C] in [-1, 1].
      b: Image [H, W, C] in [-1, 1].

    Returns:
      Similarity [H, W, C] in [-1, 1]; 1 where the images agree.
    """
    chex.assert_rank([a, b], 3)
    chex.assert_equal_shape([a, b])
    # What is of one image is blurred by itself, so that under vmap what does not vary (the target) is blurred once.
    mean_a, square_a = blurred(a, a * a)
    mean_b, square_b, product = blurred(b, b * b, a * b)
    of_means, of_a, of_b = mean_a * mean_b, mean_a * mean_a, mean_b * mean_b
    covariance = product - of_means
    variances = (square_a - of_a) + (square_b - of_b)
    luminance = (2 * of_means + _C1) / (of_a + of_b + _C1)
    return luminance * (2 * covariance + _C2) / (variances + _C2)


def photometric_error(
    a: chex.Array, b: chex.Array, *, ssim_weight: float = 0.85, penalty: Penalty = "charbonnier"
) -> chex.Array:
    """Returns how different two images look at every pixel: 0.15 rho(a - b) + 0.85 (1 - SSIM) (paper eq. 3, D4, D6).

    Args:
      a: Image [H, W, C] in [-1, 1].
      b: Image [H, W, C] in [-1, 1].
      ssim_weight: Weight of the structural term, in [0, 1]; the rest goes to the penalty.
      penalty: As in `robust_penalty`.

    Returns:
      Error [H, W], the mean over the channels.
    """
    error = (1 - ssim_weight) * robust_penalty(a - b, penalty) + ssim_weight * (1 - ssim(a, b))
    return jnp.mean(error, axis=-1)


def less_than_mean_mask(error: chex.Array, mask: chex.Array, factor: float = 1.0) -> chex.Array:
    """Returns where the error is less than its mean over the visible pixels (paper eq. 6, D7).

    Args:
      error: Error [H, W].
      mask: Visible pixels [H, W], over which the mean is taken: boolean, or any numbers, of which 0 is False.
      factor: Multiplies the mean: 1 in the paper, about 3 in the effect of the published code.

    Returns:
      Boolean [H, W], without gradient and not multiplied by `mask`. A constant error, and an empty mask, give all False.
    """
    chex.assert_equal_shape([error, mask])
    error, mask = jax.lax.stop_gradient(error), _as_mask(mask)
    count = jnp.sum(mask)
    # Summed above its minimum, so that rounding cannot put the mean of a constant error above the error itself.
    lowest = jnp.min(jnp.where(mask, error, jnp.inf))
    above = jnp.sum(jnp.where(mask, error - lowest, 0.0))
    mean = lowest + above / jnp.maximum(count, 1).astype(above.dtype)
    return (count > 0) & (error < factor * mean)


def masked_mean(error: chex.Array, mask: chex.Array) -> chex.Array:
    """Returns the mean of the error over a mask: sum(e m) / (sum(m) + 1), which is 0 for an empty mask (D5).

    Args:
      error: Error [H, W].
      mask: Pixels to average [H, W]: boolean, or any numbers, of which 0 is False.

    Returns:
      Scalar. The mask carries no gradient; what it excludes may be anything, NaN included.
    """
    chex.assert_equal_shape([error, mask])
    mask = _as_mask(mask)
    total = jnp.sum(jnp.where(mask, error, 0.0))
    return total / (jnp.sum(mask) + 1).astype(total.dtype)


def edge_aware_smoothness(x: chex.Array, image: chex.Array, *, order: int = 1, sharpness: float = 1.0) -> chex.Array:
    """Returns how much a map changes where the image does not: mean |dx| exp(-|dI|), along x plus along y (eq. 8, D10).

    Args:
      x: Map [H, W, C].
      image: Guiding image [H, W, 3] in [-1, 1].
      order: Of the differences of the map: 1 for its slope, 2 for the change of its slope, which a plane does not have.
      sharpness: Factor on |dI|, the mean over the channels.

    Returns:
      Scalar. Each direction is averaged over its own map of forward differences and over the channels of `x`; a direction
      in which the map has no extent counts 0.
    """
    chex.assert_rank([x, image], 3)
    chex.assert_equal_shape_prefix([x, image], 2)
    total = jnp.zeros((), x.dtype)
    for axis in (0, 1):
        if x.shape[axis] > order:
            change = jnp.abs(jnp.diff(x, n=order, axis=axis))
            edge = jnp.mean(jnp.abs(jnp.diff(image, axis=axis)), axis=-1, keepdims=True)
            for _ in range(order - 1):  # a change of slope lies between two steps of the image: the larger one excuses it
                before, after = (jax.lax.slice_in_dim(edge, i, edge.shape[axis] - 1 + i, axis=axis) for i in (0, 1))
                edge = jnp.maximum(before, after)
            total += jnp.mean(change * jnp.exp(-sharpness * edge))
    return total


def max_normalized_depth(disparity: chex.Array) -> chex.Array:
    """Returns depth in units of the nearest depth: max(disparity) / disparity = D / D_min (paper eq. 9).

    Args:
      disparity: Disparity [H, W], positive.

    Returns:
      Map [H, W] in [1, inf). The maximum carries gradient, so the network cannot lower it by shrinking everything.
    """
    return jnp.max(disparity) / disparity


def max_normalized_disparity(disparities: chex.Array) -> chex.Array:
    """Returns disparities divided by the largest of their image: the published code's unit of depth and motion (D9).

    Args:
      disparities: Disparities [..., H, W], positive.

    Returns:
      Maps [..., H, W] in (0, 1].
    """
    return disparities / jnp.max(disparities, axis=(-2, -1), keepdims=True)


def mean_normalized_disparity(disparity: chex.Array) -> chex.Array:
    """Returns disparity divided by its mean over the image: the usual normalisation, the paper's baseline (Fig. 10).

    Args:
      disparity: Disparity [H, W], positive.

    Returns:
      Map [H, W] of mean 1.
    """
    return disparity / jnp.mean(disparity)


def departure_where_plain(disparity: chex.Array, known: chex.Array, image: chex.Array) -> chex.Array:
    """Returns the distance of disparity from a known one where the image has too little texture for a photometric error.

    Args:
      disparity: Disparity [H, W], positive.
      known: What it was believed to be [H, W], positive; up to one factor.
      image: Image [H, W, 3] in [-1, 1].

    Returns:
      Scalar: the mean of w |log disparity - log known|, less the mean of that difference under w, where
      w = exp(-v / (2 0.1^2)) for an image of variance v over SSIM's window, the border continued.
    """
    radius = SIZE // 2
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    mean, of_squares = blurred(padded, padded * padded)
    variance = jnp.mean(of_squares - mean**2, axis=-1)[radius:-radius, radius:-radius]
    plain = jnp.exp(-variance / (2 * _PLAIN**2))
    departure = jnp.log(disparity) - jnp.log(known)
    departure -= jnp.sum(plain * departure) / jnp.sum(plain)
    return jnp.mean(plain * jnp.abs(departure))


def flow_consistency(
    flow: chex.Array, rigid_flow: chex.Array, mask: chex.Array, penalty: Penalty = "charbonnier"
) -> chex.Array:
    """Returns how far optical flow is from the rigid flow of depth and motion (paper eq. 12, D13).

    Args:
      flow: Flow [H, W, 2] in pixels.
      rigid_flow: Rigid flow [H, W, 2] in pixels, the teacher: it gets no gradient.
      mask: Pixels to compare [H, W]: those that cannot be seen in the source, where nothing else teaches the flow.
      penalty: As in `robust_penalty`.

    Returns:
      Scalar: the mean over the mask of the penalty, averaged over u and v; 0 for an empty mask.
    """
    chex.assert_equal_shape([flow, rigid_flow])
    difference = flow - jax.lax.stop_gradient(rigid_flow)
    return masked_mean(jnp.mean(robust_penalty(difference, penalty), axis=-1), mask)


def distance_from_matches(flow: chex.Array, matches: chex.Array) -> chex.Array:
    """Returns the distance of flow from tracked corners.

    Args:
      flow: Flow [H, W, 2] in pixels.
      matches: [N, 4]: (x, y) of points in the image whose flow this is, then in the other, in pixels; NaN for none.

    Returns:
      Scalar: the mean Charbonnier penalty over the points inside the image, averaged over u and v; 0 without any.
    """
    found = jnp.isfinite(matches).all(axis=-1)
    points = jnp.where(found[:, None], matches, 0.0)
    there, inside = geometry.bilinear_sample(flow, points[:, :2], "border")
    difference = jnp.mean(robust_penalty(there - (points[:, 2:] - points[:, :2])), axis=-1)
    return masked_mean(difference, found & inside)


def _as_mask(mask: chex.Array) -> chex.Array:
    """Returns a mask as boolean, without gradient: picture files have it as 0 and 255."""
    return jax.lax.stop_gradient(jnp.asarray(mask)).astype(bool)
