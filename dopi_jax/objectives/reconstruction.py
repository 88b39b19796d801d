"""The photometric error of a warped source and the masks of the pixels to compare, for both phases."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.census import census_error
from dopi_jax.config import ReconstructionConfig

Diagnostics = dict[str, chex.Array]


class SourceView(NamedTuple):
    """One source warped to the target.

    Attributes:
      warped: The source warped to the target [H, W, 3].
      error: Photometric error [H, W].
      masks: Which target pixels are visible in the source, by geometry.
      visible: Pixels [H, W] that the objective treats as visible.
      kept: Pixels [H, W] whose error is averaged.
    """

    warped: chex.Array
    error: chex.Array
    masks: geometry.OcclusionMasks
    visible: chex.Array
    kept: chex.Array


def occlusion_masks(
    depth: chex.Array, source_depth: chex.Array, K: chex.Array, source_from_target: chex.Array, config: ReconstructionConfig
) -> geometry.OcclusionMasks:
    """Returns which target pixels are visible in a source, by the rule of the config.

    Args:
      depth: Target depth [H, W].
      source_depth: Source depth [H, W].
      K: Intrinsics [3, 3].
      source_from_target: Pose [4, 4].
      config: The rule and its tolerance.

    Returns:
      Masks without gradient.
    """
    views = depth, source_depth, K, source_from_target
    if config.occlusion_rule == "depth_comparison":
        return geometry.depth_comparison_masks(*views, tolerance=config.occlusion_tolerance)
    return geometry.occlusion_masks(*views, tolerance=config.occlusion_tolerance, rounds=config.occlusion_rounds)


def compare(
    target: chex.Array, warped: chex.Array, masks: geometry.OcclusionMasks, config: ReconstructionConfig
) -> SourceView:
    """Returns the photometric error of a warped source, and its masks (paper eq. 3, 5, 6).

    Args:
      target: Target image [H, W, 3] in [-1, 1].
      warped: A source warped to the target [H, W, 3].
      masks: Which target pixels are visible in the source.
      config: Choices of error and masks.

    Returns:
      A `SourceView`; only `warped` and `error` carry gradient.
    """
    if config.census:
        error = census_error(target, warped)
    else:
        error = losses.photometric_error(target, warped, ssim_weight=config.ssim_weight, penalty=config.penalty)
    # Without "Occ" every pixel is compared, those outside the source image with 0, as in the published code (D25).
    visible = masks.visible if config.occlusion else jnp.ones_like(masks.edge)
    kept = visible
    if config.less_than_mean:
        kept &= losses.less_than_mean_mask(error, visible, config.less_than_mean_factor)
    return SourceView(warped, error, masks, visible, kept)


def reconstruction_loss(view: SourceView, config: ReconstructionConfig) -> chex.Array:
    """Returns the masked photometric error of one source (eq. 7 and 10, or eq. 2 where masks are off).

    Args:
      view: The source warped to the target.
      config: Choices of normalisation.

    Returns:
      Scalar.
    """
    value = losses.masked_mean(view.error, view.kept)
    if config.mask_inside_penalty:
        at_zero = (1 - config.ssim_weight) * losses.robust_penalty(jnp.zeros(()), config.penalty)
        value += at_zero * jnp.sum(~view.kept) / (jnp.sum(view.kept) + 1)
    return value * view.warped.shape[-1] if config.sum_channels else value


def view_diagnostics(view: SourceView) -> Diagnostics:
    """Returns the diagnostics of a view.

    Args:
      view: The source warped to the target.

    Returns:
      `edge`, `overlap`, `blank`, `visible` and `kept`, the shares of pixels that each mask lets pass; and `photometric`, the
      mean error over the visible pixels, which no mask of error makes look better.
    """
    shares = {"visible": view.visible, "kept": view.kept, **view.masks._asdict()}
    # Over the pixels visible by geometry even if the objective uses every pixel, so that variants can be compared.
    return {"photometric": losses.masked_mean(view.error, view.masks.visible), **{k: jnp.mean(v) for k, v in shares.items()}}


def mean_pool(images: chex.Array, factor: int) -> chex.Array:
    """Returns images shrunk by averaging squares of pixels.

    Args:
      images: Images [..., H, W, C]; both sides multiples of the factor.
      factor: Side of the squares.

    Returns:
      Images [..., H / factor, W / factor, C].
    """
    *batch, height, width, channels = images.shape
    squares = images.reshape(*batch, height // factor, factor, width // factor, factor, channels)
    return jnp.mean(squares, axis=(-4, -2))
