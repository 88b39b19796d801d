"""Which target pixels are visible in the source: the paper's three masks, from geometry alone.

A target pixel is hidden from the source if it leaves the image (edge), if it projects to where a nearer one projects
(overlap), or if no source pixel projects to it (blank). Nothing is learnt or tuned; depth and motion decide. The masks
are functions of order-independent scatters (minimum), so they are deterministic on every device.
"""

from typing import NamedTuple

import chex
import jax
import jax.export
import jax.numpy as jnp

from dopi_jax.forms import is_plain
from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.pose import invert_pose
from dopi_jax.geometry.sampling import SNAP, is_inside
from dopi_jax.geometry.warp import Reprojection, reproject

_ROUNDING = 1e-6
"""Relative difference of depth that float32 cannot tell from none."""


class OcclusionMasks(NamedTuple):
    """The masks of one target-source pair, each boolean [H, W], True = can be used.

    Attributes:
      edge: The pixel lands inside the source image (M_edg).
      overlap: No nearer pixel lands in the same cell of four pixels (M_ove). True for pixels that do not land.
      blank: Some pixel of the source lands beside it (M_bla).
    """

    edge: chex.Array
    overlap: chex.Array
    blank: chex.Array

    @property
    def visible(self) -> chex.Array:
        """All three: M_occ = M_edg M_ove M_bla (paper eq. 5)."""
        return self.edge & self.overlap & self.blank


jax.export.register_namedtuple_serialization(OcclusionMasks, serialized_name="dopi_jax.geometry.OcclusionMasks")


def z_buffer(pixels: chex.Array, z: chex.Array, valid: chex.Array, height: int, width: int) -> chex.Array:
    """Returns the depth of the nearest point in every cell of an image.

    The cell (x, y) holds the positions between the pixel centres x and x+1, y and y+1: those that share the same four
    neighbours in bilinear interpolation.

    Args:
      pixels: Positions [..., 2] = (x, y).
      z: Depth [...] of the points.
      valid: Mask [...]: points to use. Positions outside the image are never used.
      height: Rows of the image.
      width: Columns of the image.

    Returns:
      Depth [H, W], +inf in cells without a point, without gradient.

    Examples:
      Two points in the cell of the pixel (0, 0), none in that of (1, 0).

      >>> pixels, z = jnp.array([[0.2, 0.0], [0.7, 0.0]]), jnp.array([5.0, 3.0])
      >>> geometry.z_buffer(pixels, z, z > 0, 1, 2).tolist()
      [[3.0, inf]]
    """
    pixels, z = as_float(pixels, z)
    valid = jnp.asarray(valid).astype(bool) & is_inside(pixels, height, width)
    nearest = _scatter_min(_cell_index(pixels, valid, height, width), z, height * width)
    return nearest[:-1].reshape(height, width)


