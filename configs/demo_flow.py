"""Phase 2 of `make demo`: optical flow on the same street, taught by the networks of configs/demo_depthpose.py."""

from dopi_jax.config import Config, apply_flow_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = Config(name="demo_flow", phase="flow")
    config.data.height, config.data.width = 128, 320
    config.model.depth = config.model.pose = config.model.flow = "small"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 250
    config.train.log_every = 25
    config.train.image_every = 125
    config.train.validate_every = 125
    config.train.checkpoint_every = 125
    return apply_flow_variant(config, variant)
