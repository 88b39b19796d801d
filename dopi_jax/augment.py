"""From stored frames to what the objectives take: random flip, scaling and cropping with exact intrinsics (paper IV-B).

All three frames of a snippet get the same transform, drawn from the training's seed and the sample's global index alone:
whatever reads the frames, and wherever a run is resumed, the sample looks the same.
"""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.cut_out import draw_corner
from dopi_jax.splice import draw_cut
from dopi_jax.strong_augment import change_appearance

MAX_SCALE = 1.1


class Transform(NamedTuple):
    """A mirror image first if asked for, then (x, y) moves to scale·(x, y) - offset; the image keeps its size.

    Attributes:
      flip: boolean, left and right are exchanged.
      scale: [2] of x and y, at least 1.
      offset: [2] in pixels of the scaled image, from 0 to (scale - 1)·(size - 1).
    """

    flip: chex.Array
    scale: chex.Array
    offset: chex.Array


def network_batch(
    batch: Mapping[str, chex.Array],
    *,
    augment: bool = False,
    seed: int = 0,
    colour_jitter: float = 0.0,
    strong: bool = False,
    splice: bool = False,
    students: bool = False,
    shown_rigid: float = 1.0,
) -> dict[str, chex.Array]:
    """Returns a batch of stored frames as the objectives take it.

    Args:
      batch: `frames` uint8 [B, 3, H, W, 3] at (t-1, t, t+1), `intrinsics` [B, 3, 3] in pixels of these frames, and `index`
        [B], the global index of each sample, which is needed to augment only; maybe `matches` [B, 2, N, 4], corners of the
        target and where they are in each source, (x, y, x, y) in pixels of these frames.
      augment: Transform each sample at random.
      seed: Of the training; with the index it decides the transform.
      colour_jitter: Range of the random change of colours, as in `jitter_colours`, in what the networks see; the losses
        compare the colours that were recorded.
      strong: Change what the networks see by `dopi_jax.strong_augment`, too.
      splice: Draw at which column the depth network's images are cut and put together anew, see `dopi_jax.splice`.
      shown_rigid: Share of the samples of which a network is shown the rigid flow.
      students: Draw where flow is also predicted of a cut-out, see `dopi_jax.cut_out`.

    Returns:
      `target` [B, H, W, 3] and `sources` [B, 2, H, W, 3] (t-1, t+1) in [-1, 1], `intrinsics` [B, 3, 3]; where colours are
      changed, also `seen_target` and `seen_sources`, what the networks see; with `splice`, also `cut`, with `students`
      `corner`; and `matches`; where the share shown is neither 0 nor 1, `shows_rigid` [B].
    """
    frames, intrinsics, matches = batch["frames"], batch["intrinsics"], batch.get("matches")
    if augment:
        transforms = jax.vmap(lambda index: draw_transform(seed, index, *frames.shape[2:4]))(batch["index"])
        frames, intrinsics = jax.vmap(transform_snippet)(frames, intrinsics, transforms)
        if matches is not None:
            matches = jax.vmap(lambda m, t: transform_matches(m, t, frames.shape[3]))(matches, transforms)
    images = frames.astype(jnp.float32) / 127.5 - 1
    made = {"target": images[:, 1], "sources": images[:, ::2], "intrinsics": intrinsics}
    if matches is not None:
        made["matches"] = matches
    if augment and (colour_jitter > 0 or strong):
        seen = jax.vmap(lambda index, i: _as_seen(i, seed, index, colour_jitter, strong))(batch["index"], images)
        made |= {"seen_target": seen[:, 1], "seen_sources": seen[:, ::2]}
    if augment and splice:
        made["cut"] = draw_cut(jax.random.fold_in(_key(seed, batch["index"][0]), 2), frames.shape[3])
    if students:
        made["corner"] = draw_corner(jax.random.fold_in(_key(seed, batch["index"][0]), 3), *frames.shape[2:4])
    if 0 < shown_rigid < 1:
        draws = jax.vmap(lambda index: jax.random.uniform(jax.random.fold_in(_key(seed, index), 4)))(batch["index"])
        made["shows_rigid"] = draws < shown_rigid
    return made


