"""Trains the networks of a config: python train.py --config configs/kitti_depthpose.py --config.data.root=DATA."""

from dopi_jax.command_line import flags
from dopi_jax.commands import train

if __name__ == "__main__":
    flags.run(train.main)
