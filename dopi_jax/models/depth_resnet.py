"""The paper's depth networks, "resnet6" and "resnet_s6"."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.disparity import to_disparity
from dopi_jax.models.layers import ResidualStage, UpConv, conv, crop_like, upsample_bilinear

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
