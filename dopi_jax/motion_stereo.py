"""Depth refined by other views: with known motion, the position of a pixel in another image gives its depth.

A network's depth is the start. Along a pixel's epipolar line in the other images, the position is taken whose surroundings
look most alike: a plane sweep (Collins, CVPR 1996) over factors on the disparity, by census error.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.census import census_error
from dopi_jax.models.cost_volume import masked_window_mean
from dopi_jax.models.guided_filter import guided_error

FACTORS = 25  # tried, evenly in their logarithms
SPAN = 1.2  # of the logarithms, both ways
CENSUS_RADIUS = 1  # pixels; the averages look farther
WINDOW = 15  # pixels on a side, over which errors are averaged
CONTRAST = 0.003  # of the guided filter that averages them
PRIOR = 0.04  # error of a factor e: what cannot be told stays as it is
_HIDDEN = 1e3  # error of a source that does not show a pixel
_STANDING = 1e-4  # in the unit of depth
SPREAD = 5  # a pixel that leaves the image takes its factor from within a square of one such part of the width


class Sweep(NamedTuple):
    """Disparity that other images make better.

    Attributes:
      disparity: [H, W].
      is_found: Boolean [H, W], where an image shows the pixel and the disparity that fits best lies inside the range that is
        tried, not at its end.
    """

    disparity: chex.Array
    is_found: chex.Array


def refine_disparity(
    disparity: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    *,
    factors: int = FACTORS,
    span: float = SPAN,
) -> Sweep:
    """Returns a disparity by which sources, warped to the target, look more like it.

    Where several sources show a pixel, the one that looks most like the target counts there: something may hide the pixel
    in the other.

    Args:
      disparity: Target disparity [H, W], positive.
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      K: Intrinsics [3, 3].
      source_from_target: Poses [S, 4, 4], translation in the unit of 1 / disparity; they must be right to a pixel or so.
      factors: How many are tried, evenly in their logarithms.
      span: Of the logarithms, both ways.

    Returns:
      `Sweep`, without gradient. What moves by itself gets the disparity by which a thing that stands still would move so,
      where there is one.
    """
    inputs = jax.lax.stop_gradient((disparity, target, sources, K, source_from_target))
    disparity, target, sources, K, poses = inputs
    logs = jnp.linspace(-span, span, factors)
    _, is_seen = jax.vmap(geometry.warp_by_depth, (0, None, None, 0))(sources, 1 / disparity, K, poses)
    moves = jnp.linalg.norm(poses[:, :3, 3], axis=1) > _STANDING
    is_seen &= moves[:, None, None]  # from where the camera stands, every depth looks the same

    def error_of(log: chex.Array) -> chex.Array:
        def in_source(source: chex.Array, pose: chex.Array, is_seen: chex.Array) -> chex.Array:
            warped, inside = geometry.warp_by_depth(source, 1 / (disparity * jnp.exp(log)), K, pose)
            error = guided_error(census_error(target, warped, CENSUS_RADIUS), inside, target, WINDOW, CONTRAST)
            return jnp.where(is_seen, error, _HIDDEN)

        return jnp.min(jax.vmap(in_source)(sources, poses, is_seen), axis=0) + PRIOR * jnp.abs(log)

    errors = jax.lax.map(error_of, logs)
    best = jnp.argmin(errors, axis=0)
    log = logs[best] + (logs[1] - logs[0]) * _between(errors, best)
    # What is outside cannot be compared; its neighbours inside are of the same road or house.
    is_seen = jnp.any(is_seen, axis=0)
    around = masked_window_mean(log, is_seen, disparity.shape[1] // SPREAD // 2 * 2 + 1)
    refined = disparity * jnp.exp(jnp.where(is_seen, log, around))
    return Sweep(refined, is_seen & (best > 0) & (best < factors - 1))


def rigid_flows(
    disparity: chex.Array, target: chex.Array, sources: chex.Array, K: chex.Array, poses: chex.Array, *, refined: bool
) -> chex.Array:
    """Returns the rigid flows of snippets.

    Args:
      disparity: Of the targets [B, H, W], positive.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, S, H, W, 3] in [-1, 1].
      K: Intrinsics [B, 3, 3].
      poses: `source_from_target` [B, S, 4, 4].
      refined: Whether the sources first refine the disparity: what one of them hides, another may show.

    Returns:
      [B, S, H, W, 2] in pixels, without gradient.
    """

    def of_snippet(disparity, target, sources, K, poses):
        if refined:
            disparity = refine_disparity(disparity, target, sources, K, poses).disparity
        return jax.vmap(lambda pose: geometry.rigid_flow(1 / disparity, K, pose))(poses)

    return jax.lax.stop_gradient(jax.vmap(of_snippet)(disparity, target, sources, K, poses))


def _between(errors: chex.Array, best: chex.Array) -> chex.Array:
    """Where between the factors [N, H, W] a parabola through the best one [H, W] and its neighbours is least, in steps."""
    middle = jnp.clip(best, 1, len(errors) - 2)
    before, at, after = (jnp.take_along_axis(errors, (middle + step)[None], axis=0)[0] for step in (-1, 0, 1))
    step = (before - after) / (2 * jnp.maximum(before - 2 * at + after, 1e-6))
    return jnp.where(best == middle, jnp.clip(step, -0.5, 0.5), 0.0)
