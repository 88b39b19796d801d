"""Unsupervised depth, camera motion and optical flow with occlusion from 3D geometry, in JAX."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from dopi_jax.trained_model import Model

__version__ = "0.2.0"


def load(what: "str | os.PathLike[str]") -> "Model":
    """Returns a trained model, a function of frames: `load("driving")(frames).depth`.

    Args:
      what: The name of shipped weights, such as "driving"; a file that `dopi-jax export` wrote; or a run's folder.

    Returns:
      The model, see `dopi_jax.trained_model.Model`.

    Raises:
      UserError: It is none of these.
    """
    # Imported here, so that `from dopi_jax import geometry` brings no networks along.
    from dopi_jax.trained_model import load as load_model

    return load_model(what)
