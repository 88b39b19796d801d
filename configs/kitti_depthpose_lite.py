"""Phase 1 from ImageNet features, at 128x416: for a CPU, on one raw drive and one odometry sequence.

    python train.py --config configs/kitti_depthpose_lite.py --config.data.root=DATA
    python evaluate.py --task depth --workdir runs/kitti_depthpose_lite
    python evaluate.py --task pose --workdir runs/kitti_depthpose_lite

1,500 steps take 39 minutes on two CPU cores. Expect AbsRel 0.225 and a1 0.636 on the 25 Eigen frames of drive 0052, and
a 3-frame ATE of 0.0163 on frames 600-800 of sequence 03 (straight ahead: 0.0084).

DATA needs drive 2011_09_26_drive_0095 of KITTI raw and sequence 03 of KITTI odometry for training (their last frames
validate), any Eigen test drive with laser scans for depth, and the poses. On all of KITTI, override config.data.train
and so on as configs/kitti_depthpose.py has them.

The depth network's encoder is trained at a fifth of the learning rate, the pose network's is frozen. The default variant
is "basic,modern", without the paper's masks; "full" is the paper's objective, with little smoothness (D / D_min of small
images is steep, and the paper's weight flattens what is far away) and errors kept up to three times their mean, about as
in the published code (D7).
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, each optionally with a preset."""
    config = Config(name="kitti_depthpose_lite")
    config.data.height, config.data.width = 128, 416
    config.data.train = ("kitti_raw:2011_09_26_drive_0095[:248]", "kitti_odometry:03[:570]")
    config.data.validation = ("kitti_raw:2011_09_26_drive_0095[248:]", "kitti_odometry:03[570:600]")
    config.data.pose_test = ("kitti_odometry:03[600:801]",)
    config.model.depth = "lite"
    config.model.pose = "lite"
    config.loss.scales = 4
    config.loss.smoothness = 0.01
    config.loss.less_than_mean_factor = 3.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.encoder_rate = 0.2
    config.optimizer.decay_after = 0.75
    config.train.steps = 1500
    config.train.log_every = 25
    config.train.image_every = 500
    config.train.validate_every = 250
    config.train.checkpoint_every = 250
    return apply_variant(config, variant, default="basic,modern")
