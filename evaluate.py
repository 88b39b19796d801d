"""Measures a trained run: python evaluate.py --task depth|pose --workdir runs/NAME --config.data.root=DATA."""

from dopi_jax.command_line import flags
from dopi_jax.commands import evaluate

if __name__ == "__main__":
    flags.run(evaluate.main)