def draw_transform(seed: int, index: chex.Array, height: int, width: int) -> Transform:
    """Draws a sample's transform: mirrored with probability 1/2, each axis scaled by its own factor from 1 to 1.1.

    Args:
      seed: Of the training.
      index: Global index of the sample, an integer.
      height: Of the frames in pixels.
      width: Of the frames in pixels.

    Returns:
      The transform; with its whole-pixel offset every output pixel lies inside the scaled image.
    """
    draws = jax.random.uniform(_key(seed, index), (5,))
    scale = 1 + (MAX_SCALE - 1) * draws[1:3]
    room = jnp.floor((scale - 1) * jnp.array([width - 1, height - 1]))
    return Transform(draws[0] < 0.5, scale, jnp.floor(draws[3:5] * (room + 1)))


def jitter_colours(images: chex.Array, seed: int, index: chex.Array, amount: float) -> chex.Array:
    """Changes brightness, contrast and saturation of a snippet, alike in all its frames, in every second sample.

    Args:
      images: [N, H, W, 3] in [-1, 1].
      seed: Of the training.
      index: Global index of the sample, an integer.
      amount: Each of the three is multiplied by its own factor from 1 - amount to 1 + amount; in [0, 1].

    Returns:
      The same shape and range.
    """
    draws = jax.random.uniform(jax.random.fold_in(_key(seed, index), 1), (4,))
    brightness, contrast, saturation = jnp.where(draws[0] < 0.5, 1 + amount * (2 * draws[1:] - 1), 1.0)
    light = (images + 1) / 2 * brightness
    middle = jnp.mean(light)
    light = middle + contrast * (light - middle)
    grey = jnp.mean(light, axis=-1, keepdims=True)
    light = grey + saturation * (light - grey)
    return 2 * jnp.clip(light, 0.0, 1.0) - 1


def _as_seen(images: chex.Array, seed: int, index: chex.Array, colour_jitter: float, strong: bool) -> chex.Array:
    if colour_jitter > 0:
        images = jitter_colours(images, seed, index, colour_jitter)
    return change_appearance(images, jax.random.fold_in(_key(seed, index), 5)) if strong else images


def _key(seed: int, index: chex.Array) -> chex.PRNGKey:
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), index)


def transform_snippet(frames: chex.Array, K: chex.Array, transform: Transform) -> tuple[chex.Array, chex.Array]:
    """Applies one transform to all frames of a snippet, by bilinear sampling, and to their intrinsics.

    Args:
      frames: [N, H, W, C] of any type.
      K: Intrinsics [3, 3] in pixels of these frames.
      transform: The transform.

    Returns:
      float32 [N, H, W, C] in the frames' unit, and intrinsics [3, 3]: a point that projected to (x, y) projects to where its
      colour went.
    """
    height, width = frames.shape[1:3]
    columns = (jnp.arange(width) + transform.offset[0]) / transform.scale[0]
    # The mirror image is never made: its column x is column width - 1 - x of the frame.
    columns = jnp.where(transform.flip, width - 1 - columns, columns)
    rows = (jnp.arange(height) + transform.offset[1]) / transform.scale[1]
    moved = _sample_axis(_sample_axis(frames, rows, 1), columns, 2)
    K = jnp.where(transform.flip, geometry.flip_intrinsics(K, width), K)
    K = geometry.scale_intrinsics(K, *transform.scale)
    return moved, geometry.crop_intrinsics(K, *transform.offset)


def transform_matches(matches: chex.Array, transform: Transform, width: int) -> chex.Array:
    """Returns where the transform moves points (x, y, x, y), [..., 4] in pixels of frames of this width."""
    points = matches.reshape(*matches.shape[:-1], 2, 2)
    x = jnp.where(transform.flip, width - 1 - points[..., 0], points[..., 0])
    moved = jnp.stack([x, points[..., 1]], axis=-1) * transform.scale - transform.offset
    return moved.reshape(matches.shape)


def _sample_axis(images: chex.Array, positions: chex.Array, axis: int) -> chex.Array:
    """Interpolates along one axis of images at positions in pixels; those outside by rounding take the border's value."""
    last = images.shape[axis] - 1
    positions = jnp.clip(positions, 0, last)
    low = jnp.floor(positions).astype(jnp.int32)
    weight = (positions - low).reshape([-1 if a == axis else 1 for a in range(images.ndim)])
    at_low, at_high = (
        jnp.take(images, index, axis=axis, mode="clip").astype(jnp.float32) for index in (low, jnp.minimum(low + 1, last))
    )
    return at_low + weight * (at_high - at_low)
