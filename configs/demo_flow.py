"""Phase 2 of `make demo`: optical flow on the same streets, taught by the run of configs/demo_depthpose.py.

    make demo                  both phases, evaluation and a report (docs/demo.md: how long, and the numbers to expect)

configs/synthetic_flow.py's small flow network and settings at the demo's size, taught by networks "lite" along the motion
of followed corners.
"""

from dopi_jax.config import Config, config_beside

_synthetic_config = config_beside(__file__, "synthetic_flow")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = _synthetic_config(variant)
    config.name = config.name.replace("synthetic", "demo")
    config.data.height, config.data.width = 128, 320
    config.model.depth = config.model.pose = "lite"
    config.flow_loss.matched_motion = config.prediction.matched_motion = True
    config.prediction.mirrored_pass = True
    config.train.steps = 600
    config.train.image_every = 300
    config.train.validate_every = 300
    config.train.checkpoint_every = 150
    return config
