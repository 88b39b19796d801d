"""Symmetries of the motion between two images, for any camera: time reversal and mirroring.

The motion from a to b is, to first order, the reverse of that from b to a, and mirrored images show the mirrored motion. So
a pose network reads its cost volumes in all four ways and the mean is taken: a constant bias cancels, and so does a drift
to one side.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dopi_jax.models.cost_volume import cost_volume, mirrored_costs

# What a mirror makes of a motion: what goes or turns to the left then goes or turns to the right.
MIRROR = (-1.0, 1.0, 1.0, 1.0, -1.0, -1.0)


def costs_of_symmetries(target: jax.Array, sources: Sequence[jax.Array], radius: int) -> jax.Array:
    """Returns the cost volumes from the target to each source, turned round, and both for mirrored images.

    Args:
      target: features [B, H, W, C].
      sources: S features [B, H, W, C].
      radius: largest displacement in cells.

    Returns:
      [4 S B, H, W, (2 radius + 1)^2]: there, back, mirrored there, mirrored back; source after source in each.
    """
    # The sources are stacked along the batch, each beside its own copy of the target.
    there = [jnp.tile(target, (len(sources), 1, 1, 1)), jnp.concatenate(sources)]
    costs = cost_volume(*(jnp.concatenate(pair) for pair in zip(there, there[::-1], strict=True)), radius)
    return jnp.concatenate([costs, mirrored_costs(costs)])


def mean_over_symmetries(motions: jax.Array, count: int) -> jax.Array:
    """Returns the motions to the sources.

    Args:
      motions: [4 S B, 6], read off `costs_of_symmetries`.
      count: number of sources S.

    Returns:
      [B, S, 6].
    """
    there, back, mirrored_there, mirrored_back = jnp.split(motions, 4)
    motion = (there - back + jnp.array(MIRROR) * (mirrored_there - mirrored_back)) / 4
    return motion.reshape(count, -1, 6).swapaxes(0, 1)
