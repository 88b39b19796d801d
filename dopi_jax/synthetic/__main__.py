"""Writes procedural streets in an official layout of KITTI or Cityscapes, to be read as the real data set.

dopi-jax streets --layout kitti_raw --out DATA --frames 200
"""

import pathlib

from dopi_jax.command_line.flags import use_compilation_cache
from dopi_jax.errors import ArgumentParser, report_user_errors
from dopi_jax.synthetic.layouts import LAYOUT_NAMES, write_layout


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: of the command line; those of this process if None.
    """
    with report_user_errors():
        options = _parser().parse_args(arguments)
        use_compilation_cache()
        size = (options.height, options.width)
        print(write_layout(options.layout, options.out, options.frames, options.seed, size))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax streets", description="Writes procedural streets in a layout of KITTI or Cityscapes."
    )
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
