"""The "small" pose network: motion read off image patches, of a car."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.cost_volume import displacement_moments, expected_displacement
from dopi_jax.models.layers import NEAR_ZERO, conv, coordinates_like
from dopi_jax.models.motion_symmetry import MIRROR, costs_of_symmetries, mean_over_symmetries

# Frame-to-frame rotation of a car moves a 128x416 image by a pixel or two, too small a part of a cell of untrained features
# at stride 8. Patches of the image at stride 4, made free of brightness and contrast, show it at once: on 200 pairs of
# KITTI odometry 03, a linear fit to the moments below leaves 0.0020 rad of the yaw's 0.0064, where features left 0.0053.
PATCH_STRIDE = 4
PATCH_SIDE = 5
SEARCH_RADIUS = 4  # cells, so 16 pixels
# Of the softmax over displacements: correlation coefficients differ by a few tenths, which this makes decisive.
SHARPNESS = 15.0
MOTION_CHANNELS = (64, 96, 128)
# What an output of 1 stands for: a motion of the size that occurs, so that one rate of learning suits all six. Forwards that
# is a fifth of the first depth (about 1), in turns six degrees. Sideways and upwards a car hardly moves; what the image
# shows of it is hard to tell from rotation, and at the scale of the forward motion it was learnt with the wrong sign. The
# mean motion is kept in the same unit: as it was, each step of training moved it by half a centimetre.
SCALES = (0.03, 0.03, 0.2, 0.1, 0.1, 0.1)
# The first guess of the motion to t+1, and reversed to t-1: straight ahead, points coming nearer by about a fifteenth of
# the first depth, as on a road. From no motion at all training did not find the way in 200 steps.
FIRST_MOTION = (0.0, 0.0, -0.06, 0.0, 0.0, 0.0)
# Of a motion's deviation from the mean motion over the sources, what is kept. A car's motion hardly changes within a tenth
# of a second: on a drawn street the change that was read off two pairs of images was three times the true one, and the least
# squares fit of one to the other was 0.1 to 0.36 in forward motion and turns.
KEPT_CHANGE = 0.3


class SmallPoseNet(nn.Module):
    """Reads the motion to each source off a cost volume of image patches, with the same weights for every source.

    The cost volume also gives the displacement of every cell directly, whose moments over the image, as a small motion
    makes them, depend linearly on that motion: the last layer can read rotation off them before any other has learnt.

    It is read in all four ways of `motion_symmetry`: without the mirror, training on drawn streets leaves a sideways drift
    that all frames share.

    A learned mean motion over time is added, with only the components that mirroring leaves unchanged. Of the difference
    between the sources a part is kept: a car's motion is steady.
    """

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        target_patches, *source_patches = (normalised_patches(images) for images in (target, *sources))
        costs = costs_of_symmetries(target_patches, source_patches, SEARCH_RADIUS)
        displacement = expected_displacement(costs, SHARPNESS, SEARCH_RADIUS)
        # Where a displacement is seen tells which motion it belongs to.
        coordinates = coordinates_like(costs)
        x = jnp.concatenate([costs, displacement, coordinates], axis=-1)
        for layer, channels in enumerate(MOTION_CHANNELS, 1):
            x = nn.relu(conv(channels, 3, 2, name=f"conv{layer}")(x))
        pooled = jnp.concatenate([jnp.mean(x, axis=(1, 2)), displacement_moments(displacement, coordinates)], axis=-1)
        motions = nn.Dense(6, use_bias=False, kernel_init=NEAR_ZERO, name="pose")(pooled)
        poses = mean_over_symmetries(motions, len(sources))
        mean_motion = self.param("mean_motion", lambda _: jnp.array(FIRST_MOTION) / jnp.array(SCALES))
        mean_motion = mean_motion * (1 + jnp.array(MIRROR)) / 2
        times = _times_of_sources(len(sources))[:, None]
        velocities = poses / times
        mean = jnp.mean(velocities, axis=1, keepdims=True)
        poses = times * (mean + KEPT_CHANGE * (velocities - mean) + mean_motion)
        return poses * jnp.array(SCALES, poses.dtype)


def normalised_patches(images: jax.Array) -> jax.Array:
    """Returns the patch around every cell of a shrunk grey image, with zero mean and unit variance.

    The correlation of two is the zero-mean normalised cross-correlation of stereo matching, in [-1, 1].

    Args:
      images: [B, H, W, 3] in [-1, 1]; rows and columns beyond a multiple of the stride are left out.

    Returns:
      [B, H // stride, W // stride, side * side].
    """
    height, width = images.shape[1] // PATCH_STRIDE, images.shape[2] // PATCH_STRIDE
    grey = jnp.mean(images, axis=-1)[:, : height * PATCH_STRIDE, : width * PATCH_STRIDE]
    cells = jnp.mean(grey.reshape(-1, height, PATCH_STRIDE, width, PATCH_STRIDE), axis=(2, 4))
    margin = (PATCH_SIDE // 2, PATCH_SIDE // 2)
    padded = jnp.pad(cells, ((0, 0), margin, margin), mode="edge")
    offsets = [(y, x) for y in range(PATCH_SIDE) for x in range(PATCH_SIDE)]
    patches = jnp.stack([padded[:, y : y + height, x : x + width] for y, x in offsets], axis=-1)
    centred = patches - jnp.mean(patches, axis=-1, keepdims=True)
    # Contrast below a grey level of 1 in 100 is noise, and is not raised to one.
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-4)


def _times_of_sources(count: int) -> jax.Array:
    """Gives the times of the sources relative to the target, in frames: -1, 1 for two, -2, -1, 1, 2 for four."""
    half = count // 2
    return jnp.array([time for time in range(-half, count - half + 1) if time != 0], jnp.float32)
