"""Phase 1 on KITTI at the paper's size: depth and pose (Tables I, II and III).

    python train.py --config configs/kitti_depthpose.py --config.data.root=DATA
    python evaluate.py --task depth     (AbsRel on the 697 Eigen images; the paper: 0.140)
    python evaluate.py --task pose      (3-frame ATE on sequences 09 and 10; the paper: 0.0081 and 0.0082)

The paper trained 187,000 steps on one RTX 2080 Ti: 104 hours at 2.0 s a step. Not reproduced yet: no machine with the
whole data set has run it.

Variants after a colon are the rows of Table II: basic, occ, occ_ltm, full (the default). With ",released" appended the
choices of the authors' published code replace those of the paper (docs/paper_and_code.md); with ",modern", those of
later methods.

The pose numbers need another split: "kitti_raw:eigen" holds the drives that sequences 09 and 10 are cut from. For them,
train on --config.data.train="('kitti_odometry:train',)".
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II."""
    return apply_variant(Config(name="kitti_depthpose"), variant)
