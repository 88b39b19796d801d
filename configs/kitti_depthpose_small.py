"""Phase 1 for a CPU or laptop: small networks from scratch at 128x416, on one raw drive and one odometry sequence.

    python train.py --config configs/kitti_depthpose_small.py --config.data.root=DATA
    python evaluate.py --task depth --workdir runs/kitti_depthpose_small
    python evaluate.py --task pose --workdir runs/kitti_depthpose_small

1,500 steps take 21 minutes on two CPU cores. Expect AbsRel 0.335 on the 25 Eigen frames of drive 0052, and a 3-frame
ATE of 0.0082 on frames 600-800 of sequence 03; both were measured before the small pose network's present form
(docs/experiments_small.md). configs/kitti_depthpose_lite.py, from pretrained features, has better depth.

DATA needs drive 2011_09_26_drive_0095 of KITTI raw and sequence 03 of KITTI odometry for training (their last frames
validate), any Eigen test drive with laser scans for depth, and the poses. On all of KITTI, override config.data.train
and so on as configs/kitti_depthpose.py has them.

What departs from the paper's preset (docs/experiments_small.md has the measurements):
- Small networks with starting values of their own (dopi_jax/models): the paper's need days.
- Four scales instead of one (D11): large motions near the camera are within reach of the gradient at coarse scales.
- Smoothness 0.01 instead of 0.2: D / D_min of small images is steep, and the full weight flattens what is far away.
- The less-than-mean mask keeps errors up to 3 times the mean, as the published code does in effect (D7): better motion.
- Learning rate 5e-4, divided by 10 for the last quarter, since the steps are few.
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II."""
    config = Config(name="kitti_depthpose_small")
    config.data.height, config.data.width = 128, 416
    config.data.train = ("kitti_raw:2011_09_26_drive_0095[:248]", "kitti_odometry:03[:570]")
    config.data.validation = ("kitti_raw:2011_09_26_drive_0095[248:]", "kitti_odometry:03[570:600]")
    config.data.pose_test = ("kitti_odometry:03[600:801]",)
    config.model.depth = "small"
    config.model.pose = "small"
    config.loss.scales = 4
    config.loss.smoothness = 0.01
    config.loss.less_than_mean_factor = 3.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 1500
    config.train.log_every = 25
    config.train.image_every = 500
    config.train.validate_every = 250
    config.train.checkpoint_every = 250
    return apply_variant(config, variant)
