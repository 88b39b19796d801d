"""Convolution of [B, H, W, C], computed in the form that is fastest for its size; all forms give the same."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dopi_jax.forms import is_plain

# Up to so many cells of the result, all images together, the convolution is one product of matrices.
FEW_CELLS = 256
# From so many numbers on, input and result together, of so many channels each, the CPU computes the kernel's gradient in
# strips of images. Fewer channels gain from that too if nothing else is computed, but made a step of phase 1 3 % slower.
MANY_NUMBERS = 10_000_000
MANY_CHANNELS = 96
NUMBERS_IN_A_STRIP = 2_500_000

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    precision: jax.lax.PrecisionLike = None,
    **as_usual: object,
) -> jax.Array:
    """Convolves.

    On a CPU, XLA's convolution of 512 channels to 3 x 2 x 4 cells takes a hundred times as long as a product of matrices,
    and the gradient of one to 4 x 2 x 7 cells, where the paper's depth network is coarsest, twice as long. Of large maps the
    gradient with respect to the kernel takes up to three times as long as the sum of the gradients of strips, which the
    processor's cache holds. docs/PERFORMANCE.md has the numbers.

    Args:
      x: [B, H, W, C_in].
      kernel: [k, k, C_in, C_out].
      window_strides: (vertical, horizontal).
      padding: cells of zeros ((above, below), (left, right)).
      precision: of the products.
      **as_usual: what `nn.Conv` passes to `jax.lax.conv_general_dilated` besides, the same for all: no dilation, one group.

    Returns:
      [B, h, w, C_out].
    """
    how = tuple(window_strides), tuple(map(tuple, padding)), precision
    if is_plain():
        return _convolution(x, kernel, *how)
    rows, columns = (
        (size + sum(pad) - taps) // stride + 1
        for size, pad, taps, stride in zip(x.shape[1:3], padding, kernel.shape, window_strides, strict=False)
    )
    cells = x.shape[0] * rows * columns
    if cells <= FEW_CELLS:
        return _product(x, kernel, window_strides, padding, precision, (rows, columns))
    if x.size + cells * kernel.shape[-1] >= MANY_NUMBERS and min(kernel.shape[2:]) >= MANY_CHANNELS:
        return _convolution_of_large_maps(x, kernel, *how)
    return _convolution(x, kernel, *how)


def _product(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    precision: jax.lax.PrecisionLike,
    size: tuple[int, int],
) -> jax.Array:
    """Multiplies the window around every cell of the result by the kernel."""
    (vertical, horizontal), (rows, columns) = window_strides, size
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    seen_by_tap = [
        x[:, i : i + vertical * rows : vertical, j : j + horizontal * columns : horizontal]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    windows = jnp.concatenate(seen_by_tap, axis=-1)
    return jnp.matmul(windows, kernel.reshape(windows.shape[-1], -1), precision=precision)


def _convolution(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: Padding, precision: jax.lax.PrecisionLike
) -> jax.Array:
    dimension_numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=dimension_numbers, precision=precision
    )


_convolution_of_large_maps = jax.custom_vjp(_convolution, nondiff_argnums=(2, 3, 4))


def _forward(x: jax.Array, kernel: jax.Array, *how) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolution(x, kernel, *how), (x, kernel)


def _backward(
    strides: tuple[int, int],
    padding: Padding,
    precision: jax.lax.PrecisionLike,
    inputs: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = inputs
    _, to_x = jax.vjp(lambda x: _convolution(x, kernel, strides, padding, precision), x)

    def to_kernel(x: jax.Array, gradient: jax.Array, padding: Padding = padding) -> jax.Array:
        return jax.vjp(lambda k: _convolution(x, k, strides, padding, precision), kernel)[1](gradient)[0]

    def in_strips(x: jax.Array, gradient: jax.Array) -> jax.Array:
        strips = -(-(x[0].size + gradient[0].size) // NUMBERS_IN_A_STRIP)
        rows = -(-gradient.shape[1] // strips)
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        total = jnp.zeros_like(kernel)
        # Unrolled: inside of a loop XLA's convolutions are slow.
        for image in range(len(x)):
            for top in range(0, gradient.shape[1], rows):
                strip = gradient[image, None, top : top + rows]
                seen_rows = strides[0] * (strip.shape[1] - 1) + kernel.shape[0]
                seen = x[image, None, strides[0] * top :][:, :seen_rows]
                total += to_kernel(seen, strip, padding=((0, 0), (0, 0)))
        return total

    return to_x(gradient)[0], jax.lax.platform_dependent(x, gradient, cpu=in_strips, default=to_kernel)


_convolution_of_large_maps.defvjp(_forward, _backward)
