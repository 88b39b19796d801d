"""The cost volume: how alike the cells of two feature maps are. Flow and pose read motion off it."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.convolution import is_plain

# Moments are a few thousandths: times this, they count for the last layer as much as its other inputs, and roll, the weakest
# of them, is learnt in hundreds of steps of Adam instead of thousands.
MOMENT_GAIN = 30.0


def cost_volume(target: jax.Array, source: jax.Array, radius: int) -> jax.Array:
    """Compares every target cell with the source cells around the same place.

    The displacements are taken one after another, and so they are again in the backward pass: all that is kept for it is
    the two feature maps, where plain differentiation would keep a shifted copy of the source for every displacement. On
    64x208 cells of 32 channels, in a batch of four, the forward pass takes 53 MB and the backward pass 74 MB, inputs and
    outputs counted, instead of 617 MB.

    Args:
      target: features [B, H, W, C].
      source: features [B, H, W, C].
      radius: largest displacement in cells, along each axis.

    Returns:
      [B, H, W, (2 radius + 1)^2]: the mean over the channels of target(p) * source(p + (dx, dy)), zero where that is
      outside; the channels run over dy from -radius to radius and, inside, over dx likewise. Read backwards, they are
      those of the opposite displacements.
    """
    margin = (radius, radius)
    padded = jnp.pad(source, ((0, 0), margin, margin, (0, 0)))
    side = 2 * radius + 1

    def correlation(displacement: jax.Array) -> jax.Array:
        start = (0, displacement // side, displacement % side, 0)
        return jnp.mean(target * jax.lax.dynamic_slice(padded, start, target.shape), axis=-1)

    if is_plain():
        return jnp.stack([correlation(displacement) for displacement in range(side * side)], axis=-1)
    # What a loop's body recomputes cannot be merged with the other loop's work, so it needs no barrier against that.
    recomputed = jax.checkpoint(correlation, prevent_cse=False)
    return jnp.moveaxis(jax.lax.map(recomputed, jnp.arange(side * side)), 0, -1)


def expected_displacement(costs: jax.Array, sharpness: float, radius: int) -> jax.Array:
    """Returns the mean displacement under a softmax over the cost volume.

    Args:
      costs: [B, H, W, (2 radius + 1)^2], in the order of `cost_volume`.
      sharpness: factor before the softmax.
      radius: largest displacement in cells.

    Returns:
      [B, H, W, 2]: (x, y) in units of the radius, in [-1, 1].
    """
    steps = jnp.linspace(-1.0, 1.0, 2 * radius + 1)
    y, x = jnp.meshgrid(steps, steps, indexing="ij")
    displacements = jnp.stack([x.ravel(), y.ravel()], axis=-1)
    return nn.softmax(sharpness * costs.astype(jnp.float32)) @ displacements


def mirrored_costs(costs: jax.Array) -> jax.Array:
    """Returns the cost volume of the mirrored images.

    Args:
      costs: [B, H, W, (2 radius + 1)^2], in the order of `cost_volume`, of images whose columns all belong to a cell.

    Returns:
      The same shape.
    """
    side = math.isqrt(costs.shape[-1])
    by_displacement = costs.reshape(*costs.shape[:-1], side, side)
    return by_displacement[:, :, ::-1, :, ::-1].reshape(costs.shape)


def displacement_moments(displacement: jax.Array, coordinates: jax.Array) -> jax.Array:
    """Returns moments over the image that, as a small motion makes them, depend linearly on that motion.

    Args:
      displacement: [B, H, W, 2].
      coordinates: [B, H, W, 2], as `layers.coordinates_like` gives them.

    Returns:
      [B, 12]: the means of the displacement times the monomials up to second order of the coordinates.
    """
    x, y = coordinates[..., 0], coordinates[..., 1]
    monomials = jnp.stack([jnp.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    moments = jnp.einsum("bhwd,bhwm->bdm", displacement, monomials) / (x.shape[1] * x.shape[2])
    return MOMENT_GAIN * moments.reshape(moments.shape[0], -1)
