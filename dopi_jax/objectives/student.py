"""Self-supervised flow of a crop, taught by the flow of the whole images, which still see what leaves the crop.

Self-supervision as in DDFlow (Liu et al., AAAI 2019) and SMURF (Stone et al., CVPR 2021).
"""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dopi_jax import geometry, losses
from dopi_jax.cut_out import cut_out
from dopi_jax.models import FlowNet
from dopi_jax.objectives.snippet_flow import predict_flows


def student_distance(
    flow_net: FlowNet,
    variables: Mapping[str, Any],
    target: chex.Array,
    sources: chex.Array,
    flows: chex.Array,
    returning: chex.Array,
    corner: chex.Array,
) -> chex.Array:
    """Returns how far the flow of a cut-out is from that of the whole images.

    Args:
      flow_net: The flow network.
      variables: Its variables.
      target: Images [B, H, W, 3] in [-1, 1].
      sources: Images [B, 2, H, W, 3] in [-1, 1], at (t-1, t+1).
      flows: Flows [B, 2, H, W, 2] of the whole images from the target to the sources in pixels, the teacher.
      returning: Flows [B, 2, H, W, 2] from the sources to the target.
      corner: First row and column of the cut-out, int32 [2].

    Returns:
      Scalar: the mean Charbonnier penalty of the difference in pixels, over what the teacher sees in both images. The
      teacher gets no gradient.
    """
    (student,), _ = predict_flows(flow_net, variables, cut_out(target, corner), cut_out(sources, corner))
    seen = jax.vmap(jax.vmap(geometry.forward_backward_mask))(flows, returning)[..., None]
    distance = jax.vmap(jax.vmap(losses.flow_consistency))
    return jnp.mean(distance(student, cut_out(flows, corner), cut_out(seen, corner)[..., 0]))
