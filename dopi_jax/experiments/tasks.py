"""The tasks of `evaluate.py --task`."""

from dopi_jax.experiments import evaluate_depth, evaluate_flow, evaluate_occlusion, evaluate_pose

TASKS = {
    "depth": evaluate_depth.evaluate,
    "pose": evaluate_pose.evaluate,
    "flow": evaluate_flow.evaluate,
    "occlusion": evaluate_occlusion.evaluate,
}
"""By name, the function that prints and writes the metrics of an `EvaluationRun`."""
