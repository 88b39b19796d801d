r"""Phase 2 on drawn streets for half an hour: optical flow, taught by the run of configs/synthetic_depthpose.py.

    dopi-jax streets --layout kitti_flow_2015 --out streets --frames 40 --seed 30 --width 384
    python train.py --config configs/synthetic_flow.py --config.data.root=streets \
        --config.depthpose=runs/synthetic_depthpose
    python evaluate.py --task flow --workdir runs/synthetic_flow --config.data.root=streets
    python evaluate.py --task occlusion --workdir runs/synthetic_flow

3,000 steps take 34 minutes on two CPU cores (AMD EPYC) beside another training. Expect EPE 1.56 px and F1 8.2 %.

What departs from the paper's preset (docs/experiments_small.md has the measurements):
- Small networks, and a learning rate 20 times as high that falls linearly to 0, since the steps are few. The last
  checkpoint is kept.
- Two snippets a step: more steps from as many snippets.
- Twice the weight of consistency: without it flow that leaves the image stays behind the rigid flow that teaches it.
- The less-than-mean mask keeps errors up to three times their mean, as in phase 1.
"""

from dopi_jax.config import Config, apply_flow_variant


def get_config(variant: str = "") -> Config:
    """Returns the config of a row of Table V."""
    config = Config(name="synthetic_flow", phase="flow")
    config.data.height, config.data.width = 128, 384
    config.model.depth = config.model.pose = config.model.flow = "small"
    config.flow_loss.consistency = 0.2
    config.flow_loss.less_than_mean_factor = 3.0
    config.optimizer.learning_rate = 2e-3
    config.optimizer.decay = "linear"
    config.optimizer.decay_after = 0.0
    config.train.batch_size = 2
    config.train.steps = 3000
    config.train.log_every = 25
    config.train.image_every = 1000
    config.train.validate_every = 500
    config.train.checkpoint_every = 500
    config.train.best_by = "latest"
    return apply_flow_variant(config, variant)
