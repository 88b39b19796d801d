"""Flow of snippets: by a flow network, and by depth and motion."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry
from dopi_jax.models import FlowNet
from dopi_jax.objectives.snippet_geometry import SnippetGeometry


class SnippetFlow(NamedTuple):
    """Optical flow of a batch of snippets.

    Attributes:
      to_sources: From the targets to the sources (t-1, t+1), [B, 2, H, W, 2] a scale, finest first, in pixels of its own.
      back: From the sources to the targets, likewise, without gradient; None if it was not asked for.
    """

    to_sources: list[chex.Array]
    back: list[chex.Array] | None


def predict_flows(
    flow_net: FlowNet,
    variables: Mapping[str, Any],
    target: chex.Array,
    sources: chex.Array,
    *,
    all_scales: bool = False,
    returning: bool = False,
    rigid: chex.Array | None = None,
) -> SnippetFlow:
    """Returns the flow of a batch of snippets.

    Args:
      flow_net: The flow network.
      variables: Its variables.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, 2, H, W, 3] in [-1, 1], at (t-1, t+1).
      all_scales: Whether to return all scales or the finest alone.
      returning: Whether to return also the flow from the sources.
      rigid: As `FlowNet` takes it.
    """
    images = target, [sources[:, 0], sources[:, 1]]
    options = {"all_scales": all_scales, "returning": returning, "rigid": rigid}
    forward, backward, *back = flow_net.apply(variables, *images, **options)
    return SnippetFlow(_by_source(backward, forward), jax.lax.stop_gradient(_by_source(*back[::-1])) if returning else None)


def rigid_snippet_flows(of_snippets: SnippetGeometry, K: chex.Array, returning: bool) -> chex.Array:
    """Returns the rigid flows of snippets from the targets to the sources [B, 2, H, W, 2], or also back [B, 4, H, W, 2].

    Args:
      of_snippets: Depth and motion.
      K: Intrinsics [B, 3, 3].
      returning: Whether to return also the flows from the sources to the targets.
    """
    disparity, source_disparities, poses = of_snippets
    of_sources = jax.vmap(jax.vmap(geometry.rigid_flow, (0, None, 0)))
    flows = of_sources(jnp.stack([1 / disparity] * poses.shape[1], axis=1), K, poses)
    if returning:
        back = of_sources(1 / source_disparities, K, jax.vmap(jax.vmap(geometry.invert_pose))(poses))
        flows = jnp.concatenate([flows, back], axis=1)
    return jax.lax.stop_gradient(flows)


def _by_source(of_previous: list[chex.Array], of_next: list[chex.Array]) -> list[chex.Array]:
    return [jnp.stack(pair, axis=1) for pair in zip(of_previous, of_next, strict=True)]
