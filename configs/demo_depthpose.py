"""Phase 1 of `make demo`: depth and pose from ImageNet features, on streets that the demo draws.

    make demo                  both phases, evaluation and a report (docs/demo.md: how long, and the numbers to expect)

configs/kitti_depthpose_lite.py at the demo's size, without the auto-mask. Motion is fitted to corners that are followed from
frame to frame, where it is predicted.
"""

from dopi_jax.config import Config, config_beside

_lite_config = config_beside(__file__, "kitti_depthpose_lite")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, each optionally with a preset."""
    config = _lite_config(variant)
    config.name = config.name.replace("kitti_depthpose_lite", "demo_depthpose")
    config.data.train, config.data.validation = ("kitti_raw:eigen",), ("kitti_raw:eigen_val",)
    config.data.pose_test = ("kitti_odometry:09", "kitti_odometry:10")
    config.data.height, config.data.width = 128, 320
    config.loss.auto_mask = False
    config.prediction.matched_motion = True
    config.train.steps = 300
    config.train.image_every = 150
    config.train.validate_every = 150
    config.train.checkpoint_every = 75
    config.train.best_by = "latest"
    return config
