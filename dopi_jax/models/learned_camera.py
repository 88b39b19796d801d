"""One focal length, learnt with depth and motion where the camera is not known (`config.data.intrinsics=learned`)."""

from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from dopi_jax import geometry


class LearnedCamera(nn.Module):
    """Assumed intrinsics, corrected by one factor on the focal length.

    Its one parameter, the factor's logarithm, starts at 0 and is always positive as a factor. Flips, crops and image scales
    change intrinsics by known amounts and leave the factor what it is, so that all samples of a camera share it.
    """

    @nn.compact
    def __call__(self, K: chex.Array) -> chex.Array:
        """Returns corrected intrinsics.

        Args:
          K: Intrinsics [B, 3, 3].

        Returns:
          Intrinsics [B, 3, 3]; the principal points are as before.
        """
        log_focal = self.param("log_focal", nn.initializers.zeros, ())
        return jax.vmap(lambda K: geometry.scale_focal_length(K, jnp.exp(log_focal)))(K)


def learned_intrinsics(variables: Mapping[str, Any], K: chex.Array) -> chex.Array:
    """Returns the intrinsics corrected by the trained camera, if there is one.

    Args:
      variables: Variables by network; "camera" is among them if its focal length was learnt.
      K: Intrinsics [B, 3, 3] as the data have them.

    Returns:
      Intrinsics [B, 3, 3].
    """
    return LearnedCamera().apply(variables["camera"], K) if "camera" in variables else K
