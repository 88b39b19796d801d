"""Data grafting: images cut in two and recombined, so that the depth network does not learn a street's usual layout.

All images of a batch are cut at the same column; the right part comes to the left, and beside it the left part of another
image. The network's output is put back in the same way, so that losses compare each image with its own neighbours in time.
The idea is the data grafting of Peng et al., "Excavating the Potential Capacity of Self-Supervised Monocular Depth
Estimation" (ICCV 2021).
"""

import chex
import jax
import jax.numpy as jnp

GRID = 32  # pixels: cuts are multiples of it, so that the maps of every scale can be put back exactly


def draw_cut(key: chex.PRNGKey, width: int) -> chex.Array:
    """Draws the column to cut at, a multiple of `GRID`, for every second batch.

    Args:
      key: Decides it.
      width: Of the images in pixels.

    Returns:
      Integer, the first column of the right part; 0 is no cut.
    """
    draws = jax.random.uniform(key, (2,))
    places = -(-width // GRID) - 1
    place = 1 + jnp.floor(draws[1] * places).astype(jnp.int32)
    return jnp.where((draws[0] < 0.5) & (places > 0), GRID * place, 0)


def splice(images: chex.Array, cut: chex.Array) -> chex.Array:
    """Returns the right part of each image, and to its right the left part of the one before it in the batch.

    Args:
      images: [B, H, W, C].
      cut: First column of the right part.

    Returns:
      The same shape.
    """
    turned = jnp.roll(images, -cut, axis=2)
    return jnp.where(_is_right_part(images, cut), turned, jnp.roll(turned, 1, axis=0))


def unsplice(maps: chex.Array, cut: chex.Array) -> chex.Array:
    """Undoes `splice`.

    Args:
      maps: [B, H, W] or [B, H, W, C] of spliced images, or of smaller ones.
      cut: First column of the right part, in pixels of the maps.

    Returns:
      The same shape.
    """
    turned = jnp.where(_is_right_part(maps, cut), maps, jnp.roll(maps, -1, axis=0))
    return jnp.roll(turned, cut, axis=2)


def _is_right_part(maps: chex.Array, cut: chex.Array) -> chex.Array:
    """Which columns of spliced maps hold a right part, to be broadcast."""
    width = maps.shape[2]
    return (jnp.arange(width) < width - cut).reshape(-1, *[1] * (maps.ndim - 3))
