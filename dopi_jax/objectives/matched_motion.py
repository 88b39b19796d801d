"""Motion fitted to matched points, in the unit of a predicted depth, and the error of that depth at the points."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry

_FEWEST_MATCHES = 20.0  # that agree with the motion
_SURE_PARALLAX = 2.0  # pixels: a point with as much tells its depth half as well as one with much more
_FEWEST_SURE = 5.0  # of these
_LEAST_DEPTH = 1e-6
_LEAST_LENGTH = 1e-4
_ROUND = 1e-3  # below it a difference counts by its square


class MatchedView(NamedTuple):
    """A source seen by matched points.

    Attributes:
      source_from_target: Pose [4, 4], translation in the unit of the depth; where points say too little of all or of the
        translation, that part of the pose that was given.
      is_reliable: Whether all of the pose comes from the points.
      depth_error: Mean absolute difference of log depth at the points to what they tell, up to one factor; 0 where not
        reliable. Only this has a gradient.
    """

    source_from_target: chex.Array
    is_reliable: chex.Array
    depth_error: chex.Array


def match_motion(depth: chex.Array, matches: chex.Array, K: chex.Array, otherwise: chex.Array) -> MatchedView:
    """Returns the motion fitted to matched points, scaled so that on average the points have the depth of a depth map.

    Args:
      depth: Target depth [H, W], positive.
      matches: [N, 4]: (x, y) of points in the target, then in the source, in pixels; NaN for none.
      K: Intrinsics [3, 3].
      otherwise: Pose [4, 4] to return where the points say too little.

    Returns:
      `MatchedView`.
    """
    motion = jax.lax.stop_gradient(geometry.pose_from_matches(matches[:, :2], matches[:, 2:], K))
    usable = (motion.depth > _LEAST_DEPTH) & jnp.isfinite(motion.depth)
    triangulated = jnp.where(usable, motion.depth, 1.0)
    sureness = motion.support * motion.parallax**2 / (motion.parallax**2 + _SURE_PARALLAX**2)
    sureness = jnp.where(usable & jnp.isfinite(sureness), sureness, 0.0)
    points = jnp.where(jnp.isfinite(matches[:, :2]), matches[:, :2], 0.0)
    predicted, _ = geometry.bilinear_sample(depth[..., None], points, "border")
    ratio = jnp.log(predicted[:, 0] / triangulated)
    total = jnp.sum(sureness) + 1e-6
    log_length = jax.lax.stop_gradient(jnp.sum(sureness * ratio) / total)
    off = jnp.sqrt((ratio - log_length) ** 2 + _ROUND**2)

    agreed = (jnp.sum(motion.support) >= _FEWEST_MATCHES) & jnp.isfinite(motion.source_from_target).all()
    sure = agreed & (total >= _FEWEST_SURE)
    rotation = jnp.where(agreed, motion.source_from_target[:3, :3], otherwise[:3, :3])
    translation = jnp.where(sure, jnp.exp(log_length) * motion.source_from_target[:3, 3], otherwise[:3, 3])
    pose = jnp.eye(4).at[:3, :3].set(rotation).at[:3, 3].set(translation)
    return MatchedView(jax.lax.stop_gradient(pose), sure, jnp.where(sure, jnp.sum(sureness * off) / total, 0.0))


def match_motions(depth: chex.Array, matches: chex.Array, K: chex.Array, otherwise: chex.Array) -> MatchedView:
    """Returns `match_motion` of a batch, to all sources.

    Args:
      depth: Of the targets [B, H, W].
      matches: [B, S, N, 4].
      K: Intrinsics [B, 3, 3].
      otherwise: Poses [B, S, 4, 4].

    Returns:
      A `MatchedView` with leading [B, S].
    """
    return jax.vmap(jax.vmap(match_motion, (None, 0, None, 0)))(depth, matches, K, otherwise)


def follow_matches(pose: chex.Array, view: MatchedView) -> tuple[chex.Array, chex.Array]:
    """Returns a network's pose with rotation and direction of the matched points, and its difference from them.

    The length stays the network's. Were it fitted to each image's own depth, nothing would keep the unit of depth the same
    from image to image, and in training it runs away.

    Args:
      pose: `source_from_target` [4, 4] by the network.
      view: What the points tell of the same motion.

    Returns:
      Pose [4, 4], whose length carries gradient; and the mean absolute difference of the rotation, in tenths of a radian,
      and of the direction. Where the points are not reliable the pose is the network's and the difference 0.
    """
    length, direction = _split(pose[:3, 3])
    _, matched_direction = _split(view.source_from_target[:3, 3])
    matched = view.source_from_target.at[:3, 3].set(length * matched_direction)
    between = geometry.compose_poses(pose, geometry.invert_pose(view.source_from_target))
    apart = jnp.concatenate([10 * geometry.vector_from_pose(between, "so3")[3:], direction - matched_direction])
    difference = jnp.mean(jnp.sqrt(apart**2 + _ROUND**2))
    return jnp.where(view.is_reliable, matched, pose), jnp.where(view.is_reliable, difference, 0.0)


def _split(translation: chex.Array) -> tuple[chex.Array, chex.Array]:
    """Length and direction, with a finite gradient at no motion."""
    length = jnp.sqrt(jnp.sum(translation**2) + _LEAST_LENGTH**2)
    return length, translation / length
