"""Phase 1 on KITTI."""

from dopi_jax.config import Config, apply_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table II, "full" if none is named."""
    return apply_variant(Config(name="kitti_depthpose"), variant)
