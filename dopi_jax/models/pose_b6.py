"""The paper's pose network, "b6"."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.layers import conv

CHANNELS = (16, 32, 64, 128, 256, 256, 256, 256)
KERNEL_SIZES = (7, 5, 3, 3, 3, 3, 3, 3)
# Keeps the first poses close to no motion, since the last layer is initialised like any other.
POSE_SCALE = 0.01


class PoseNetB6(nn.Module):
    """Eight stride-2 convolutions over all images stacked by channels, and the spatial mean of a linear layer."""

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        x = jnp.concatenate([target, *sources], axis=-1)
        for layer, (channels, kernel_size) in enumerate(zip(CHANNELS, KERNEL_SIZES, strict=True), 1):
            x = nn.relu(conv(channels, kernel_size, 2, name=f"conv{layer}")(x))
        x = conv(6 * len(sources), 1, last=True, name="pose")(x)
        return POSE_SCALE * jnp.mean(x, axis=(1, 2)).reshape(-1, len(sources), 6)
