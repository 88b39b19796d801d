"""Measures a trained run: python evaluate.py --task depth|pose --workdir runs/NAME --config.data.root=DATA."""

from dopi_jax.commands import evaluate, flags

if __name__ == "__main__":
    flags.run(evaluate.main)
