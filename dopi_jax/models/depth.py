"""Depth networks: one image to a pyramid of disparities."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.errors import UserError
from dopi_jax.models.depth_lite import LiteDepthNet
from dopi_jax.models.disparity import mid_range_head, to_disparity
from dopi_jax.models.layers import (
    ResidualStage,
    UpConv,
    conv,
    crop_like,
    upsample_bilinear,
    upsample_nearest,
)


class DepthNet(nn.Module):
    """Predicts the disparity (inverse depth, up to a global scale) of every pixel of an image.

    The batch normalisations of the residual networks keep running statistics in the collection "batch_stats": `apply` with
    `train=True` needs `mutable=["batch_stats"]`.

    Attributes:
      variant: "resnet6" (54.6 M parameters; "architecture in CC" of the paper), "resnet_s6" (80.9 M, the authors'
        released code; D1), "small" (about 2 M, for a laptop) or "lite" (3.5 M, of which 2.9 M can start from ImageNet).
      axis_name: the mapped axis of data-parallel training, over which batch statistics are averaged; with it,
        `apply` with `train=True` works inside that mapping only.

    Raises:
      UserError: the variant is unknown.
    """

    variant: str = "resnet6"
    axis_name: str | None = None

    VARIANTS: ClassVar[tuple[str, ...]] = ("resnet6", "resnet_s6", "small", "lite")

    def __post_init__(self):
        if self.variant not in self.VARIANTS:
            raise UserError(f"depth network variant is {self.variant!r}, expected one of: {', '.join(self.VARIANTS)}")
        super().__post_init__()

    def setup(self):
        if self.variant == "small":
            self.network = SmallDepthNet()
        elif self.variant == "lite":
            self.network = LiteDepthNet()
        else:
            self.network = DispResNet(*RESIDUAL_BLOCKS[self.variant], self.axis_name)
        nn.share_scope(self, self.network)

    def __call__(self, images: jax.Array, train: bool = False, all_scales: bool | None = None) -> list[jax.Array]:
        """Predicts disparities.

        Args:
          images: [B, H, W, 3] in [-1, 1], of any size.
          train: whether to normalise by batch statistics (and update the running ones).
          all_scales: whether to return all scales or the finest alone; by default as `train` says.

        Returns:
          Disparities in (0.01, 10.01), finest first: [B, H, W, 1], then [B, ceil(H / 2), ceil(W / 2), 1] and so on;
          six in all for the residual networks, five for "small" and "lite".
        """
        disparities = self.network(images, train)
        # Under jit the compiler drops the heads whose output is not returned.
        return disparities if (train if all_scales is None else all_scales) else disparities[:1]


# Channels of the stages at strides 2, 4, ..., 128, and of the decoder at strides 64, 32, ..., 1.
ENCODER_CHANNELS = (32, 64, 128, 256, 512, 512, 512)
DECODER_CHANNELS = (512, 512, 256, 128, 64, 32, 16)
# Residual blocks of encoder stages 2 to 7, and of decoder levels 7 to 1.
RESIDUAL_BLOCKS = {
    "resnet6": ((2, 2, 2, 2, 2, 2), (1, 1, 1, 1, 1, 1, 1)),
    "resnet_s6": ((2, 2, 3, 3, 3, 3), (2, 2, 2, 2, 1, 1, 1)),
}
COARSEST_HEAD = 6
# From this level on, a level also sees the disparity of the next coarser one.
COARSEST_REFINEMENT = 3


class DispResNet(nn.Module):
    """U-shaped residual network with seven stride-2 stages and six disparity heads.

    Heads 4, 3 and 2 feed the next finer level, so a loss on the finest disparity alone trains them and head 1, and
    leaves heads 6 and 5 without any gradient.

    Attributes:
      encoder_blocks: residual blocks of stages 2 to 7.
      decoder_blocks: residual blocks of levels 7 to 1.
      axis_name: see `DepthNet`.
    """

    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
        x = nn.relu(conv(ENCODER_CHANNELS[0], 7, 2, name="conv1_0")(images))
        x = nn.relu(conv(ENCODER_CHANNELS[0], 7, name="conv1_1")(x))
        pyramid = [images, x]  # pyramid[i] has stride 2^i
        for stage, (channels, blocks) in enumerate(zip(ENCODER_CHANNELS[1:], self.encoder_blocks, strict=True), 2):
            x = ResidualStage(channels, blocks, 2, self.axis_name, name=f"conv{stage}")(x, train)
            pyramid.append(x)

        disparities: list[jax.Array] = []
        for level, channels, blocks in zip(range(7, 0, -1), DECODER_CHANNELS, self.decoder_blocks, strict=True):
            skip = pyramid[level - 1]
            # Sizes that are no multiple of the stride were rounded up on the way down.
            inputs = [crop_like(nn.relu(UpConv(channels, name=f"upconv{level}")(x)), skip)]
            if level > 1:
                inputs.append(skip)
            if level <= COARSEST_REFINEMENT:
                inputs.append(crop_like(upsample_bilinear(disparities[0]), skip))
            x = jnp.concatenate(inputs, axis=-1)
            x = ResidualStage(channels, blocks, 1, self.axis_name, name=f"iconv{level}")(x, train)
            if level <= COARSEST_HEAD:
                disparities.insert(0, to_disparity(conv(1, last=True, name=f"disp{level}")(x)))
        return disparities


# A laptop trains this at 128x416: five stages reach stride 32, where one cell sees most of such an image, and the
# channels keep each stage near the cost of the one before.
SMALL_ENCODER_CHANNELS = (16, 32, 64, 128, 192)
# Down to stride 2 only: the full-size level alone took a third of a step, and the finest head is upsampled instead.
SMALL_DECODER_CHANNELS = (128, 64, 32, 16)
SMALL_GROUP = 8  # channels normalised together


class SmallDepthNet(nn.Module):
    """U-shaped network with five normalised stride-2 stages, a light decoder and four disparity heads at half size."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
        del train  # nothing here depends on it
        x = standardised_brightness(images)
        pyramid = [images]
        for stage, channels in enumerate(SMALL_ENCODER_CHANNELS, 1):
            kernel_size = 5 if stage == 1 else 3
            x = SmallEncoderStage(channels, kernel_size, name=f"stage{stage}")(x)
            pyramid.append(x)

        disparities: list[jax.Array] = []
        for level, channels in zip(range(5, 1, -1), SMALL_DECODER_CHANNELS, strict=True):
            skip = pyramid[level - 1]
            x = jnp.concatenate([crop_like(upsample_nearest(x), skip), skip], axis=-1)
            x = nn.elu(conv(channels, name=f"up{level}")(x))
            disparities.insert(0, to_disparity(mid_range_head(name=f"disp{level}")(x)))
        return [crop_like(upsample_bilinear(disparities[0]), images), *disparities]


