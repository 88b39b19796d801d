"""Phase 1 on drawn streets for 40 minutes: what the small networks of `make demo` learn with more images and steps.

    python -m dopi_jax.synthetic --layout kitti_raw --out streets --frames 2160 --seed 30 --width 384
    python -m dopi_jax.synthetic --layout kitti_odometry --out streets --frames 300 --seed 30 --width 384
    python train.py --config configs/synthetic_depthpose.py --config.data.root=streets
    python evaluate.py --task depth --workdir runs/synthetic_depthpose --config.data.root=streets
    python evaluate.py --task pose --workdir runs/synthetic_depthpose --config.data.root=streets

3,200 steps take 40 minutes on two CPU cores (AMD EPYC). Expect AbsRel 0.113, a 3-frame ATE of 4.3 mm and a rotation
error of 0.051 degrees. Against configs/demo_depthpose.py: larger images, three times the frames, five times the steps.
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
