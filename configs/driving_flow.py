r"""Phase 2 of the shipped model, `dopi_jax.load("driving")`: optical flow at 192x640, on five cameras.

    python train.py --config configs/driving_flow.py --config.data.root=packed
    python evaluate.py --task flow --workdir runs/driving_flow --config.data.root=DATA
    dopi-jax export runs/driving_flow --out driving.npz

600 steps of 3 s on two CPU cores. The shipped model has EPE 2.8 px and F1 11.5 % on four KITTI pairs; its flow network
is untrained, since training did not make it better (docs/experiments.md).

The prepared set is that of configs/driving_depthpose.py. The flow network "lite" matches ImageNet features and fuses
the matches with the rigid flow of the shipped depth and motion; what is trained is a correction of the result.
"""

from dopi_jax.config import Config, apply_flow_variant, config_beside

_driving_config = config_beside(__file__, "driving_depthpose")


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V, each optionally with a preset."""
    config = _driving_config()
    config.name, config.phase = "driving_flow", "flow"
    config.init_from, config.depthpose = "", "driving"
    config.model.flow = "lite"
    config.optimizer.learning_rate = 1e-3
    config.train.batch_size = 2
    config.train.steps = 600
    config = apply_flow_variant(config, variant, default="full,modern")
    loss = config.flow_loss
    if loss.census and loss.needs_depthpose:  # ",modern"; other rows learn as Table V has it
        loss.shown_rigid = 0.75
        # The network already chooses between matches and the rigid flow, so the rigid flow need not teach as well.
        loss.consistency = 0.0
        loss.occlusion_rule, loss.occlusion_tolerance = "depth_comparison", 0.15
    loss.students = 0.0
    config.prediction.motion_stereo = True
    return config
