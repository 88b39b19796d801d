"""The best of several flows at every pixel: the one by which the images around it look most alike."""

from collections.abc import Callable

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

    def error_of(warped: chex.Array, inside: chex.Array) -> chex.Array:
        # What leaves the image is no better than what looks wrong everywhere.
        return jnp.where(inside, masked_window_mean(census_error(target, warped), inside, WINDOW), 1.0)

    return choose_flow(jnp.concatenate([rigid[None], others]), source, error_of, ADVANTAGE)


def choose_flow(
    candidates: chex.Array,
    source: chex.Array,
    error_of: Callable[[chex.Array, chex.Array], chex.Array],
    advantage: float,
) -> chex.Array:
    """Returns at every pixel the flow with the least error, or the first one where that leaves the image.

    Args:
      candidates: Flows [N, H, W, 2] in pixels.
      source: Source image [H, W, 3].
      error_of: Of the source warped by a flow [H, W, 3], and the pixels [H, W] that are inside it, to the error [H, W].
      advantage: That the first flow has, in units of the error.

    Returns:
      Flow [H, W, 2], without gradient.
    """
    candidates = jax.lax.stop_gradient(candidates)

    def compare(flow: chex.Array) -> tuple[chex.Array, chex.Array]:
        warped, inside = geometry.warp_by_flow(source, flow)
        return error_of(warped, inside), inside

    errors, inside = jax.lax.map(compare, candidates)
    best = jnp.where(inside[0], jnp.argmin(errors.at[0].add(-advantage), axis=0), 0)
    return jnp.take_along_axis(candidates, best[None, ..., None], axis=0)[0]
