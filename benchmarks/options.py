"""The command line of the benchmark."""

import argparse
import dataclasses
import importlib.util
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax

from benchmarks.case import NETWORKS, PHASES, PRESETS, Case
from dopi_jax.config import ABLATIONS
from dopi_jax.errors import ArgumentParser, UserError


class Precision(NamedTuple):
    """How the networks compute.

    Attributes:
      products: Of float32, by JAX's name.
      networks: Of kernels and features, as `config.train.precision` has it.
    """

    products: str
    networks: str


PRECISIONS = {
    "float32": Precision("float32", "float32"),
    "tf32": Precision("tensorfloat32", "float32"),
    "bf16": Precision("default", "bfloat16"),
}


PARTS = ("steps", "parts", "functions", "input", "peer", "batch")
_BY_DEFAULT = PARTS[:4]


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
      cases: Phases, networks and batches.
      only: What of them is measured, of `PARTS`.
      variants: Rows of the ablation tables whose steps are timed.
      precision: Of the networks, a name of `PRECISIONS`.
      device: Where to.
      repeats: Rounds of calls that are timed.
      json: File for the numbers, if any.
      cached: Whether compiling from the persistent cache is timed, too.
    """

    cases: tuple[Case, ...]
    only: tuple[str, ...]
    variants: tuple[str, ...]
    precision: str
    device: jax.Device
    repeats: int
    json: pathlib.Path | None
    cached: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Returns the options that a command line asks for.

    Args:
      arguments: Words after the command; those of this process if None.

    Returns:
      `Options`.

    Raises:
      UserError: An option is unknown or has a value out of range.
    """
    given = _parser().parse_args(arguments)
    device = _device(given.device)
    # By default as training does, which leaves the choice to JAX.
    precision = given.precision or ("tf32" if device.platform == "gpu" else "float32")
    if precision == "tf32" and device.platform != "gpu":
        raise UserError("--precision is tf32: only a GPU has it; leave it out or choose --device gpu")
    cases = tuple(
        Case(phase, networks, batch, *size, PRECISIONS[precision].networks, preset)
        for size in given.size
        for batch in given.batch
        for networks in given.networks
        for preset in given.presets
        for phase in given.phases
    )
    for case in cases:
        case.config()  # a size that does not suit is told before anything is measured
    only = tuple(given.only) + (("peer",) if given.peer and "peer" not in given.only else ())
    if "peer" in only and importlib.util.find_spec("torch") is None:
        raise UserError("--peer needs PyTorch, which is not installed: pip install -e '.[bench]'")
    if given.json is not None and not given.json.parent.is_dir():
        raise UserError(f"--json is {given.json}: its folder does not exist")
    return Options(
        cases, only, tuple(given.variants), precision, device, given.repeats, given.json, given.cached
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description="Measures time, memory and arithmetic of train steps, their parts, geometry, prediction and input.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    several = {"nargs": "+", "metavar": "VALUE"}
    parser.add_argument(
        "--only",
        choices=PARTS,
        default=_BY_DEFAULT,
        help=f"of {' '.join(PARTS)}; prediction belongs to steps, and batch is the largest batch for memory of some sizes",
        **several,
    )
    parser.add_argument("--phases", choices=tuple(PHASES), default=("1", "2"), help="of 1 2", **several)
    parser.add_argument(
        "--variants", choices=tuple(ABLATIONS), default=("basic", "full"), help=f"of {' '.join(ABLATIONS)}", **several
    )
    parser.add_argument(
        "--networks", choices=tuple(NETWORKS), default=("lite",), help=f"of {' '.join(NETWORKS)}", **several
    )
    parser.add_argument(
        "--presets", choices=PRESETS, default=("paper",), help="of paper released: whose choices in the objective", **several
    )
    parser.add_argument("--batch", type=_positive, default=(2,), help="snippets, one or more numbers", **several)
    sizes = "rows x columns, such as 256x832, one or more; in phase 2 both multiples of 64"
    parser.add_argument("--size", type=_size, default=((128, 448),), help=sizes, **several)
    parser.add_argument("--precision", choices=tuple(PRECISIONS), help="of the networks; tf32 on a GPU only")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="that of JAX's choice if not given")
    parser.add_argument("--repeats", type=_positive, default=5, help="rounds of calls that are timed")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where to write the numbers")
    parser.add_argument("--peer", action="store_true", help="also compare with the same steps in PyTorch")
    parser.add_argument("--cached", action="store_true", help="also time compiling from the persistent cache")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: expected rows and columns, such as 128x448")
    return int(match[1]), int(match[2])


def _device(platform: str | None) -> jax.Device:
    try:
        return jax.local_devices(backend=platform)[0]
    except RuntimeError as error:
        raise UserError(f"--device is {platform}: JAX sees no such device here") from error
