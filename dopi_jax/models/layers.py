"""Layers that the networks share, on [B, H, W, C].

A layer computes in the precision of its kernel: kernels in bfloat16 give a network that computes in bfloat16.
Normalisation is float32 inside, and so are the last layers, whose results are measured in pixels and metres.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import dtypes

from dopi_jax.forms import is_plain
from dopi_jax.models.batch_norm import BatchNorm
from dopi_jax.models.convolution import convolve

XAVIER_UNIFORM = nn.initializers.xavier_uniform()
# An output layer that starts near zero: the first predictions are the same everywhere, set by the bias alone.
NEAR_ZERO = nn.initializers.normal(0.01)


def conv(
    features: int,
    kernel_size: int = 3,
    stride: int = 1,
    *,
    padding: Sequence[tuple[int, int]] | None = None,
    use_bias: bool = True,
    kernel_init: nn.initializers.Initializer = XAVIER_UNIFORM,
    bias_init: nn.initializers.Initializer = nn.initializers.zeros,
    last: bool = False,
    name: str | None = None,
) -> nn.Conv:
    """Makes a square convolution, Xavier-uniform with zero bias.

    Its padding is not "SAME", which pads one pixel less on the left when a stride-2 convolution meets an even size.

    Args:
      features: output channels.
      kernel_size: side of the kernel, odd.
      stride: 1, or 2 to halve the size (rounded up).
      padding: cells of zeros, ((above, below), (left, right)); by default `kernel_size // 2` on every side.
      use_bias: False where a normalisation or a residual sum follows.
      kernel_init: initialiser of the kernel [kernel_size, kernel_size, C_in, features].
      bias_init: initialiser of the bias [features].
      last: whether the result is a network's and not another layer's input; it is float32 then, whatever the kernel is.
      name: name in the parameter tree.

    Returns:
      A layer [B, H, W, C_in] -> [B, ceil(H / stride), ceil(W / stride), features].
    """
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        strides=stride,
        padding=kernel_size // 2 if padding is None else padding,
        use_bias=use_bias,
        kernel_init=kernel_init,
        bias_init=bias_init,
        dtype=jnp.float32 if last else None,
        promote_dtype=dtypes.promote_dtype if last else as_kernel,
        conv_general_dilated=convolve,
        name=name,
    )


def as_kernel(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, **_: object
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Brings input and bias into the kernel's precision; a `promote_dtype` of Flax."""
    return x.astype(kernel.dtype), kernel, None if bias is None else bias.astype(kernel.dtype)