def occlusion_masks(
    target_depth: chex.Array,
    source_depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    *,
    tolerance: float = 0.0,
    rounds: int = 1,
    source_K: chex.Array | None = None,
    inverse_depth: bool = False,
) -> OcclusionMasks:
    """Returns which target pixels are visible in the source (paper section III-C, eq. 5).

    Args:
      target_depth: Target depth [H, W]. Pixels without a finite, positive depth land nowhere.
      source_depth: Source depth [H', W'], in the same unit.
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      source_from_target: Pose [4, 4].
      tolerance: Relative difference of depth up to which pixels in one cell count as one surface. 0 is the paper's rule:
        every farther pixel is hidden, which draws stripes across surfaces that shrink in the source view (Fig. 9);
        0.05 removes them.
      rounds: How often the views are projected onto each other. 1 is the paper's rule (Remark 1). Each further round
        lets only those source pixels fill a blank that were themselves found visible from the target (Fig. 8).
      source_K: Intrinsics [3, 3] of the source.
      inverse_depth: Whether both depths are inverse, 0 for what is infinitely far.

    Returns:
      `OcclusionMasks` of the target, without gradient.

    Examples:
      The camera moves to the right, so a wall at depth 10 moves one pixel to the left: one column leaves the image.

      >>> K = [[10, 0, 1.5], [0, 10, 0], [0, 0, 1]]
      >>> wall = jnp.full((1, 4), 10.0)
      >>> masks = geometry.occlusion_masks(wall, wall, K, geometry.pose_from_vector([-1, 0, 0, 0, 0, 0]))
      >>> masks.edge.tolist(), masks.overlap.tolist()
      ([[False, True, True, True]], [[True, True, True, True]])
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}: expected at least 1")
    target_depth, source_depth, K, source_K, source_from_target = jax.lax.stop_gradient(
        as_float(target_depth, source_depth, K, K if source_K is None else source_K, source_from_target)
    )
    in_source, in_target = reproject_both(target_depth, source_depth, K, source_from_target, source_K, inverse_depth)
    return masks_of_reprojections(in_source, in_target, tolerance, rounds)


def reproject_both(
    target_depth: chex.Array,
    source_depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    source_K: chex.Array | None = None,
    inverse_depth: bool = False,
) -> tuple[Reprojection, Reprojection]:
    """Returns where the target's pixels appear in the source, and where the source's appear in the target.

    Args:
      target_depth: Target depth [H, W].
      source_depth: Source depth [H', W'].
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      source_from_target: Pose [4, 4].
      source_K: Intrinsics [3, 3] of the source.
      inverse_depth: Whether both depths are inverse, 0 for what is infinitely far.

    Returns:
      Two `Reprojection`s.
    """
    source_K = K if source_K is None else source_K
    target_from_source = invert_pose(source_from_target)
    if target_depth.shape != source_depth.shape or not is_plain():
        in_source = reproject(target_depth, K, source_from_target, source_K, inverse_depth)
        return in_source, reproject(source_depth, source_K, target_from_source, K, inverse_depth)
    # Both ways at once, half as much to compile. A CPU takes a quarter longer.
    given = (target_depth, source_depth), (K, source_K), (source_from_target, target_from_source), (source_K, K)
    both = jax.vmap(lambda *one: reproject(*one, inverse_depth))(*map(jnp.stack, given))
    return jax.tree.map(lambda x: x[0], both), jax.tree.map(lambda x: x[1], both)


def masks_of_reprojections(
    in_source: Reprojection, in_target: Reprojection, tolerance: float = 0.0, rounds: int = 1
) -> OcclusionMasks:
    """Returns `occlusion_masks` by what `reproject_both` returned."""
    target_masks = _masks(in_source, in_target, tolerance)
    if rounds > 1:
        source_masks = _masks(in_target, in_source, tolerance)
    for _ in range(rounds - 1):
        seen_target, seen_source = target_masks.visible, source_masks.visible
        target_masks = target_masks._replace(blank=_reached(in_target, seen_source, seen_target.shape))
        source_masks = source_masks._replace(blank=_reached(in_source, seen_target, seen_source.shape))
    return target_masks


def _masks(outgoing: Reprojection, incoming: Reprojection, tolerance: float) -> OcclusionMasks:
    """The masks of the view that `outgoing` starts from; `incoming` comes from the other view."""
    height, width = incoming.z.shape
    edge = outgoing.valid & is_inside(outgoing.pixels, height, width)
    index = _cell_index(outgoing.pixels, edge, height, width)
    nearest = _scatter_min(index, outgoing.z, height * width).at[index].get(mode="promise_in_bounds")
    overlap = ~(edge & (outgoing.z > (1 + tolerance + _ROUNDING) * nearest))
    return OcclusionMasks(edge, overlap, _reached(incoming, incoming.valid, outgoing.z.shape))


def _reached(incoming: Reprojection, counts: chex.Array, shape: tuple[int, int]) -> chex.Array:
    """Returns the pixels [H, W] that are a corner of the cell of some incoming pixel of the mask `counts`."""
    height, width = shape
    counts = counts & incoming.valid & is_inside(incoming.pixels, height, width)
    index = _cell_index(incoming.pixels, counts, height, width)
    hit = jnp.zeros(height * width + 1, bool).at[index].set(True, mode="promise_in_bounds")[:-1].reshape(height, width)
    # Cells are named by their upper left corner; the other three follow by shifting.
    hit = hit | jnp.pad(hit, ((0, 0), (1, 0)))[:, :-1]
    return hit | jnp.pad(hit, ((1, 0), (0, 0)))[:-1]


def _cell_index(pixels: chex.Array, valid: chex.Array, height: int, width: int) -> chex.Array:
    """Returns y0 W + x0 of every position's cell; H W, an extra slot, for invalid ones.

    Never a negative index: JAX wraps those to the end of the image.
    """
    column = jnp.clip(jnp.floor(pixels[..., 0] + SNAP), 0, width - 1)
    row = jnp.clip(jnp.floor(pixels[..., 1] + SNAP), 0, height - 1)
    column = jnp.where(valid, column, 0).astype(jnp.int32)
    row = jnp.where(valid, row, 0).astype(jnp.int32)
    return jnp.where(valid, row * width + column, height * width)


def _scatter_min(index: chex.Array, z: chex.Array, cells: int) -> chex.Array:
    """Returns the minimum of z in every cell [cells + 1]; the last slot takes the invalid points."""
    # min propagates NaN, and invalid points may have one: they go to the last slot as +inf.
    z = jax.lax.stop_gradient(jnp.where(index < cells, z, jnp.inf))
    return jnp.full(cells + 1, jnp.inf, z.dtype).at[index].min(z, mode="promise_in_bounds")
