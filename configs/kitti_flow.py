"""Phase 2 on KITTI at the paper's size: optical flow, taught by depth and pose (Tables IV and V).

    python train.py --config configs/kitti_flow.py --config.data.root=DATA --config.depthpose=runs/kitti_depthpose
    python evaluate.py --task flow --config configs/kitti_flow.py     (EPE on the 200 pairs of KITTI 2015; the paper: 6.66)

The paper trained 190,000 steps on one RTX 2080 Ti: 90 hours at 1.7 s a step. Not reproduced yet: no machine with the
whole data set has run it.

config.depthpose names the run of phase 1. Its best depth and pose networks are copied into the run of phase 2, where
they are frozen: they give the occlusion masks, and the rigid flow that teaches occluded pixels.

Variants after a colon are the rows of Table V: basic (needs no phase 1), occ, occ_ltm, full (the default, with the
consistency loss). With ",released" appended the choices of the authors' published code replace those of the paper
(docs/paper_and_code.md); its phase 1 must be a ",released" one too.
"""

from dopi_jax.config import Config, apply_flow_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = Config(name="kitti_flow", phase="flow")
    config.train.batch_size = 12
    config.train.steps = 190_000
    return apply_flow_variant(config, variant)
