"""`python -m dopi_jax export`: a run's best networks as one file, which needs neither the run nor its data."""

import argparse
import pathlib

from dopi_jax import config as config_lib
from dopi_jax.errors import ArgumentParser, UserError, told_in_one_sentence
from dopi_jax.model_file import write_model
from dopi_jax.training.trained import restore_variables

_EXAMPLE = """\
example:
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
    stored = options.run / "config.json"
    if not stored.is_file():
        raise UserError(f"{options.run} is no run's folder: expected one with config.json")
    config = config_lib.from_json(stored.read_text())
    variables, step = restore_variables(options.run, config, options.which)
    # Where the data lay, and whatever else names a place of this machine, means nothing elsewhere.
    config.data.root = config.init_from = config.depthpose = ""
    write_model(options.out, config, variables, step)
    print(f"{', '.join(variables)} of step {step}, {options.out.stat().st_size / 2**20:.1f} MiB in {options.out}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m dopi_jax export",
        description="Writes a run's networks, in half precision, and its config as one file.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=pathlib.Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="NAME.npz")
    parser.add_argument("--which", choices=("best", "latest"), default="best", help="checkpoint (default: %(default)s)")
    return parser
