"""Phase 2 of `make demo`: optical flow on the same streets, taught by the run of configs/demo_depthpose.py.

    make demo                  both phases, evaluation and a report (docs/demo.md: how long, and the numbers to expect)

configs/driving_flow.py at the demo's size: the flow network "lite" chooses between matches of ImageNet features and the
rigid flow, and learns a correction.
"""

from dopi_jax.config import Config, config_beside

_driving_config = config_beside(__file__, "driving_flow")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V, each optionally with a preset."""
    config = _driving_config(variant)
    config.name = config.name.replace("driving_flow", "demo_flow")
    config.depthpose = ""
    config.data.train, config.data.validation = ("kitti_raw:eigen",), ("kitti_raw:eigen_val",)
    config.data.pose_test = ("kitti_odometry:09", "kitti_odometry:10")
    config.data.height, config.data.width = 128, 320
    config.train.steps = 100
    config.train.log_every = 10
    config.train.image_every = config.train.validate_every = config.train.checkpoint_every = 50
    config.train.best_by = "latest"
    return config
