r"""Phase 2 for a CPU or laptop: the small flow network at 128x448, on the data of configs/kitti_depthpose_small.py.

    python train.py --config configs/kitti_flow_small.py --config.data.root=DATA \
        --config.depthpose=runs/kitti_depthpose_small
    python evaluate.py --task flow --config configs/kitti_flow_small.py

600 steps take 14 minutes on two CPU cores. It shows that the commands work; its flow is not good on real video: EPE
22.2 on pair 000010 of KITTI 2015, where no motion has 9.0 (measured before the small flow network's present form,
docs/experiments_small.md). The shipped model has 2.29.

448 columns, because the flow network takes multiples of 64; the depth and pose networks of phase 1 saw 416.
"""

from dopi_jax.config import Config, apply_flow_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = Config(name="kitti_flow_small", phase="flow")
    config.data.height, config.data.width = 128, 448
    config.data.train = ("kitti_raw:2011_09_26_drive_0095[:248]", "kitti_odometry:03[:570]")
    config.data.validation = ("kitti_raw:2011_09_26_drive_0095[248:]", "kitti_odometry:03[570:600]")
    config.model.depth = "small"
    config.model.pose = "small"
    config.model.flow = "small"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 600
    config.train.log_every = 25
    config.train.image_every = 300
    config.train.validate_every = 150
    config.train.checkpoint_every = 150
    return apply_flow_variant(config, variant)
