"""The disparity heads that all depth networks share."""

import jax
from flax import linen as nn

from dopi_jax.models.layers import NEAR_ZERO, conv

# Disparity lies in (0.01, 10.01), so that depth = 1 / disparity lies in (0.1, 100).
DISPARITY_RANGE = 10.0
DISPARITY_FLOOR = 0.01
# sigmoid(-2) = 0.12 puts the first depth near 0.8, mid-range on the scale of logarithms: a head that starts at the
# sigmoid's middle starts at depth 0.2, and soon saturates.
MID_RANGE = -2.0
SATURATED = 1e-3  # of the sigmoid's slope, which is at most 1/4


def to_disparity(logits: jax.Array) -> jax.Array:
    """Maps a head's output to the range of disparities."""
    return DISPARITY_RANGE * nn.sigmoid(logits) + DISPARITY_FLOOR


def is_saturated(disparity: jax.Array) -> jax.Array:
    """Says where a head's output is so near to an end of its range that the sigmoid hardly passes gradient."""
    share = (disparity - DISPARITY_FLOOR) / DISPARITY_RANGE
    return share * (1 - share) < SATURATED


def mid_range_head(name: str) -> nn.Conv:
    """Makes a layer [B, H, W, C] -> logits [B, H, W, 1] whose first disparities are all in the middle of the range."""
    return conv(1, kernel_init=NEAR_ZERO, bias_init=nn.initializers.constant(MID_RANGE), last=True, name=name)
