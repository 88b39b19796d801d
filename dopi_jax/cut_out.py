"""Crops of images for self-supervised flow: the student sees the crop, the teacher the whole image."""

import chex
import jax
import jax.numpy as jnp

_SHARE = 0.75  # of height and width
_GRID = 16  # pixels: sides of a cut-out are multiples of it


def cut_out_size(height: int, width: int) -> tuple[int, int]:
    """Returns the (height, width) of the cut-outs of images."""
    return tuple(max(_GRID, int(_SHARE * side) // _GRID * _GRID) for side in (height, width))


def draw_corner(key: chex.PRNGKey, height: int, width: int) -> chex.Array:
    """Draws where images are cut: first row and column, int32 [2], so that the cut-out lies inside."""
    room = jnp.array([height, width]) - jnp.array(cut_out_size(height, width))
    return jnp.floor(jax.random.uniform(key, (2,)) * (room + 1)).astype(jnp.int32)


def cut_out(maps: chex.Array, corner: chex.Array) -> chex.Array:
    """Returns the cut-outs of maps [..., H, W, C] from a corner on."""
    *batch, height, width, channels = maps.shape
    start = (*[0] * len(batch), corner[0], corner[1], 0)
    return jax.lax.dynamic_slice(maps, start, (*batch, *cut_out_size(height, width), channels))