def standardised_brightness(images: jax.Array) -> jax.Array:
    """Returns grey images of zero mean and unit variance.

    Few drives have few colours and one exposure, which a network takes for properties of the world: after 2,000 steps on
    two drives AbsRel on a third fell from 0.375 to 0.340 when its frames were made grey, and to 0.328 with batch statistics
    of their own.

    Args:
      images: [B, H, W, 3].

    Returns:
      [B, H, W, 1].
    """
    grey = jnp.mean(images, axis=-1, keepdims=True)
    mean, variance = (jnp.mean(x, axis=(1, 2), keepdims=True) for x in (grey, jnp.square(grey)))
    return (grey - mean) / jnp.sqrt(variance - mean**2 + 1e-4)


class SmallEncoderStage(nn.Module):
    """A stride-2 convolution and a residual block, each convolution normalised over groups of channels of one image.

    Not over the batch: that of a laptop is four snippets of different drives, whose statistics differ from step to step and
    from those of any other drive.

    Attributes:
      features: output channels.
      kernel_size: of the stride-2 convolution.
    """

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def normed_conv(x: jax.Array, name: str, kernel_size: int = 3, stride: int = 1) -> jax.Array:
            x = conv(self.features, kernel_size, stride, use_bias=False, name=name)(x)
            normed = nn.GroupNorm(num_groups=None, group_size=SMALL_GROUP, name=f"{name}_norm")(x)
            return normed.astype(x.dtype)

        x = nn.relu(normed_conv(x, "down", self.kernel_size, 2))
        residual = nn.relu(normed_conv(x, "conv1"))
        return nn.relu(x + normed_conv(residual, "conv2"))
