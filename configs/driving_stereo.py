r"""Depth of the shipped model, `dopi_jax.load("driving")`: its last stage, taught by motion stereo, at 192x640.

    dopi-jax prepare --source DATA --size 192x640 --out packed \
        --select kitti_raw:2011_09_26_drive_0095 --select kitti_raw:2011_09_26_drive_0039 \
        --select 'kitti_odometry:03[:600]' --select kitti_odometry:02
    python train.py --config configs/driving_stereo.py --config.data.root=packed
    dopi-jax export runs/driving_stereo --out driving.npz

The depth that training starts from is made better by the neighbouring frames of each snippet, along the motion of
followed corners (dopi_jax.motion_stereo), and the network learns that depth from images which look unlike the recorded
ones (dopi_jax.strong_augment). The motion network keeps its parameters. Training starts from the shipped weights, so it
trains them on; with more data, name that in config.data.train, and for footage of another kind train
configs/video_depthpose.py first. 480 steps of 5 s on two CPU cores gave the shipped model, with AbsRel 0.196 on the 25
Eigen frames of drive 0052 (0.221 before); they began from its weights of before, and the shipped file has its flow
network, untrained, beside the result. docs/experiments.md tells what each part is worth.
"""

from dopi_jax.config import Config, config_beside

_driving_config = config_beside(__file__, "driving_depthpose")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, each optionally with a preset."""
    config = _driving_config(variant)
    config.name = config.name.replace("driving_depthpose", "driving_stereo")
    config.data.train = (  # no footage of other shapes, which the size would stretch
        "kitti_raw:2011_09_26_drive_0095[:248]",
        "kitti_raw:2011_09_26_drive_0039",
        "kitti_odometry:03[:570]",
        "kitti_odometry:02",
    )
    config.data.colour_jitter, config.data.strong_augment = 0.0, True
    config.loss.motion_stereo = 1.0
    config.loss.reconstruction = config.loss.smoothness = config.loss.consistency = 0.0
    config.loss.matched_motion = config.loss.matched_depth = 0.0
    config.loss.occlusion = False
    config.loss.scales = 1
    config.optimizer.encoder_rate = 0.3
    config.optimizer.warmup = 20
    config.train.steps = 480
    return config
