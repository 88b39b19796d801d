"""`dopi-jax prepare`: packs selected frames into one set that trains without their folders."""

import argparse
import pathlib

from dopi_jax.command_line import flags as command_flags
from dopi_jax.command_line.sizes import parse_size
from dopi_jax.data.footage import Footage
from dopi_jax.data.prepare import Encoding, prepare_set
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors

_EXAMPLE = """\
  dopi-jax prepare --source DATA --select kitti_raw:eigen --select kitti_raw:eigen_val --size 256x832 --out packed
  python train.py --config configs/kitti_depthpose.py --config.data.root=packed
"""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    with report_user_errors():
        options = _parser().parse_args(arguments)
        command_flags.print_warnings_as_notes()
        run(options)


def run(options: argparse.Namespace) -> None:
    """Prepares the set that the options describe.

    Raises:
      UserError: A source or a selection is wrong, or the set cannot be written.
    """
    size = parse_size(options.size, "--size")
    if not 1 <= options.quality <= 100:
        raise UserError(f"--quality is {options.quality}: expected 1 to 100")
    roots = tuple(root for source in options.source for root in find_data_roots(source, "--source"))
    footage = Footage(options.intrinsics, options.field_of_view, options.stride, by_flags=True)
    sequences = [s for selection in options.select for s in select_sequences(roots, selection, footage=footage)]
    encoding = Encoding(options.format, options.quality)
    manifest = prepare_set(sequences, size, options.out, encoding, options.select)
    for entry in manifest["sequences"]:
        print(f"{entry['dataset']}:{entry['item']}  {entry['name']}  {entry['frames']} frames, {entry['snippets']} snippets")
    stored = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    left_out = f", {len(manifest['left_out'])} left out, see manifest.json" if manifest["left_out"] else ""
    contents = f"{manifest['frames']} frames, {manifest['snippets']} snippets{left_out}, {stored / 2**20:.1f} MiB"
    print(f"{contents} in {options.out}; train with --config.data.root={options.out}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax prepare",
        description="Packs frames of any sources into one set to train from.",
        example=_EXAMPLE,
    )
    parser.add_argument("--source", action="append", required=True, metavar="DATA", help="data root; may be repeated")
    parser.add_argument(
        "--select", action="append", required=True, metavar="SELECTION", help="as in config.data.train; may be repeated"
    )
    parser.add_argument("--size", required=True, metavar="HxW", help="of the packed frames, such as 256x832")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="the set's folder, which must be new")
    parser.add_argument("--format", choices=("jpeg", "png"), default="jpeg", help="of the frames (default: %(default)s)")
    parser.add_argument("--quality", type=int, default=92, metavar="Q", help="of JPEG, 1 to 100 (default: %(default)s)")
    parser.add_argument("--intrinsics", default="", metavar="K", help="of own footage: fx,fy,cx,cy or a file")
    parser.add_argument(
        "--field-of-view", type=float, default=0.0, metavar="DEG", help="of own footage, horizontal, in degrees"
    )
    parser.add_argument("--stride", type=int, default=0, metavar="N", help="of own footage; default: by measured motion")
    return parser
