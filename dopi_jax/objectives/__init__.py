"""The objectives of both phases, as pure functions of parameters and a batch."""

from dopi_jax.objectives.depth_pose import depth_pose_loss, depth_pose_objective, view_sources
from dopi_jax.objectives.flow import FlowView, RigidView, flow_loss, flow_objective, rigid_views, view_by_flow
from dopi_jax.objectives.reconstruction import SourceView, compare, mean_pool
from dopi_jax.objectives.snippet_geometry import SnippetGeometry, predict_geometry

__all__ = [
    "FlowView",
    "RigidView",
    "SnippetGeometry",
    "SourceView",
    "compare",
    "depth_pose_loss",
    "depth_pose_objective",
    "flow_loss",
    "flow_objective",
    "mean_pool",
    "predict_geometry",
    "rigid_views",
    "view_by_flow",
    "view_sources",
]
