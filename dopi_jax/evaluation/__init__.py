"""Evaluation protocols: numpy in float64, one unbatched sample at a time, no JAX and no TensorFlow.

`depth` compares depth maps with lidar as on the Eigen test list, `pose` compares camera motion as in the paper's
Table III and as the KITTI odometry benchmark does, `flow` compares optical flow as KITTI 2015 does, `occlusion` compares
masks, `tables` and `motion_tables` print results beside the paper's.
"""

from dopi_jax.evaluation.depth import (
    DEPTH_METRICS,
    average_depth_metrics,
    constant_depth_baseline,
    depth_metrics,
    pixel_median_baseline,
    require_ground_truth,
    row_profile_baseline,
)
from dopi_jax.evaluation.flow import (
    FLOW_REGIONS,
    average_flow_metrics,
    composite_flow,
    flow_metrics,
    flow_regions,
    regional_flow_metrics,
    resize_flow,
    tolerated_error,
    zero_flow_baseline,
)
from dopi_jax.evaluation.motion_tables import flow_pair_table, flow_region_table, flow_table, pose_table, trajectory_table
from dopi_jax.evaluation.occlusion import occlusion_metrics, pool_occlusion_metrics
from dopi_jax.evaluation.pose import (
    align_trajectory,
    chain,
    join_snippets,
    kitti_odometry_errors,
    sliding_snippet_ate,
    snippet_ate,
    snippet_from_predictions,
    snippet_scale,
    straight_ahead_baseline,
    trajectory_ate,
    trajectory_from_predictions,
    trajectory_snippets,
)
from dopi_jax.evaluation.tables import (
    DRAWN_STREETS,
    KITTI,
    depth_table,
    improved_depth_table,
    paper_table,
    render_table,
)

__all__ = [
    "DEPTH_METRICS",
    "DRAWN_STREETS",
    "FLOW_REGIONS",
    "KITTI",
    "align_trajectory",
    "average_depth_metrics",
    "average_flow_metrics",
    "chain",
    "composite_flow",
    "constant_depth_baseline",
    "depth_metrics",
    "depth_table",
    "flow_metrics",
    "flow_pair_table",
    "flow_region_table",
    "flow_regions",
    "flow_table",
    "improved_depth_table",
    "join_snippets",
    "kitti_odometry_errors",
    "occlusion_metrics",
    "paper_table",
    "pixel_median_baseline",
    "pool_occlusion_metrics",
    "pose_table",
    "regional_flow_metrics",
    "render_table",
    "require_ground_truth",
    "resize_flow",
    "row_profile_baseline",
    "sliding_snippet_ate",
    "snippet_ate",
    "snippet_from_predictions",
    "snippet_scale",
    "straight_ahead_baseline",
    "tolerated_error",
    "trajectory_ate",
    "trajectory_from_predictions",
    "trajectory_snippets",
    "trajectory_table",
    "zero_flow_baseline",
]
