"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite variant has no squeeze-and-excitation), as an encoder of images.

Its batch normalisations are folded into the convolutions before them, so that nothing here has statistics. Pretrained
weights come from `dopi_jax.interop.imagenet`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from dopi_jax.models.depthwise import depthwise_convolve, same_padding
from dopi_jax.models.layers import XAVIER_UNIFORM, as_kernel, conv


class Block(NamedTuple):
    """An inverted residual block.

    Attributes:
      kernel_size: of the depthwise convolution.
      stride: of the depthwise convolution.
      expansion: factor of the channels inside.
      features: output channels.
    """

    kernel_size: int
    stride: int
    expansion: int
    features: int


STEM_FEATURES = 32
# Stages of (repeats, first block); the others of a stage have stride 1.
STAGES = (
    (1, Block(3, 1, 1, 16)),
    (2, Block(3, 2, 6, 24)),
    (2, Block(5, 2, 6, 40)),
    (3, Block(3, 2, 6, 80)),
    (3, Block(5, 1, 6, 112)),
    (4, Block(5, 2, 6, 192)),
    (1, Block(3, 1, 6, 320)),
)
BLOCKS = tuple(block._replace(stride=block.stride if i == 0 else 1) for repeats, block in STAGES for i in range(repeats))
# What the network was trained on: (image - mean) / deviation of images in [0, 1], 127 and 128 of 255.
IMAGE_MEAN, IMAGE_DEVIATION = 0.498, 0.502


class EfficientNetLite0(nn.Module):
    """Features of images at strides 2, 4, 8, 16 and 32, of 16, 24, 40, 112 and 320 channels.

    Attributes:
      coarsest: the largest stride; blocks beyond it are left out.
    """

    coarsest: int = 32

    @nn.compact
    def __call__(self, images: jax.Array) -> list[jax.Array]:
        """[B, H, W, 3] in [-1, 1] -> [B, ceil(H / stride), ceil(W / stride), C], finest first."""
        x = ((images + 1) / 2 - IMAGE_MEAN) / IMAGE_DEVIATION
        x = relu6(conv(STEM_FEATURES, 3, 2, padding=same_padding(x.shape[1:3], 3, 2), name="stem")(x))
        stride, of_stride = 2, {}
        for index, block in enumerate(BLOCKS):
            stride *= block.stride
            if stride > self.coarsest:
                break
            x = InvertedResidual(block, name=f"block{index}")(x)
            of_stride[stride] = x
        return list(of_stride.values())


class InvertedResidual(nn.Module):
    """1x1 convolution to many channels, depthwise convolution, and 1x1 convolution back, around which the input is added.

    Attributes:
      block: see `Block`.
    """

    block: Block

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        block, shortcut = self.block, x
        if block.expansion > 1:
            x = relu6(pointwise(block.expansion * x.shape[-1], name="expand")(x))
        x = relu6(DepthwiseConv(block.kernel_size, block.stride, name="depthwise")(x))
        x = pointwise(block.features, name="project")(x)
        return x + shortcut if block.stride == 1 and x.shape == shortcut.shape else x


class DepthwiseConv(nn.Module):
    """Convolution of every channel by itself.

    Attributes:
      kernel_size: side of the kernel.
      stride: 1 or 2.
    """

    kernel_size: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), C]."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.kernel_size, self.kernel_size, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        x, kernel, bias = as_kernel(x, kernel, bias)
        return depthwise_convolve(x, kernel, self.stride) + bias


def pointwise(features: int, name: str) -> nn.Dense:
    """Makes a 1x1 convolution [B, H, W, C] -> [B, H, W, features], as a product of matrices."""
    return nn.Dense(features, kernel_init=XAVIER_UNIFORM, promote_dtype=as_kernel, name=name)


def relu6(x: jax.Array) -> jax.Array:
    """Clips to [0, 6]."""
    return jnp.clip(x, 0, 6)
