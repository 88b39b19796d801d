"""Convolution of every channel of [B, H, W, C] by itself, in the form that suits the device; all forms give the same.

XLA's grouped convolution takes the CPU 10 to 50 times as long as the same sum of shifted and weighted copies, which it fuses
into one loop. A GPU has fast grouped convolutions, and compiles the many unrolled terms of that sum for minutes.
"""

import functools
import math

import jax
import jax.numpy as jnp

from dopi_jax.forms import is_plain

# The kernel's gradient is a sum over all cells. XLA's loop over them is slow on a CPU, the sum of so many pieces of the
# images, which is left to be summed over a piece's cells, is not: a third to a sixth of the time.
PIECES = 8

Padding = tuple[tuple[int, int], tuple[int, int]]


def same_padding(size: tuple[int, int], kernel_size: int, stride: int) -> Padding:
    """Returns TensorFlow's padding "SAME", which at stride 2 of an even size is one cell less above and on the left.

    Args:
      size: (height, width) of what is convolved.
      kernel_size: side of the kernel.
      stride: 1 or 2.

    Returns:
      Cells of zeros ((above, below), (left, right)), so that the result has the size over the stride, rounded up.
    """
    padding = []
    for cells in size:
        total = max((-(-cells // stride) - 1) * stride + kernel_size - cells, 0)
        padding.append((total // 2, total - total // 2))
    return tuple(padding)


def depthwise_convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolves with `same_padding`.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C].
      stride: 1 or 2.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), C].
    """
    return grouped_convolution(x, kernel, stride) if is_plain() else _convolve(x, kernel, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    forms = (functools.partial(form, stride=stride) for form in (shifted_sum, grouped_convolution))
    return _by_device(*forms, x, kernel)


def shifted_sum(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`depthwise_convolve` for a CPU: a weighted sum of shifted copies."""
    return sum(weight * cells for weight, cells in zip(_flat(kernel), _seen_by_taps(x, len(kernel), stride), strict=True))


def grouped_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`depthwise_convolve` for a GPU: the compiler's convolution with a group for every channel."""
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        same_padding(x.shape[1:3], len(kernel), stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(x, kernel, stride), (x, kernel)


def _backward(stride: int, inputs: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    def of_sum(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _to_x(x, kernel, gradient, stride), _to_kernel(x, kernel, gradient, stride)

    def of_convolution(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vjp(functools.partial(grouped_convolution, stride=stride), x, kernel)[1](gradient)

    return _by_device(of_sum, of_convolution, *inputs, gradient)


_convolve.defvjp(_forward, _backward)


def _by_device(on_cpu, elsewhere, *arguments):
    return jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=elsewhere)


def _to_x(x: jax.Array, kernel: jax.Array, gradient: jax.Array, stride: int) -> jax.Array:
    """Gives the gradient with respect to x: a sum of shifted copies for each place in the stride x stride groups of x."""
    side, (batch, height, width, channels) = len(kernel), x.shape
    (above, _), (left, _) = same_padding((height, width), side, stride)
    rows, columns = -(-height // stride), -(-width // stride)
    padded = jnp.pad(gradient, ((0, 0), (side, side), (side, side), (0, 0)))

    def at(row: int, column: int) -> jax.Array:
        # The tap (i, j) of the result's cell (p, q) saw the cell (stride p + i - above, stride q + j - left).
        seen_by = [
            (kernel[i, j], side + (row + above - i) // stride, side + (column + left - j) // stride)
            for i in range((row + above) % stride, side, stride)
            for j in range((column + left) % stride, side, stride)
        ]
        return sum(weight * padded[:, top : top + rows, first : first + columns] for weight, top, first in seen_by)

    groups = jnp.stack([jnp.stack([at(row, column) for column in range(stride)], axis=3) for row in range(stride)], axis=2)
    return groups.reshape(batch, stride * rows, stride * columns, channels)[:, :height, :width]


def _to_kernel(x: jax.Array, kernel: jax.Array, gradient: jax.Array, stride: int) -> jax.Array:
    """Gives the gradient with respect to the kernel, of `PIECES` pieces (whole images, or bands of rows of few images)."""
    batch, rows = gradient.shape[:2]
    bands = math.gcd(rows, max(1, PIECES // batch))
    gradient = gradient.astype(jnp.float32)

    def of_tap(cells: jax.Array) -> jax.Array:
        products = (cells * gradient).reshape(batch * bands, rows // bands, *gradient.shape[2:])
        return sum(products)

    # Without the barrier the two sums are made one again.
    sums = jax.lax.optimization_barrier(jnp.stack([of_tap(cells) for cells in _seen_by_taps(x, len(kernel), stride)]))
    return jnp.sum(sums, axis=(1, 2)).reshape(kernel.shape).astype(kernel.dtype)


def _seen_by_taps(x: jax.Array, kernel_size: int, stride: int) -> list[jax.Array]:
    """Gives the cells of x that each tap of the kernel sees, row by row of the kernel."""
    rows, columns = (-(-size // stride) for size in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), *same_padding(x.shape[1:3], kernel_size, stride), (0, 0)))
    return [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(kernel_size)
        for j in range(kernel_size)
    ]


def _flat(kernel: jax.Array) -> jax.Array:
    return kernel.reshape(-1, kernel.shape[-1])
