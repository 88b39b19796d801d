"""Motion from a target to its sources by the pose network, once or with the sources brought closer each time."""

from collections.abc import Mapping
from typing import Any

import chex
import jax

from dopi_jax import geometry
from dopi_jax.models import PoseNet


def predict_motion(
    variables: Mapping[str, Any],
    target: chex.Array,
    sources: chex.Array,
    depth: chex.Array | None,
    K: chex.Array | None,
    *,
    pose_net: PoseNet,
    rotation: str,
    refinements: int,
) -> chex.Array:
    """Returns the motion from every target to its sources.

    A refinement warps the sources by the depth and the motion found so far, and asks the same network for what is left of
    the motion. The smaller a motion is, the finer a network sees it.

    Args:
      variables: Of the pose network.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, 2, H, W, 3] in [-1, 1], at (t-1, t+1).
      depth: Of the targets [B, H, W]; it gets no gradient. Not needed without refinements.
      K: Intrinsics [B, 3, 3]. Not needed without refinements.
      pose_net: The pose network.
      rotation: What its rotation parameters are, as in `geometry.pose_from_vector`.
      refinements: How many.

    Returns:
      `source_from_target` [B, 2, 4, 4], translation in the unit of depth. Gradient goes to the pose network at every stage,
      but not through the warped images.
    """

    def motion_to(images: chex.Array) -> chex.Array:
        vectors = pose_net.apply(variables, target, [images[:, 0], images[:, 1]])
        return jax.vmap(jax.vmap(lambda v: geometry.pose_from_vector(v, rotation)))(vectors)

    def closer(source: chex.Array, pose: chex.Array, depth: chex.Array, K: chex.Array) -> chex.Array:
        return geometry.warp_by_depth(source, depth, K, pose, padding="border")[0]

    poses = motion_to(sources)
    for _ in range(refinements):
        seen = jax.vmap(jax.vmap(closer, (0, 0, None, None)))(*jax.lax.stop_gradient((sources, poses, depth, K)))
        # A warped source is what a camera would see that stands where the source is thought to be at `poses` from it.
        poses = jax.vmap(jax.vmap(geometry.compose_poses))(poses, motion_to(seen))
    return poses
