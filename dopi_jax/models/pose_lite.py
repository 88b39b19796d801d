"""The "lite" pose network: motion read off pretrained features, of any camera."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.cost_volume import displacement_moments, expected_displacement, normalised
from dopi_jax.models.efficientnet import EfficientNetLite0
from dopi_jax.models.layers import NEAR_ZERO, conv, coordinates_like
from dopi_jax.models.motion_symmetry import costs_of_symmetries, mean_over_symmetries

# Features of images of half the size cost a quarter. A linear fit to the moments of their displacements at stride 4 tells
# the rotation of KITTI odometry's frames as well as patches of the image do; at strides 8 and 16 they reach further, up to a
# sixth of an image 416 pixels wide.
COARSEST = 8
SEARCH_RADIUS = 4  # cells of each stride
SHARPNESS = 20.0  # of the softmax over displacements
MOTION_CHANNELS = (32, 64, 128)  # of the convolutions that take up the costs of strides 4, 8 and 16
# What an output of 1 stands for, so that one rate of learning suits it: a tenth of the first depth (about 1), six degrees.
UNIT = 0.1


class LitePoseNet(nn.Module):
    """Compares pretrained features of target and sources at three strides; the first motion is none.

    The features are not trained: no gradient goes through the encoder and the cost volumes, which are most of the work.
    """

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        images = jnp.concatenate([target, *sources])
        pyramid = EfficientNetLite0(COARSEST, name="encoder")(halved(images))
        x, read = None, []
        for level, (features, channels) in enumerate(zip(pyramid, MOTION_CHANNELS, strict=True), 1):
            of_target, *of_sources = jnp.split(normalised(jax.lax.stop_gradient(features)), 1 + len(sources))
            costs = costs_of_symmetries(of_target, of_sources, SEARCH_RADIUS)
            displacement = expected_displacement(costs, SHARPNESS, SEARCH_RADIUS)
            # Where a displacement is seen tells which motion it belongs to.
            coordinates = coordinates_like(costs)
            seen = [costs, displacement, coordinates]
            x = jnp.concatenate(seen if x is None else [x, *seen], axis=-1)
            x = nn.relu(conv(channels, 3, 2, name=f"conv{level}")(x))
            read.append(displacement_moments(displacement, coordinates))
        pooled = jnp.concatenate([jnp.mean(x, axis=(1, 2)), *read], axis=-1)
        motions = nn.Dense(6, use_bias=False, kernel_init=NEAR_ZERO, name="pose")(pooled)
        return UNIT * mean_over_symmetries(motions, len(sources))


def halved(images: jax.Array) -> jax.Array:
    """Returns the means of 2x2 pixels; a last odd row or column is left out."""
    batch, height, width, channels = images.shape
    cells = images[:, : height // 2 * 2, : width // 2 * 2].reshape(batch, height // 2, 2, width // 2, 2, channels)
    return jnp.mean(cells, axis=(2, 4))
