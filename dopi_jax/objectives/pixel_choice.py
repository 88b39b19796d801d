"""Per-pixel minimum over the sources and auto-masking, the rules of monodepth2, beside the paper's masks."""

import chex
import jax
import jax.numpy as jnp

from dopi_jax import losses
from dopi_jax.config import LossConfig
from dopi_jax.objectives.reconstruction import SourceView, reconstruction_loss


def choose_pixels(views: SourceView, target: chex.Array, sources: chex.Array, config: LossConfig) -> SourceView:
    """Returns the views with fewer pixels kept, where the config asks for the per-pixel minimum or the auto-mask.

    Args:
      views: A `SourceView` with a leading [S], whose `kept` are the pixels that the paper's masks let pass.
      target: Target image [H, W, 3] in [-1, 1].
      sources: Source images [S, H, W, 3] in [-1, 1].
      config: `per_pixel_minimum` keeps a pixel in the one source whose error is least there. `auto_mask` keeps it only where
        warping makes the error smaller than that of the source as it is, with the minimum: of the best such source. This
        leaves out what moves with the camera, and what has no texture.

    Returns:
      A `SourceView`; a pixel outside all source images is not kept.
    """
    kept = views.kept
    if config.per_pixel_minimum:
        # Outside a source there is nothing to compare with, so that another source is the better one.
        kept &= views.masks.edge
        error = jnp.where(kept, jax.lax.stop_gradient(views.error), jnp.inf)
        kept &= jnp.arange(len(sources))[:, None, None] == jnp.argmin(error, axis=0)
    if config.auto_mask:
        kept &= jax.lax.stop_gradient(views.error) < _unwarped_error(target, sources, config)
    return views._replace(kept=kept)


def sources_loss(views: SourceView, config: LossConfig) -> chex.Array:
    """Returns the photometric error of all sources (paper eq. 7), or of the best source of each pixel.

    Args:
      views: As `choose_pixels` returns it.
      config: Choices of normalisation.

    Returns:
      Scalar: the sum over the sources of the mean over the pixels kept in each; with the per-pixel minimum the mean over all
      pixels kept, times the number of sources, so that the terms' weights mean the same.
    """
    if config.per_pixel_minimum:
        count = len(views.kept)
        joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), views)
        return count * reconstruction_loss(joined, config)
    return jnp.sum(jax.vmap(lambda view: reconstruction_loss(view, config))(views))


def _unwarped_error(target: chex.Array, sources: chex.Array, config: LossConfig) -> chex.Array:
    """The error of the sources as they are, [S, H, W], or the least of them, [1, H, W]."""
    error = jax.vmap(
        lambda source: losses.photometric_error(target, source, ssim_weight=config.ssim_weight, penalty=config.penalty)
    )(sources)
    return jnp.min(error, axis=0, keepdims=True) if config.per_pixel_minimum else error
