"""Writes procedural streets in an official layout of KITTI, to be read as the real data set.

python -m dopi_jax.synthetic --layout kitti_raw --out DATA --frames 200
"""

import argparse
import pathlib
import sys
from typing import NoReturn

from dopi_jax.errors import UserError
from dopi_jax.synthetic.layouts import LAYOUT_NAMES, write_layout


class _Parser(argparse.ArgumentParser):
    """Tells mistakes as the other commands do: in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: of the command line; those of this process if None.
    """
    try:
        options = _parser().parse_args(arguments)
        size = (options.height, options.width)
        print(write_layout(options.layout, options.out, options.frames, options.seed, size))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m dopi_jax.synthetic", description="Writes procedural streets in a layout of KITTI.")
    parser.add_argument("--layout", required=True, metavar="NAME", help=f"which data set: {', '.join(LAYOUT_NAMES)}")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="the data root, to get DIR/NAME")
    parser.add_argument(
        "--frames", required=True, type=int, metavar="N", help="frames of all recordings together; for flow, scenes a part"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="each gives other streets (default: %(default)s)")
    parser.add_argument("--height", type=int, default=128, metavar="H", help="of the images (default: %(default)s)")
    parser.add_argument("--width", type=int, default=416, metavar="W", help="of the images (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
