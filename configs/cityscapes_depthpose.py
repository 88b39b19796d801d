r"""Phase 1 on Cityscapes at the paper's size: the 40,000 steps before KITTI of the rows "CS+K" of Table I.

    python train.py --config configs/cityscapes_depthpose.py --config.data.root=DATA

DATA needs cityscapes/ with train/ of leftImg8bit_sequence/, camera/ and vehicle_sequence/. Nothing is validated, as the
paper does not say on what: the last checkpoint is the result. Variants are those of configs/kitti_depthpose.py.

KITTI then starts from its networks:

    python train.py --config configs/kitti_depthpose.py --config.data.root=DATA \
        --config.init_from=runs/cityscapes_depthpose --config.train.steps=149850 --workdir runs/kitti_after_cityscapes

The data set is some 89,000 small files, which are all opened at every start; `python -m dopi_jax prepare` packs them once.

Not yet run: no machine with the data set has.
"""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, on Cityscapes."""
    config = Config(name="cityscapes_depthpose")
    config.data.train = ("cityscapes:train",)
    config.data.validation = ()
    config.train.steps = 40_000
    return apply_variant(config, variant)
