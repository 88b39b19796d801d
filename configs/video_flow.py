r"""Phase 2 on one's own footage: the small flow network at 192x320, taught by a run of configs/video_depthpose.py.

    python train.py --config configs/video_flow.py --config.data.root=walk.mp4 \
        --config.depthpose=runs/video_depthpose

Camera (--config.data.intrinsics=learned too), stride and size as there; other sizes must be multiples of 64, because the
flow network takes these.
"""

from dopi_jax.config import Config, apply_flow_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = Config(name="video_flow", phase="flow")
    config.data.height, config.data.width = 192, 320
    config.data.train = ("images:all[:90%]", "video:all[:90%]")
    config.data.validation = ("images:all[90%:]", "video:all[90%:]")
    config.data.pose_test = ()
    config.model.depth = "small"
    config.model.pose = "small"
    config.model.flow = "small"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.decay_after = 0.75
    config.train.steps = 600
    config.train.log_every = 25
    config.train.image_every = 300
    config.train.validate_every = 150
    config.train.checkpoint_every = 150
    return apply_flow_variant(config, variant)
