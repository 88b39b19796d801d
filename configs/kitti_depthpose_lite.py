"""Phase 1 from pretrained features, at 128x416: for a CPU, on one raw drive and one odometry sequence.

    python train.py --config configs/kitti_depthpose_lite.py --config.data.root=DATA
    python evaluate.py --task depth --workdir runs/kitti_depthpose_lite
    python evaluate.py --task pose --workdir runs/kitti_depthpose_lite

DATA as for configs/kitti_depthpose_small.py. Depth and pose networks read features that were trained on ImageNet; the depth
network's encoder moves by a fifth of the learning rate, the pose network's not at all. The default is the preset ",modern"
without the paper's masks ("basic,modern"); "full" is the paper's objective, with the values of the file named above.
1,500 steps took 39 minutes on two CPU cores beside other work: AbsRel 0.225 and a1 0.636 on the 25 Eigen frames of drive
0052, 3-frame ATE 0.0163 on frames 600-800 of sequence 03 (straight ahead: 0.0084).
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
