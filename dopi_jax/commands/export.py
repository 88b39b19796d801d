"""`python -m dopi_jax export`: a run's best networks as one file, which needs neither the run nor its data."""

import argparse
import pathlib

from dopi_jax.errors import ArgumentParser, told_in_one_sentence
from dopi_jax.model_file import write_model
from dopi_jax.training.trained import read_run

_EXAMPLE = """\
  python -m dopi_jax export runs/kitti_depthpose --out my_model.npz
  python -c "import dopi_jax; model = dopi_jax.load('my_model.npz')"
"""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    with told_in_one_sentence():
        run(_parser().parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Writes the file.

    Raises:
      UserError: The folder holds no run, or the file cannot be written.
    """
    config, variables, step = read_run(options.run, options.which)
    # Where the data lay, and whatever else names a place of this machine, means nothing elsewhere.
    config.data.root = config.init_from = config.depthpose = ""
    write_model(options.out, config, variables, step)
    print(f"{', '.join(variables)} of step {step}, {options.out.stat().st_size / 2**20:.1f} MiB in {options.out}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m dopi_jax export",
        description="Writes a run's networks, in half precision, and its config as one file.",
        example=_EXAMPLE,
    )
    parser.add_argument("run", type=pathlib.Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="NAME.npz")
    parser.add_argument("--which", choices=("best", "latest"), default="best", help="checkpoint (default: %(default)s)")
    return parser
