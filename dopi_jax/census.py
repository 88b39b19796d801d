"""The census distance of two images: it compares the order of grey levels around a pixel, which lighting does not change.

After the ternary census transform of Stein (DAGM 2004) in the soft form of UnFlow (Meister, Hur and Roth, AAAI 2018).
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

RADIUS = 3  # of the square of neighbours in pixels, usually
_GREY = 127.5 * np.array([0.2989, 0.587, 0.114], np.float32)  # grey levels, 0 to 255, from colours in [-1, 1]
_SMALL_STEP = 0.81  # squared grey levels: differences near its root and below count as none
_SAME = 0.1  # squared difference of two soft signs that makes half a disagreement
_EPSILON, _POWER = 0.01, 0.4


def census_error(a: chex.Array, b: chex.Array, radius: int = RADIUS) -> chex.Array:
    """Returns how much the neighbourhoods of two images' pixels differ, whatever their brightness and contrast.

    Every pixel is compared with its neighbours, 48 by default: c = d / sqrt(0.81 + d^2), d being the difference of grey
    levels. The two images disagree about a neighbour by (c - c')^2 / (0.1 + (c - c')^2), and the error is (mean disagreement
    + 0.01)^0.4.

    Args:
      a: Image [H, W, 3] in [-1, 1].
      b: Image [H, W, 3] in [-1, 1].
      radius: Of the square of neighbours in pixels.

    Returns:
      Error [H, W] in [0.01^0.4, 1.01^0.4]. Beyond the border the images go on as at it.
    """
    chex.assert_equal_shape([a, b])
    height, width, _ = a.shape
    grey = jnp.stack([a @ _GREY, b @ _GREY])
    padded = jnp.pad(grey, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    side = 2 * radius + 1

    def disagreement(total: chex.Array, place: chex.Array) -> tuple[chex.Array, None]:
        neighbours = jax.lax.dynamic_slice(padded, (0, place // side, place % side), grey.shape)
        difference = neighbours - grey
        of_a, of_b = difference * jax.lax.rsqrt(_SMALL_STEP + difference**2)
        squared = (of_a - of_b) ** 2
        return total + squared / (_SAME + squared), None

    # One neighbour after another, here and in the backward pass: all maps at once would be most of a train step's memory.
    places = jnp.arange(side * side)
    total, _ = jax.lax.scan(jax.checkpoint(disagreement, prevent_cse=False), jnp.zeros((height, width)), places)
    return (total / (side * side - 1) + _EPSILON) ** _POWER
