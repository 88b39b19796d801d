"""The networks of a config, and depth and motion by them, for training and for prediction."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp

from dopi_jax.config import Config, ModelConfig
from dopi_jax.models import DepthNet, FlowNet, LearnedCamera, PoseNet
from dopi_jax.objectives import SnippetGeometry, predict_geometry


class Networks(NamedTuple):
    """The networks of both phases, and the camera whose focal length is learnt with depth and motion."""

    depth: DepthNet
    pose: PoseNet
    flow: FlowNet
    camera: LearnedCamera


def build_networks(model: ModelConfig, axis_name: str | None = None) -> Networks:
    """Returns the networks that a config names.

    Args:
      model: The config's section.
      axis_name: Axis over which batch statistics are averaged; `parallel.AXIS` in a train step, else None.

    Returns:
      `Networks`.
    """
    return Networks(
        DepthNet(model.depth, axis_name=axis_name),
        PoseNet(num_refs=2, variant=model.pose),
        FlowNet(model.flow, bias=model.flow_bias),
        LearnedCamera(),
    )


def build_geometry(config: Config) -> Callable[..., SnippetGeometry]:
    """Returns the function (variables, target, sources, K, matches=None) -> depth and motion of a batch, as trained."""
    networks = build_networks(config.model)
    return functools.partial(
        predict_geometry,
        depth_net=networks.depth,
        pose_net=networks.pose,
        rotation=config.model.rotation,
        refinements=config.model.pose_refinements,
        normalize=config.loss.normalize_all_disparities,
    )


def predict_disparity(net: DepthNet, variables: Any, images: chex.Array, mirrored: bool) -> chex.Array:
    """Returns the finest disparity of a depth network.

    Args:
      net: The network.
      variables: Its own.
      images: [B, H, W, 3] in [-1, 1].
      mirrored: Whether to return the mean of the disparity of the image and of its mirror image.

    Returns:
      [B, H, W].
    """
    if not mirrored:
        return net.apply(variables, images)[0]
    both = jnp.concatenate([images, images[:, :, ::-1]])  # in one batch, so that the network is compiled once
    disparity, of_mirror_image = jnp.split(net.apply(variables, both)[0], 2)
    return (disparity + of_mirror_image[:, :, ::-1]) / 2


def network_variables(params: Any, batch_stats: Any) -> dict[str, Any]:
    """Returns the variables of every network, as `apply` takes them.

    Args:
      params: Parameters by network.
      batch_stats: Running statistics by network, of those that have some.

    Returns:
      {network: {"params": ..., "batch_stats": ...}}.
    """
    return {
        name: {"params": params[name], **({"batch_stats": batch_stats[name]} if name in batch_stats else {})}
        for name in params
    }
