"""A procedural street whose depth, motion, flow and occlusions are known exactly; numpy alone.

World: x to the right, y down, z along the street, metres; poses are `world_from_camera`. Visibility is decided by casting
rays, so it can judge the occlusion masks of `dopi_jax.geometry`, which know depth and motion alone.
"""

from dopi_jax.synthetic.street import (
    HIDDEN_BY_MOVER,
    HIDDEN_BY_STATIC,
    OUT_OF_VIEW,
    VISIBLE,
    Frame,
    PairTruth,
    Street,
)

__all__ = [
    "HIDDEN_BY_MOVER",
    "HIDDEN_BY_STATIC",
    "OUT_OF_VIEW",
    "VISIBLE",
    "Frame",
    "PairTruth",
    "Street",
]
