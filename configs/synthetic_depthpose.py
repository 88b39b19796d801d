"""Phase 1 on drawn streets, given time: what the small networks learn beyond the few minutes of `make demo`.

    python -m dopi_jax.synthetic --layout kitti_raw --out streets --frames 2160 --seed 30 --width 384
    python -m dopi_jax.synthetic --layout kitti_odometry --out streets --frames 300 --seed 30 --width 384
    python train.py --config configs/synthetic_depthpose.py --config.data.root=streets
    python evaluate.py --task depth --workdir runs/synthetic_depthpose --config.data.root=streets
    python evaluate.py --task pose --workdir runs/synthetic_depthpose --config.data.root=streets

It differs from configs/demo_depthpose.py in what time buys: larger images, three times the frames, five times the steps.
What both change in the paper's preset is told in configs/kitti_depthpose_small.py. It took 40 minutes on two CPU cores (AMD
EPYC); the README has the results.
"""

from dopi_jax.config import Config, config_beside

_demo_config = config_beside(__file__, "demo_depthpose")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II."""
    config = _demo_config(variant)
    config.name = config.name.replace("demo", "synthetic")
    config.data.height, config.data.width = 128, 384
    config.train.steps = 3200
    config.train.image_every = 800
    config.train.validate_every = 400
    config.train.checkpoint_every = 400
    return config
