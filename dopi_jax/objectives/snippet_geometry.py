"""Depth and motion of snippets by trained networks: they run in evaluation mode and are not trained."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import losses
from dopi_jax.models import DepthNet, PoseNet
from dopi_jax.objectives.matched_motion import match_motions
from dopi_jax.objectives.motion import predict_motion


class SnippetGeometry(NamedTuple):
    """Depth and motion of a batch of snippets.

    Attributes:
      disparity: Of the targets [B, H, W].
      source_disparities: Of the sources [B, S, H, W].
      source_from_target: Poses [B, S, 4, 4], translation in the unit of 1 / disparity.
    """

    disparity: chex.Array
    source_disparities: chex.Array
    source_from_target: chex.Array


def predict_geometry(
    variables: Mapping[str, Any],
    target: chex.Array,
    sources: chex.Array,
    K: chex.Array,
    *,
    depth_net: DepthNet,
    pose_net: PoseNet,
    rotation: str,
    refinements: int,
    normalize: bool,
    matches: chex.Array | None = None,
) -> SnippetGeometry:
    """Returns depth and motion of snippets, without gradient, by running statistics (D20).

    Args:
      variables: {"depth": ..., "pose": ...}, variables of the networks.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, 2, H, W, 3] in [-1, 1], at (t-1, t+1).
      K: Intrinsics [B, 3, 3].
      depth_net: The depth network.
      pose_net: The pose network.
      rotation: What the pose network's rotation parameters are, as in `geometry.pose_from_vector`.
      refinements: Of the motion, as in `predict_motion`.
      normalize: Divide each disparity by its maximum: the unit of motion learnt from such disparities (D9).
      matches: [B, 2, N, 4], as `match_motions` takes them, where motion is to follow them.

    Returns:
      `SnippetGeometry`.
    """
    images = jnp.concatenate([target[:, None], sources], axis=1)
    disparities = depth_net.apply(variables["depth"], images.reshape(-1, *target.shape[1:]))[0].reshape(images.shape[:4])
    if normalize:
        disparities = losses.max_normalized_disparity(disparities)
    motion = {"pose_net": pose_net, "rotation": rotation, "refinements": refinements}
    poses = predict_motion(variables["pose"], target, sources, 1 / disparities[:, 0], K, **motion)
    if matches is not None:
        poses = match_motions(1 / disparities[:, 0], matches, K, poses).source_from_target
    return jax.lax.stop_gradient(SnippetGeometry(disparities[:, 0], disparities[:, 1:], poses))
