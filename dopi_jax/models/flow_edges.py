"""Edges of a flow, moved to where the images have them."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.census import census_error
from dopi_jax.models.guided_filter import guided_error

REACH = 4  # pixels, from which a pixel may take the flow of another
CENSUS_RADIUS = 1  # pixels; wider windows blur the edge
WINDOW = 9  # pixels on a side, over which errors are averaged
CONTRAST = 0.001
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
    flow = jax.lax.stop_gradient(flow)
    height, width, _ = flow.shape
    steps = REACH * jnp.array([(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))])

    def neighbours(step: chex.Array) -> chex.Array:
        rows, columns = (jnp.clip(jnp.arange(size) + s, 0, size - 1) for size, s in zip((height, width), step, strict=True))
        return flow[rows][:, columns]

    def error_of(step: chex.Array) -> chex.Array:
        warped, inside = geometry.warp_by_flow(source, neighbours(step))
        return guided_error(census_error(target, warped, CENSUS_RADIUS), inside, target, WINDOW, CONTRAST)

    errors = jax.lax.map(error_of, steps).at[0].add(-ADVANTAGE)
    _, inside = geometry.warp_by_flow(source, flow)
    best = steps[jnp.where(inside, jnp.argmin(errors, axis=0), 0)]
    rows = jnp.clip(jnp.arange(height)[:, None] + best[..., 0], 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + best[..., 1], 0, width - 1)
    return flow[rows, columns]
