"""Images cut in two and put together anew: what the depth network sees where it is not to learn a street's usual layout.

Every image is cut at the same column; its right part comes to the left, and beside it the left part of another image; with
a cut at a row, its lower part comes to the top. What the network says is put back in the same way, so that losses compare
each image with its own neighbours in time. The idea is the data grafting of Peng et al., "Excavating the Potential Capacity
of Self-Supervised Monocular Depth Estimation" (ICCV 2021).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

GRID = 32  # pixels: cuts are multiples of it, so that the maps of every scale can be put back exactly
_SHARE = (0.25, 0.5)  # of the batches that are cut at a row, and at a column


class Cut(NamedTuple):
    """Where images are cut: the first row of the lower part and the first column of the right part; 0 is no cut."""

    row: chex.Array
    column: chex.Array


def draw_cut(key: chex.PRNGKey, height: int, width: int) -> Cut:
    """Draws rows and columns to cut at, both multiples of `GRID`: a row for one batch in four, a column for one in two.

    Args:
      key: Decides it.
      height: Of the images in pixels.
      width: Of the images in pixels.

    Returns:
      The cut.
    """

    def draw(draws, share, size):
        places = -(-size // GRID) - 1
        place = 1 + jnp.floor(draws[1] * places).astype(jnp.int32)
        return jnp.where((draws[0] < share) & (places > 0), GRID * place, 0)

    draws = jax.random.uniform(key, (2, 2))
    return Cut(draw(draws[0], _SHARE[0], height), draw(draws[1], _SHARE[1], width))


def splice(images: chex.Array, cut: Cut) -> chex.Array:
    """Returns images put together anew.

    Args:
      images: [B, H, W, C]. The second parts stay in their own image, the first parts come to the next one of the batch.
      cut: Where they are cut.

    Returns:
      The same shape.
    """
    for axis, place in enumerate(cut, 1):
        turned = jnp.roll(images, -place, axis=axis)
        images = jnp.where(_is_second_part(images, place, axis), turned, jnp.roll(turned, 1, axis=0))
    return images


def unsplice(maps: chex.Array, cut: Cut, factor: int = 1) -> chex.Array:
    """Undoes `splice`.

    Args:
      maps: [B, H / factor, W / factor, C], maps of spliced images.
      cut: In pixels of the images.
      factor: How much smaller the maps are.

    Returns:
      The same shape.
    """
    for axis, place in reversed(list(enumerate(cut, 1))):
        place = place // factor
        turned = jnp.where(_is_second_part(maps, place, axis), maps, jnp.roll(maps, -1, axis=0))
        maps = jnp.roll(turned, place, axis=axis)
    return maps


def _is_second_part(maps: chex.Array, place: chex.Array, axis: int) -> chex.Array:
    """Which rows or columns of spliced maps hold a second part, to be broadcast."""
    size = maps.shape[axis]
    kept = jnp.arange(size) < size - place
    return kept.reshape([-1 if a == axis else 1 for a in range(maps.ndim)])
