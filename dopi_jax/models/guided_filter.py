"""The guided filter (He, Sun and Tang, PAMI 2013): an average over a window that stops where an image has an edge.

Inside a window the result is a linear function of the image, so what the image does not separate is averaged, and what it
does separate stays apart. Matching by errors that are averaged so finds the edges of depth and flow where the image has them
(Rhemann et al., CVPR 2011).
"""

import chex
import jax.numpy as jnp

from dopi_jax.models.cost_volume import window_mean


def guided_error(error: chex.Array, inside: chex.Array, target: chex.Array, side: int, contrast: float) -> chex.Array:
    """Returns an error averaged over the pixels around each that are inside the other image, up to the target's edges.

    Args:
      error: [H, W], of the target and what is warped to it.
      inside: Boolean [H, W], False where the warped image is unknown.
      target: Image [H, W, 3] in [-1, 1].
      side: Of the window in pixels, odd.
      contrast: Variance of grey levels, of a range of 1, from which on two parts of a window are kept apart.

    Returns:
      [H, W], and 1 for pixels that are not inside.
    """
    grey = jnp.mean(target, axis=-1) / 2
    counts = inside.astype(jnp.float32)
    share, *sums = _means(side, counts, *(counts * x for x in (grey, error, grey**2, grey * error)))
    mean_grey, mean_error, mean_square, mean_product = (x / jnp.maximum(share, 1e-6) for x in sums)
    slope = (mean_product - mean_grey * mean_error) / (jnp.maximum(mean_square - mean_grey**2, 0) + contrast)
    slope, offset = _means(side, slope, mean_error - slope * mean_grey)
    # What leaves the image is no better than what looks wrong everywhere.
    return jnp.where(inside, slope * grey + offset, 1.0)


def _means(side: int, *maps: chex.Array) -> chex.Array:
    return jnp.moveaxis(window_mean(jnp.stack(maps, axis=-1)[None], side)[0], -1, 0)
