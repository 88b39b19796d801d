r"""Phase 1 of the shipped model, `dopi_jax.load("driving")`: its stage at 192x640, on five cameras.

    dopi-jax prepare --source DATA --size 192x640 --out packed \
        --select kitti_raw:2011_09_26_drive_0095 --select kitti_raw:2011_09_26_drive_0039 \
        --select 'kitti_odometry:03[:600]' --select kitti_odometry:02 --select images:all
    python train.py --config configs/driving_depthpose.py --config.data.root=packed
    dopi-jax export runs/driving_depthpose --out driving.npz

1,200 steps. It starts from the shipped weights, so it trains them on; with more data, name that in config.data.train.
After this stage the shipped model had AbsRel 0.221 on the 25 Eigen frames of drive 0052, and configs/driving_stereo.py
came next; docs/experiments.md has its stages.
"""

from dopi_jax.config import Config, config_beside

_lite_config = config_beside(__file__, "kitti_depthpose_lite")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, each optionally with a preset."""
    config = _lite_config(variant)
    config.name = config.name.replace("kitti_depthpose_lite", "driving_depthpose")
    config.init_from = "driving"
    config.data.height, config.data.width = 192, 640
    config.data.train = (
        "kitti_raw:2011_09_26_drive_0095[:248]",
        "kitti_raw:2011_09_26_drive_0039",
        "kitti_odometry:03[:570]",
        "kitti_odometry:02",
        "images:all",
    )
    config.loss.auto_mask = False
    config.loss.matched_motion = 1.0
    config.loss.matched_depth = 0.2
    config.optimizer.learning_rate = 2e-4
    config.optimizer.decay = "linear"
    config.optimizer.decay_after = 0.4
    config.train.steps = 1200
    config.train.average = 0.99
    config.prediction.keep_aspect = True
    config.prediction.matched_motion = True
    return config
