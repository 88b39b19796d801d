"""Phase 1 at 128x416 with the small networks."""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, "full" if none is named."""
    config = Config(name="kitti_depthpose_small")
    config.data.height, config.data.width = 128, 416
    config.data.train = ("kitti_raw:2011_09_26_drive_0095[:248]", "kitti_odometry:03[:570]")
    config.data.validation = ("kitti_raw:2011_09_26_drive_0095[248:]", "kitti_odometry:03[570:600]")
    config.data.pose_test = ("kitti_odometry:03[600:801]",)
    config.model.depth = "small"
    config.model.pose = "small"
    config.optimizer.learning_rate = 5e-4
    config.train.steps = 5000
    config.train.log_every = 50
    config.train.image_every = 500
    config.train.validate_every = 500
    config.train.checkpoint_every = 500
    return apply_variant(config, variant)
