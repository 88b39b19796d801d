r"""Phase 2 on your own footage: the flow network "lite" at 192x352, taught by a run of configs/video_depthpose.py.

    python train.py --config configs/video_flow.py --config.data.root=walk.mp4 \
        --config.depthpose=runs/video_depthpose

600 steps. Camera, stride and size as in configs/video_depthpose.py. Without --config.depthpose the shipped depth and
motion teach. `dopi-jax video` and `dopi-jax predict --flow` give flow without this training.
"""

from dopi_jax.config import Config, config_beside

_driving_config = config_beside(__file__, "driving_flow")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V, each optionally with a preset."""
    config = _driving_config(variant)
    config.name = config.name.replace("driving_flow", "video_flow")
    config.init_from = "driving"
    config.data.height, config.data.width = 192, 352
    config.data.train = ("images:all[:90%]", "video:all[:90%]")
    config.data.validation = ("images:all[90%:]", "video:all[90%:]")
    config.data.pose_test = ()
    return config
