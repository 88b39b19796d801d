"""Edges of a flow, moved to where the images have them."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax.census import census_error
from dopi_jax.models.fusion import choose_flow
from dopi_jax.models.guided_filter import guided_error

REACH = 4  # pixels, from which a pixel may take the flow of another
CENSUS_RADIUS = 1  # pixels; wider windows blur the edge
WINDOW = 9  # pixels on a side, over which errors are averaged
CONTRAST = 0.001  # of the guided filter that averages them
ADVANTAGE = 0.02  # of the pixel's own flow, in census error


def sharpen_flow(flow: chex.Array, target: chex.Array, source: chex.Array) -> chex.Array:
    """Returns a flow in which every pixel has its own flow or that of one of eight neighbours, by the least census error.

    Networks and windows smear a flow across the edge between two things that move differently. Beside the edge the flow of
    either side is right, and a few pixels away it is found.

    Args:
      flow: [H, W, 2] in pixels.
      target: Target image [H, W, 3] in [-1, 1].
      source: Source image [H, W, 3] in [-1, 1].

    Returns:
      Flow [H, W, 2], without gradient. Where a pixel leaves the image nothing can be compared, and its flow stays.
    """
    height, width, _ = flow.shape

    def seen_from(step: chex.Array) -> chex.Array:
        rows, columns = (jnp.clip(jnp.arange(size) + s, 0, size - 1) for size, s in zip((height, width), step, strict=True))
        return flow[rows][:, columns]

    def error_of(warped: chex.Array, inside: chex.Array) -> chex.Array:
        return guided_error(census_error(target, warped, CENSUS_RADIUS), inside, target, WINDOW, CONTRAST)

    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    candidates = jax.vmap(seen_from)(REACH * jnp.array([(0, 0), *around]))
    return choose_flow(candidates, source, error_of, ADVANTAGE)
