"""Phase 1 of `make demo`: depth and pose, small networks, on streets that the demo draws.

    make demo                  both phases in 13.5 minutes on two CPU cores; expect AbsRel 0.156 (docs/demo.md)

It departs from the paper's preset as configs/kitti_depthpose_small.py does, and keeps the last checkpoint instead of
the one with the best photometric error. docs/experiments_small.md has the measurements.
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II."""
    config = Config(name="demo_depthpose")
    config.data.height, config.data.width = 128, 320
    config.model.depth = config.model.pose = "small"
    config.loss.scales = 4
    config.loss.smoothness = 0.01
    config.loss.less_than_mean_factor = 3.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 600
    config.train.log_every = 25
    config.train.image_every = 300
    config.train.validate_every = 150
    config.train.checkpoint_every = 150
    config.train.best_by = "latest"
    return apply_variant(config, variant)