class ResidualStage(nn.Module):
    """Residual blocks in a row, the first of which changes the size and the number of channels.

    Only the first block's projected shortcut is normalised, as in the depth networks that the paper builds on.

    Attributes:
      features: output channels.
      blocks: number of residual blocks.
      stride: of the first block.
      axis_name: see `BatchNorm`.
    """

    features: int
    blocks: int
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for index in range(self.blocks):
            stride = self.stride if index == 0 else 1
            x = ResidualBlock(self.features, stride, self.axis_name, name=f"block{index}")(x, train)
        return x


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added again.

    Attributes:
      features: output channels.
      stride: of the first convolution and of the shortcut.
      axis_name: see `BatchNorm`.
    """

    features: int
    stride: int = 1
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shortcut = x
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = conv(self.features, 1, self.stride, use_bias=False, name="shortcut")(x)
            shortcut = BatchNorm(self.axis_name, name="shortcut_norm")(shortcut, train).astype(shortcut.dtype)
        x = nn.relu(conv(self.features, 3, self.stride, use_bias=False, name="conv1")(x))
        x = conv(self.features, 3, use_bias=False, name="conv2")(x)
        return nn.relu(x + shortcut)


class UpConv(nn.Module):
    """Transposed 3x3 convolution that doubles the size: stride 2, padding 1, output padding 1.

    On a CPU it is computed as four convolutions, one for each place in the 2x2 groups of the output, without any product
    with zero: the usual form's weight gradient is a dilated convolution, which takes the CPU several times as long as
    everything else in the decoder. A GPU's library has the usual form.

    Attributes:
      features: output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, 2H, 2W, features]."""
        kernel = self.param("kernel", XAVIER_UNIFORM, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = as_kernel(x, kernel, bias)
        return (_transposed_convolution(x, kernel) if is_plain() else _in_four_phases(x, kernel)) + bias


def _transposed_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B, H, W, C_in] -> [B, 2H, 2W, C_out], as the compiler has it."""
    return jax.lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        window_strides=(1, 1),
        padding=((1, 2), (1, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _in_four_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same, one convolution for each place in the 2x2 groups of the output."""
    # Along one axis out[2j] = in[j] k[1] and out[2j + 1] = in[j] k[2] + in[j + 1] k[0].
    even, odd = slice(1, 2), slice(None, None, -2)
    rows = [
        jnp.stack([_convolve_to_the_right(x, kernel[vertical, horizontal]) for horizontal in (even, odd)], axis=3)
        for vertical in (even, odd)
    ]
    batch, height, width, _ = x.shape
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, kernel.shape[-1])


def _convolve_to_the_right(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves every cell with its neighbours below and on the right: [B, H, W, C_in] -> [B, H, W, C_out]."""
    return convolve(x, kernel, window_strides=(1, 1), padding=[(0, taps - 1) for taps in kernel.shape[:2]])


def upsample_bilinear(x: jax.Array, factor: int = 2) -> jax.Array:
    """Enlarges bilinearly, keeping the image's borders in place (output pixel j lies at (j + 0.5) / factor - 0.5).

    Args:
      x: [B, H, W, C].
      factor: Of the size, 1 or even.

    Returns:
      [B, factor H, factor W, C].
    """
    return x if factor == 1 else _enlarged_along(_enlarged_along(x, factor, 1), factor, 2)


def _enlarged_along(x: jax.Array, factor: int, axis: int) -> jax.Array:
    """`upsample_bilinear` along one axis: between two cells lie `factor` pixels, at all borders half as many of one cell."""
    size = x.shape[axis]
    first, last = (jax.lax.slice_in_dim(x, cell, cell + 1, axis=axis) for cell in (0, size - 1))
    cells = jnp.concatenate([first, x, last], axis=axis)
    before, after = (jax.lax.slice_in_dim(cells, start, start + size + 1, axis=axis) for start in (0, 1))
    share = jnp.asarray((np.arange(factor) + 0.5) / factor, x.dtype).reshape([-1] + [1] * (x.ndim - axis - 1))
    before, change = (jnp.expand_dims(cells, axis + 1) for cells in (before, after - before))
    pixels = before + share * change
    pixels = pixels.reshape(*x.shape[:axis], (size + 1) * factor, *x.shape[axis + 1 :])
    return jax.lax.slice_in_dim(pixels, factor // 2, factor // 2 + size * factor, axis=axis)


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Doubles the size by repeating every pixel.

    Args:
      x: [B, H, W, C].

    Returns:
      [B, 2H, 2W, C].
    """
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)


def coordinates_like(x: jax.Array) -> jax.Array:
    """Gives every cell its coordinates in the image.

    Args:
      x: [B, H, W, C].

    Returns:
      (x, y) from -1 to 1, as [B, H, W, 2].
    """
    batch, height, width, _ = x.shape
    columns, rows = jnp.meshgrid(jnp.linspace(-1.0, 1.0, width), jnp.linspace(-1.0, 1.0, height))
    return jnp.broadcast_to(jnp.stack([columns, rows], axis=-1), (batch, height, width, 2))


def crop_like(x: jax.Array, reference: jax.Array) -> jax.Array:
    """Cuts rows at the bottom and columns on the right.

    Args:
      x: [B, H, W, C].
      reference: an array [B, h, w, any] with h <= H and w <= W.

    Returns:
      [B, h, w, C].
    """
    return x[:, : reference.shape[1], : reference.shape[2]]
