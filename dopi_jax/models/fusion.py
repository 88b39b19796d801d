"""The best of several flows at every pixel: the one by which the images around it look most alike."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.census import census_error
from dopi_jax.models.cost_volume import masked_window_mean

WINDOW = 15  # pixels on a side, over which errors are averaged: single pixels match anywhere
ADVANTAGE = 0.06  # of the rigid flow, in census error: without texture the scene is taken as static


def fuse_flows(rigid: chex.Array, others: chex.Array, target: chex.Array, source: chex.Array) -> chex.Array:
    """Returns the flow of the candidate with the least census error around each pixel.

    Where the rigid flow leaves the image nothing can be compared, and it is taken.

    Args:
      rigid: Rigid flow [H, W, 2] of depth and motion in pixels.
      others: Other flows [N, H, W, 2].
      target: Target image [H, W, 3] in [-1, 1].
      source: Source image [H, W, 3] in [-1, 1].

    Returns:
      Flow [H, W, 2], without gradient.
    """
    rigid, others = jax.lax.stop_gradient((rigid, others))
    candidates = jnp.concatenate([rigid[None], others])

    def error_of(flow: chex.Array) -> tuple[chex.Array, chex.Array]:
        warped, inside = geometry.warp_by_flow(source, flow)
        error = masked_window_mean(census_error(target, warped), inside, WINDOW)
        # What leaves the image is no better than what looks wrong everywhere.
        return jnp.where(inside, error, 1.0), inside

    errors, inside = jax.vmap(error_of)(candidates)
    errors = errors.at[0].add(-ADVANTAGE)
    best = jnp.where(inside[0], jnp.argmin(errors, axis=0), 0)
    return jnp.take_along_axis(candidates, best[None, ..., None], axis=0)[0]
