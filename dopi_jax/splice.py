"""Images cut in two and put together anew: what the depth network sees where it is not to learn a street's usual layout.

Every image is cut at the same column; its right part comes to the left, and beside it the left part of another image. What
the network says is put back in the same way, so that losses compare each image with its own neighbours in time. After
"splitting and permuting" of images, which Peng et al. (Excavating the potential capacity of self-supervised monocular depth
estimation, ICCV 2021) call data grafting.
"""

import chex
import jax
import jax.numpy as jnp

COLUMNS = 32  # a cut is a multiple of it, so that the maps of every scale can be put back exactly


def draw_cut(key: chex.PRNGKey, width: int) -> chex.Array:
    """Draws a column to cut at, a multiple of `COLUMNS`; in half of the cases 0, which changes nothing.

    Args:
      key: Decides it.
      width: Of the images in pixels.

    Returns:
      Integer in 0 ... width - 1.
    """
    draws = jax.random.uniform(key, (2,))
    parts = -(-width // COLUMNS)
    return jnp.where(draws[0] < 0.5, jnp.floor(draws[1] * parts).astype(jnp.int32), 0) * COLUMNS


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
      maps: [B, H, W, C] of spliced images, or of smaller ones.
      cut: First column of the right part, in pixels of the maps.

    Returns:
      The same shape.
    """
    turned = jnp.where(_is_right_part(maps, cut), maps, jnp.roll(maps, -1, axis=0))
    return jnp.roll(turned, cut, axis=2)


def _is_right_part(maps: chex.Array, cut: chex.Array) -> chex.Array:
    """Which columns of spliced maps hold a right part, as [1, 1, W, 1]."""
    width = maps.shape[2]
    return (jnp.arange(width) < width - cut)[:, None]
