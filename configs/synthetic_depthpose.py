"""Phase 1 on drawn streets, given time: what the small networks learn beyond the few minutes of `make demo`.

    python -m dopi_jax.synthetic --layout kitti_raw --out streets --frames 2160 --seed 30 --width 384
    python -m dopi_jax.synthetic --layout kitti_odometry --out streets --frames 300 --seed 30 --width 384
    python train.py --config configs/synthetic_depthpose.py --config.data.root=streets
    python evaluate.py --task depth --workdir runs/synthetic_depthpose --config.data.root=streets
    python evaluate.py --task pose --workdir runs/synthetic_depthpose --config.data.root=streets

It differs from configs/demo_depthpose.py in what time buys: larger images, three times the streets, four times the steps.
What both change in the paper's preset is told in configs/kitti_depthpose_small.py. Not trained for more than two steps yet.
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II."""
    config = Config(name="synthetic_depthpose")
    config.data.height, config.data.width = 128, 384
    config.model.depth = config.model.pose = "small"
    config.loss.scales = 4
    config.loss.smoothness = 0.01
    config.loss.less_than_mean_factor = 3.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 2400
    config.train.log_every = 25
    config.train.image_every = 800
    config.train.validate_every = 400
    config.train.checkpoint_every = 400
    config.train.best_by = "latest"
    return apply_variant(config, variant)
