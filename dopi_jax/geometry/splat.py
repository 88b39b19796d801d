"""Forward splatting: pixels are moved to where they appear in another view (warping samples from there instead)."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.sampling import SNAP
from dopi_jax.geometry.warp import reproject


def splat_by_depth(
    target_image: chex.Array,
    target_depth: chex.Array,
    K: chex.Array,
    source_from_target: chex.Array,
    *,
    source_K: chex.Array | None = None,
    source_shape: tuple[int, int] | None = None,
    inverse_depth: bool = False,
    tolerance: float = 0.05,
) -> tuple[chex.Array, chex.Array]:
    """Returns the target image as the source camera would see it: every pixel carried along by its depth, the nearest wins.

    A pixel gives its colour to the four pixel centres around the place where it lands, with the weights w of bilinear
    interpolation; a pixel centre takes sum(w I) / sum(w) over those that are not behind the nearest one. The depth map
    belongs to the image that is moved, as everywhere in this library; `warp_by_depth` is the way back.

    Args:
      target_image: Target image [H, W, C].
      target_depth: Target depth [H, W].
      K: Intrinsics [3, 3] of the target, and of the source unless that has its own.
      source_from_target: Pose [4, 4].
      source_K: Intrinsics [3, 3] of the source.
      source_shape: (H', W') of the source, that of the target if None.
      inverse_depth: Whether `target_depth` holds inverse depth, 0 for what is infinitely far.
      tolerance: Relative difference of depth up to which pixels that meet are mixed, as those of one surface.

    Returns:
      The image [H', W', C], and `covered` [H', W'], True where some pixel arrived; the image is 0 elsewhere. Gradient goes
      to the colours, and through the weights to depth, pose and intrinsics; which pixel is the nearest has none. Where the
      scene grows, single pixels stay uncovered.

    Examples:
      The camera moves to the right: the near 7 moves two pixels to the left, over the far 1, and uncovers a pixel.

      >>> K = [[10, 0, 1], [0, 10, 0], [0, 0, 1]]
      >>> image, depth = jnp.array([[[1.0], [2.0], [7.0], [4.0]]]), jnp.array([[100.0, 100.0, 5.0, 100.0]])
      >>> seen, covered = geometry.splat_by_depth(image, depth, K, geometry.pose_from_vector([-1, 0, 0, 0, 0, 0]))
      >>> [round(value, 2) for value in seen[0, :, 0].tolist()], covered.tolist()
      ([7.0, 2.0, 4.0, 4.0], [[True, True, True, True]])
    """
    target_image = as_float(target_image)
    chex.assert_rank(target_image, 3)
    chex.assert_equal_shape_prefix([target_image, jnp.asarray(target_depth)], 2)
    height, width = source_shape or target_image.shape[:2]
    reprojected = reproject(target_depth, K, source_from_target, source_K, inverse_depth)
    z = jax.lax.stop_gradient(reprojected.z)
    corners = [
        (jnp.where(weight > SNAP, index, height * width), weight)
        for index, weight in corner_shares(reprojected.pixels, reprojected.valid, height, width)
    ]
    nearest = jnp.full(height * width + 1, jnp.inf, z.dtype)
    for index, _ in corners:
        nearest = nearest.at[index].min(jnp.where(index < height * width, z, jnp.inf), mode="promise_in_bounds")
    total = jnp.zeros((height * width + 1, target_image.shape[2] + 1), target_image.dtype)
    for index, weight in corners:
        in_view = z <= (1 + tolerance) * nearest.at[index].get(mode="promise_in_bounds")
        index = jnp.where(in_view, index, height * width)
        shares = weight[..., None].astype(target_image.dtype)
        total = total.at[index].add(jnp.concatenate([shares * target_image, shares], axis=-1), mode="promise_in_bounds")
    total = total[:-1].reshape(height, width, -1)
    covered = total[..., -1] > 0
    return total[..., :-1] / jnp.where(covered, total[..., -1], 1.0)[..., None], covered


def corner_shares(
    pixels: chex.Array, valid: chex.Array, height: int, width: int
) -> list[tuple[chex.Array, chex.Array]]:
    """Returns the four pixel centres around every position, and the weights of bilinear interpolation between them.

    Args:
      pixels: Positions [..., 2] = (x, y).
      valid: Mask [...]: positions to use.
      height: Rows of the image.
      width: Columns of the image.

    Returns:
      Four pairs of indices y W + x [...] and weights [...]. An invalid position, or one outside the image, has the weight
      0 and the index H W, an extra slot.
    """
    corner = jnp.floor(pixels)
    share = pixels - corner
    found = []
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[..., 0] + dx, corner[..., 1] + dy
            weight = jnp.abs(1 - dx - share[..., 0]) * jnp.abs(1 - dy - share[..., 1])
            counts = valid & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            column, row = (jnp.where(counts, c, 0).astype(jnp.int32) for c in (x, y))
            found.append((jnp.where(counts, row * width + column, height * width), jnp.where(counts, weight, 0.0)))
    return found
