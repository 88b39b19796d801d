"""Bilinear sampling of images at real-valued pixels."""

from typing import Literal

import chex
import jax.numpy as jnp

from dopi_jax.errors import UserError
from dopi_jax.geometry.arrays import float_type

Padding = Literal["zeros", "border"]

SNAP = 1e-3
"""Pixels: a position this little outside the image, or short of a pixel centre, is rounding and is taken as on it."""


def is_inside(pixels: chex.Array, height: int, width: int) -> chex.Array:
    """Returns whether positions lie in the closed rectangle of pixel centres, [0, W-1] x [0, H-1], give or take `SNAP`.

    Args:
      pixels: Positions [..., 2] = (x, y). NaN is outside.
      height: Rows of the image.
      width: Columns of the image.

    Returns:
      Boolean array [...].
    """
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= -SNAP) & (x <= width - 1 + SNAP) & (y >= -SNAP) & (y <= height - 1 + SNAP)


def bilinear_sample(
    image: chex.Array, pixels: chex.Array, padding: Padding = "zeros"
) -> tuple[chex.Array, chex.Array]:
    """Returns the image's values at real-valued pixels, interpolated between the four nearest pixel centres (D24).

    The gradient with respect to the position is the slope inside the cell that holds it; at a pixel centre that of the
    cell to its right and below, so it does not vanish at integers, where every training starts.

    Args:
      image: Image [H, W, C].
      pixels: Positions [..., 2] = (x, y), pixel centres at integers.
      padding: What lies outside the image: "zeros", or "border" for the nearest value on its border.

    Returns:
      Values [..., C], and `inside` [...], True in the closed rectangle [0, W-1] x [0, H-1]. A position that is not
      finite is outside; with "border" it takes the value of the first pixel.

    Raises:
      UserError: The padding has another name.

    Examples:
      >>> image = jnp.array([[[0.0], [10.0]], [[20.0], [30.0]]])
      >>> values, inside = geometry.bilinear_sample(image, jnp.array([[0.5, 0.0], [1.0, 0.5], [2.0, 0.0]]))
      >>> values[:, 0].tolist(), inside.tolist()
      ([5.0, 20.0, 0.0], [True, True, False])
    """
    dtype = float_type(image, pixels)
    image, pixels = jnp.asarray(image), jnp.asarray(pixels, dtype)
    chex.assert_rank(image, 3)
    chex.assert_axis_dimension(pixels, -1, 2)
    if padding not in ("zeros", "border"):
        raise UserError(f"padding is {padding!r}: expected 'zeros' or 'border'")
    height, width, channels = image.shape
    finite = jnp.isfinite(pixels).all(axis=-1)
    inside = finite & is_inside(pixels, height, width)
    x, left, right = _cell(jnp.where(finite, pixels[..., 0], 0.0), width)
    y, top, bottom = _cell(jnp.where(finite, pixels[..., 1], 0.0), height)

    rows = image.reshape(height * width, channels)

    def at(start, column):
        return rows.at[start + column].get(mode="promise_in_bounds").astype(dtype)

    top, bottom, far_x = top * width, bottom * width, 1 - x
    upper = at(top, left) * far_x + at(top, right) * x
    lower = at(bottom, left) * far_x + at(bottom, right) * x
    values = upper * (1 - y) + lower * y
    if padding == "zeros":
        values = jnp.where(inside[..., None], values, 0.0)
    return values, inside


def corners(image: chex.Array, pixels: chex.Array) -> list[tuple[chex.Array, chex.Array]]:
    """Returns the four values that `bilinear_sample` would mix, and their shares.

    Args:
      image: Map [H, W].
      pixels: Finite positions [..., 2] = (x, y); outside the image those of the nearest position inside.

    Returns:
      Four pairs of values [...] and weights [...]; the weights sum to 1.
    """
    height, width = image.shape
    x, left, right = _cell(pixels[..., 0], width)
    y, top, bottom = _cell(pixels[..., 1], height)
    x, y = x[..., 0], y[..., 0]
    values = jnp.asarray(image).reshape(-1)
    return [
        (values.at[row * width + column].get(mode="promise_in_bounds"), row_share * column_share)
        for row, row_share in ((top, 1 - y), (bottom, y))
        for column, column_share in ((left, 1 - x), (right, x))
    ]


def _cell(position: chex.Array, size: int) -> tuple[chex.Array, chex.Array, chex.Array]:
    """Returns, along one axis, the weight [..., 1] of the far neighbour and the indices of the near and the far one."""
    # Not jnp.clip: its gradient is zero on the border itself, where positions are legitimate.
    position = jnp.where(position < 0, 0.0, jnp.where(position > size - 1, size - 1.0, position))
    near = jnp.minimum(jnp.floor(position).astype(jnp.int32), jnp.maximum(size - 2, 0))
    far = jnp.minimum(near + 1, size - 1)
    return (position - near.astype(position.dtype))[..., None], near, far
