r"""Phase 2 on one's own footage: the small flow network at 192x320, taught by a run of configs/video_depthpose.py.

    python train.py --config configs/video_flow.py --config.data.root=walk.mp4 \
        --config.depthpose=runs/video_depthpose

Camera (--config.data.intrinsics=learned too), stride and size as there; other sizes must be multiples of 64, because the
flow network takes these.
"""

from dopi_jax.config import Config, config_beside

_small_config = config_beside(__file__, "kitti_flow_small")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = _small_config(variant)
    config.name = config.name.replace("kitti_flow_small", "video_flow")
    config.data.height, config.data.width = 192, 320
    config.data.train = ("images:all[:90%]", "video:all[:90%]")
    config.data.validation = ("images:all[90%:]", "video:all[90%:]")
    config.data.pose_test = ()
    config.model.depth = config.model.pose = "lite"
    return config
