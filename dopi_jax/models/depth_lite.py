"""The "lite" depth network: pretrained features and a light decoder."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.disparity import mid_range_head, to_disparity
from dopi_jax.models.efficientnet import EfficientNetLite0
from dopi_jax.models.layers import conv, crop_like, upsample_bilinear, upsample_nearest

BOTTLENECK_CHANNELS = 128
DECODER_CHANNELS = (112, 64, 32, 16)  # at strides 16, 8, 4, 2


class LiteDepthNet(nn.Module):
    """U-shaped network around an EfficientNet-Lite0, with four disparity heads at half size and below."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
        del train  # nothing here depends on it
        features = EfficientNetLite0(name="encoder")(images)
        x = nn.elu(conv(BOTTLENECK_CHANNELS, 1, name="bottleneck")(features[-1]))
        disparities: list[jax.Array] = []
        for level, channels in zip(range(5, 1, -1), DECODER_CHANNELS, strict=True):
            skip = features[level - 2]
            x = nn.elu(conv(channels, name=f"before{level}")(x))
            x = jnp.concatenate([crop_like(upsample_nearest(x), skip), skip], axis=-1)
            x = nn.elu(conv(channels, name=f"after{level}")(x))
            disparities.insert(0, to_disparity(mid_range_head(name=f"disp{level}")(x)))
        return [crop_like(upsample_bilinear(disparities[0]), images), *disparities]
