"""The cost volume: how alike the cells of two feature maps are. Flow and pose read motion off it."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dopi_jax.forms import is_portable
from dopi_jax.geometry import pixel_grid

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

    return jnp.moveaxis(_one_by_one(correlation, side * side), 0, -1)


def _one_by_one(correlation: Callable[[jax.Array], jax.Array], count: int) -> jax.Array:
    """Returns the correlations of so many displacements, [count, ...]; in portable form they are not a loop."""
    if is_portable():
        return jnp.stack([correlation(displacement) for displacement in range(count)])
    # What a loop's body recomputes cannot be merged with the other loop's work, so it needs no barrier against that.
    return jax.lax.map(jax.checkpoint(correlation, prevent_cse=False), jnp.arange(count))


def costs_around(target: jax.Array, source: jax.Array, flow: jax.Array, radius: int) -> jax.Array:
    """Compares every target cell with the source cells around the place that a flow leads to.

    Args:
      target: features [B, H, W, C].
      source: features [B, H, W, C].
      flow: [B, H, W, 2] in cells.
      radius: largest displacement from there in cells, along each axis.

    Returns:
      [B, H, W, (2 radius + 1)^2]: the mean over the channels of target(p) * source(p + flow(p) + (dx, dy)), bilinearly
      interpolated, zero where that is outside; in the order of `cost_volume`.
    """
    return jax.vmap(lambda t, s, f: _costs_around(t, s, f, radius))(target, source, flow)


def _costs_around(target: jax.Array, source: jax.Array, flow: jax.Array, radius: int) -> jax.Array:
    height, width, channels = target.shape
    place = jnp.nan_to_num(pixel_grid(height, width) + flow)
    place = jnp.clip(place, -radius - 2.0, jnp.array([width, height]) + radius + 1.0)
    corner = jnp.floor(place).astype(jnp.int32)
    share = (place - corner)[..., None, None, :]
    # All displacements of a cell lie between whole cells by the same fraction: to interpolate the correlations with these is
    # to interpolate features.
    side = 2 * radius + 2
    cells = source.reshape(height * width, channels)

    def correlation(displacement: jax.Array) -> jax.Array:
        x = corner[..., 0] + displacement % side - radius
        y = corner[..., 1] + displacement // side - radius
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        index = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
        return jnp.where(inside, jnp.mean(target * cells.at[index].get(mode="promise_in_bounds"), axis=-1), 0.0)

    whole = jnp.moveaxis(_one_by_one(correlation, side * side).reshape(side, side, height, width), (0, 1), (2, 3))
    x, y = share[..., 0], share[..., 1]
    along_x = whole[..., :-1] * (1 - x) + whole[..., 1:] * x
    return (along_x[:, :, :-1] * (1 - y) + along_x[:, :, 1:] * y).reshape(height, width, -1)


def window_mean(x: jax.Array, side: int) -> jax.Array:
    """Returns maps averaged over squares.

    Args:
      x: Maps [B, H, W, C].
      side: Of the squares in pixels, odd.

    Returns:
      [B, H, W, C]; at the border the mean over what of a square is inside.
    """

    def counted(size: int) -> np.ndarray:
        places = np.arange(size)
        return np.minimum(places + side // 2, size - 1) - np.maximum(places - side // 2, 0) + 1

    share = np.outer(counted(x.shape[1]), counted(x.shape[2])).astype(np.float32) / side**2
    # One axis after the other: of a square of 15 pixels that is 30 sums instead of 225.
    return nn.avg_pool(nn.avg_pool(x, (side, 1), padding="SAME"), (1, side), padding="SAME") / share[..., None]


def masked_window_mean(x: jax.Array, mask: jax.Array, side: int) -> jax.Array:
    """Returns a map [H, W] averaged over the pixels of a mask [H, W] in a square around each; 0 where there are none."""
    counts = mask.astype(jnp.float32)
    total, count = jnp.moveaxis(window_mean(jnp.stack([x * counts, counts], axis=-1)[None], side)[0], -1, 0)
    return total / jnp.maximum(count, 1e-6)


def normalised(features: jax.Array) -> jax.Array:
    """Returns features whose products are correlations.

    Args:
      features: [B, H, W, C].

    Returns:
      The same shape: every channel of zero mean and unit variance over the image, and then every cell over the channels.
    """
    for axes in ((1, 2), -1):
        centred = features - jnp.mean(features, axis=axes, keepdims=True)
        features = centred / jnp.sqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + 1e-6)
    return features


def displacements(radius: int) -> jax.Array:
    """Returns the displacements (x, y) in cells of a cost volume's channels, [(2 radius + 1)^2, 2]."""
    steps = jnp.arange(-radius, radius + 1.0)
    y, x = jnp.meshgrid(steps, steps, indexing="ij")
    return jnp.stack([x.ravel(), y.ravel()], axis=-1)


def expected_displacement(costs: jax.Array, sharpness: float, radius: int) -> jax.Array:
    """Returns the mean displacement under a softmax over the cost volume.

    Args:
      costs: [B, H, W, (2 radius + 1)^2], in the order of `cost_volume`.
      sharpness: factor before the softmax.
      radius: largest displacement in cells.

    Returns:
      [B, H, W, 2]: (x, y) in units of the radius, in [-1, 1].
    """
    return nn.softmax(sharpness * costs.astype(jnp.float32)) @ (displacements(radius) / radius)


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
