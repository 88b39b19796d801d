r"""Phase 1 on Cityscapes at the paper's size: the pretraining of the rows "CS+K" of Table I.

    python train.py --config configs/cityscapes_depthpose.py --config.data.root=DATA
    python train.py --config configs/kitti_depthpose.py --config.data.root=DATA \
        --config.init_from=runs/cityscapes_depthpose --config.train.steps=149850 --workdir runs/kitti_after_cityscapes
    python evaluate.py --task depth --workdir runs/kitti_after_cityscapes     (AbsRel; the paper: 0.132)

The paper trained 40,000 steps on one RTX 2080 Ti: 20 hours. Not reproduced yet: no machine with the data set has run
it.

DATA needs cityscapes/ with train/ of leftImg8bit_sequence/, camera/ and vehicle_sequence/. Nothing is validated, as the
paper does not say on what: the last checkpoint is the result. The data set is some 89,000 small files, which are all
opened at every start; `dopi-jax prepare` packs them once. Variants are those of configs/kitti_depthpose.py.
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, on Cityscapes."""
    config = Config(name="cityscapes_depthpose")
    config.data.train = ("cityscapes:train",)
    config.data.validation = ()
    config.train.steps = 40_000
    return apply_variant(config, variant)
