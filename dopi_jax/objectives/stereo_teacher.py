"""Depth taught by motion stereo: what neighbouring frames, along the motion of followed corners, make of a known depth."""

import itertools

import chex
import jax
import jax.numpy as jnp

from dopi_jax import losses
from dopi_jax.motion_stereo import Sweep, refine_disparity
from dopi_jax.objectives.matched_motion import match_motions

_FACTORS, _SPAN = 13, 0.72  # of the sweep: by half and twice, in steps of an eighth
_STEPS = (1, 4, 16)  # pixels, across which differences of disparity are compared
_DIFFERENCES = 0.5  # their weight


def stereo_teachers(
    known_disparity: chex.Array,
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    matches: chex.Array,
    otherwise: chex.Array,
) -> Sweep:
    """Returns the disparity that the sources of snippets tell, near one that is known.

    Args:
      known_disparity: Of the targets [B, H, W], positive; its unit is kept.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, S, H, W, 3] in [-1, 1].
      K: Intrinsics [B, 3, 3].
      matches: [B, S, N, 4], as `match_motions` takes them.
      otherwise: Poses [B, S, 4, 4], of any snippet whose motion the matches do not tell: it has no teacher.

    Returns:
      A `Sweep` with a leading [B], without gradient.
    """
    motions = match_motions(1 / known_disparity, matches, K, otherwise)
    refine = jax.vmap(lambda *snippet: refine_disparity(*snippet, factors=_FACTORS, span=_SPAN))
    swept = refine(known_disparity, target, sources, K, motions.source_from_target)
    is_reliable = jnp.all(motions.is_reliable, axis=1)
    return swept._replace(is_found=swept.is_found & is_reliable[:, None, None])


def disparity_difference(disparity: chex.Array, teacher: chex.Array, mask: chex.Array) -> chex.Array:
    """Returns how far disparity is from a teacher's, in itself and in its differences from place to place.

    Args:
      disparity: Disparity [H, W], positive.
      teacher: What it should be [H, W], positive.
      mask: Pixels to compare [H, W].

    Returns:
      Scalar: the mean of |e|, e = log disparity - log teacher, and half the sum of the means of |e(p) - e(q)|, where q is
      1, 4 or 16 pixels to the right of p or below it. The latter puts edges where the teacher has them.
    """
    off = jnp.log(disparity) - jnp.log(teacher)
    total = losses.masked_mean(jnp.abs(off), mask)
    for axis, step in itertools.product((0, 1), _STEPS):
        before, after = (slice(None),) * axis + (slice(-step),), (slice(None),) * axis + (slice(step, None),)
        total += _DIFFERENCES * losses.masked_mean(jnp.abs(off[after] - off[before]), mask[after] & mask[before])
    return total
