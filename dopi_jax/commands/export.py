"""`dopi-jax export`: a run's best networks as one model file, or as programs for other runtimes."""

import argparse
import pathlib
import sys
from typing import Any

from dopi_jax import formats
from dopi_jax.command_line.flags import use_compilation_cache
from dopi_jax.command_line.sizes import parse_size
from dopi_jax.config import Config
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors
from dopi_jax.interop.programs import network_functions, onnx_program, stablehlo_program
from dopi_jax.model_file import find_model_file, read_model, write_model
from dopi_jax.training.trained import read_run

_EXAMPLE = """\
  dopi-jax export runs/kitti_depthpose --out my_model.npz
  python -c "import dopi_jax; model = dopi_jax.load('my_model.npz')"
  dopi-jax export driving --format stablehlo --out programs
"""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    with report_user_errors():
        use_compilation_cache()
        run(_parser().parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Writes the file, or a program of each network.

    Raises:
      UserError: The folder holds no run, or the file cannot be written.
    """
    path = find_model_file(str(options.run))
    config, variables, step = read_run(options.run, options.which) if path is None else read_model(path)
    if options.format != "npz":
        _write_programs(options, config, variables)
        return
    # Paths of this machine mean nothing elsewhere.
    config.data.root = config.init_from = config.depthpose = ""
    write_model(options.out, config, variables, step)
    print(f"{', '.join(variables)} of step {step}, {options.out.stat().st_size / 2**20:.1f} MiB in {options.out}")


def _write_programs(options: argparse.Namespace, config: Config, variables: dict[str, Any]) -> None:
    size = parse_size(options.size, "--size") if options.size else (config.data.height, config.data.width)
    program_of = {"stablehlo": stablehlo_program, "onnx": onnx_program}[options.format]
    try:
        for name, (function, arguments) in network_functions(config, variables).items():
            if options.format == "onnx" and name == "flow" and config.model.flow == "lite":
                print(
                    "note: no ONNX program of the lite flow network, whose conversion takes too long: --format stablehlo",
                    file=sys.stderr,
                )
                continue
            path, program = options.out / f"{name}.{options.format}", program_of(function, arguments, size)
            options.out.mkdir(parents=True, exist_ok=True)
            formats.write_bytes(path, program)
            print(f"{path}: {', '.join(arguments)} of {size[0]}x{size[1]} in [-1, 1], {path.stat().st_size / 2**20:.1f} MiB")
    except OSError as error:
        raise UserError(f"{options.out} cannot be written ({error.strerror}): choose another --out") from error


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax export",
        description="Writes a run's networks, in half precision, and its config as one file; or as programs.",
        example=_EXAMPLE,
    )
    parser.add_argument("run", type=pathlib.Path, metavar="RUN", help="the run's folder, a model file or a shipped model")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="OUT", help="NAME.npz, or a folder for programs")
    parser.add_argument("--which", choices=("best", "latest"), default="best", help="checkpoint (default: %(default)s)")
    kinds = "npz is ours; stablehlo takes any number of images, onnx one (default: %(default)s)"
    parser.add_argument("--format", choices=("npz", "stablehlo", "onnx"), default="npz", help=kinds)
    parser.add_argument("--size", default="", metavar="HxW", help="of a program's images (default: that of training)")
    return parser
