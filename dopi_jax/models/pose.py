"""Pose networks: a target image and its sources to the camera's motion."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.errors import UserError
from dopi_jax.models.layers import NEAR_ZERO, conv, local_correlation


class PoseNet(nn.Module):
    """Predicts the motion from the target camera to each source camera.

    Attributes:
      num_refs: number of source images; two are (t-1, t+1), in this order.
      variant: "b6" (2.18 M parameters, the paper's and the authors' released network) or "small" (0.26 M, sees motion
        through a cost volume and learns rotation in few steps).

    Raises:
      UserError: the variant is unknown.
    """

    num_refs: int = 2
    variant: str = "b6"

    VARIANTS: ClassVar[tuple[str, ...]] = ("b6", "small")

    def __post_init__(self):
        if self.variant not in self.VARIANTS:
            raise UserError(f"pose network variant is {self.variant!r}, expected one of: {', '.join(self.VARIANTS)}")
        super().__post_init__()

    def setup(self):
        self.network = SmallPoseNet() if self.variant == "small" else PoseNetB6()
        nn.share_scope(self, self.network)

    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        """Predicts one pose a source.

        Args:
          target: [B, H, W, 3] in [-1, 1].
          sources: `num_refs` images [B, H, W, 3] in [-1, 1].

        Returns:
          [B, num_refs, 6]: vectors (tx, ty, tz, rx, ry, rz) of `source_from_target` (T_{t->s} of eq. 1), translation
          in the unit of the predicted depth, rotation in radians; see `geometry.pose_from_vector`.

        Raises:
          UserError: the number of sources is not `num_refs`.
        """
        if len(sources) != self.num_refs:
            raise UserError(f"PoseNet got {len(sources)} source images, expected {self.num_refs}: set num_refs to match")
        return self.network(target, sources)


POSE_CHANNELS = (16, 32, 64, 128, 256, 256, 256, 256)
POSE_KERNEL_SIZES = (7, 5, 3, 3, 3, 3, 3, 3)
# Keeps the first poses close to no motion, since the last layer is initialised like any other.
POSE_SCALE = 0.01


class PoseNetB6(nn.Module):
    """Eight stride-2 convolutions over all images stacked by channels, and the spatial mean of a linear layer."""

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        x = jnp.concatenate([target, *sources], axis=-1)
        for layer, (channels, kernel_size) in enumerate(zip(POSE_CHANNELS, POSE_KERNEL_SIZES, strict=True), 1):
            x = nn.relu(conv(channels, kernel_size, 2, name=f"conv{layer}")(x))
        x = conv(6 * len(sources), 1, name="pose")(x)
        return POSE_SCALE * jnp.mean(x, axis=(1, 2)).reshape(-1, len(sources), 6)


# Features are compared at stride 8, where +-4 cells cover +-32 pixels: the motion between frames of a 128x416 video.
FEATURE_CHANNELS = (16, 32, 32)
SEARCH_RADIUS = 4
MOTION_CHANNELS = (64, 96, 128)
# An output of 1 is a translation of a fifth of the first depth (about 1), and a rotation of six degrees: both are
# motions that a step of training can reach, where the 0.01 of `PoseNetB6` leaves translation too small for the depth.
TRANSLATION_SCALE = 0.2
ROTATION_SCALE = 0.1


# The first guess of the motion to t+1, and reversed to t-1: straight ahead, points coming nearer by about a fifteenth of
# the first depth, as on a road. From no motion at all training did not find the way in 200 steps.
FIRST_MOTION = (0.0, 0.0, -0.06, 0.0, 0.0, 0.0)


class SmallPoseNet(nn.Module):
    """Reads the motion to each source off a cost volume, with the same weights for every source.

    Added to it is the mean motion over time, a parameter: what is the same in every frame need not be read off images.

    A cost volume shows displacement directly; stacked images leave the network to discover matching by itself, for
    which rotation, a small part of the photometric error, is too weak a teacher.
    """

    @nn.compact
    def __call__(self, target: jax.Array, sources: Sequence[jax.Array]) -> jax.Array:
        batch = target.shape[0]
        features = MatchingFeatures(name="features")(jnp.concatenate([target, *sources]))
        # From here on the sources are stacked along the batch, each beside its own copy of the target.
        source_features = features[batch:]
        target_features = jnp.tile(features[:batch], (len(sources), 1, 1, 1))
        cost_volume = local_correlation(target_features, source_features, SEARCH_RADIUS)
        # Where a displacement is seen tells which motion it belongs to.
        x = jnp.concatenate([cost_volume, _coordinates_like(cost_volume), target_features], axis=-1)
        for layer, channels in enumerate(MOTION_CHANNELS, 1):
            x = nn.relu(conv(channels, 3, 2, name=f"conv{layer}")(x))
        x = conv(6, 1, kernel_init=NEAR_ZERO, name="pose")(x)
        poses = jnp.mean(x, axis=(1, 2)).reshape(len(sources), batch, 6).swapaxes(0, 1)
        poses = poses * jnp.array([TRANSLATION_SCALE] * 3 + [ROTATION_SCALE] * 3, poses.dtype)
        mean_motion = self.param("mean_motion", lambda _: jnp.array(FIRST_MOTION))
        return poses + _times_of_sources(len(sources))[:, None] * mean_motion


def _times_of_sources(count: int) -> jax.Array:
    """Gives the times of the sources relative to the target, in frames: -1, 1 for two, -2, -1, 1, 2 for four."""
    half = count // 2
    return jnp.array([time for time in range(-half, count - half + 1) if time != 0], jnp.float32)


class MatchingFeatures(nn.Module):
    """Features for matching at stride 8, with zero mean and unit variance over the channels of every cell.

    Their correlation is then a correlation coefficient, in [-1, 1] whatever the contrast of the image.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for layer, channels in enumerate(FEATURE_CHANNELS, 1):
            x = nn.relu(conv(channels, 5 if layer == 1 else 3, 2, name=f"conv{layer}")(x))
        x = conv(FEATURE_CHANNELS[-1], 3, name="project")(x)
        return nn.LayerNorm(use_bias=False, use_scale=False)(x)


def _coordinates_like(x: jax.Array) -> jax.Array:
    """Gives the (x, y) of every cell of [B, H, W, C], from -1 to 1, as [B, H, W, 2]."""
    batch, height, width, _ = x.shape
    columns, rows = jnp.meshgrid(jnp.linspace(-1.0, 1.0, width), jnp.linspace(-1.0, 1.0, height))
    return jnp.broadcast_to(jnp.stack([columns, rows], axis=-1), (batch, height, width, 2))
