r"""Phase 2 on drawn streets for half an hour: optical flow, taught by the run of configs/synthetic_depthpose.py.

    python -m dopi_jax.synthetic --layout kitti_flow_2015 --out streets --frames 40 --seed 30 --width 384
    python train.py --config configs/synthetic_flow.py --config.data.root=streets \
        --config.depthpose=runs/synthetic_depthpose
    python evaluate.py --task flow --workdir runs/synthetic_flow --config.data.root=streets
    python evaluate.py --task occlusion --workdir runs/synthetic_flow

3,000 steps take 34 minutes on two CPU cores (AMD EPYC) beside another training. Expect EPE 1.56 px and F1 8.2 %.
Against configs/demo_flow.py: larger images, more streets, five times the steps.
"""

from dopi_jax.config import Config, config_beside

_demo_config = config_beside(__file__, "demo_flow")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = _demo_config(variant)
    config.name = config.name.replace("demo", "synthetic")
    config.data.height, config.data.width = 128, 384
    config.train.steps = 3000
    config.train.image_every = 1000
    config.train.validate_every = 500
    config.train.checkpoint_every = 500
    return config
