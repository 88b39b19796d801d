"""What can be measured of a run."""

from dopi_jax.commands import evaluate_depth, evaluate_flow, evaluate_occlusion, evaluate_pose

TASKS = {
    "depth": evaluate_depth.evaluate,
    "pose": evaluate_pose.evaluate,
    "flow": evaluate_flow.evaluate,
    "occlusion": evaluate_occlusion.evaluate,
}
"""By name, what prints and writes the metrics of an `EvaluationRun`."""
