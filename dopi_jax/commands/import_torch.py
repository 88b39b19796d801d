"""`dopi-jax import-torch`: PyTorch checkpoints of the authors' and of Competitive Collaboration's code, as runs."""

import argparse
import pathlib
from typing import Any

from dopi_jax import config as config_lib
from dopi_jax.command_line.flags import use_compilation_cache
from dopi_jax.command_line.sizes import parse_size
from dopi_jax.config import Config, apply_flow_variant, apply_variant
from dopi_jax.errors import ArgumentParser, UserError, report_user_errors
from dopi_jax.interop.torch_file import read_torch_file
from dopi_jax.interop.torch_weights import convert
from dopi_jax.model_file import SUFFIX, write_model
from dopi_jax.training.saved_networks import save_networks

_EXAMPLE = """\
  dopi-jax import-torch disp_model.pth.tar posenet.pth.tar flownet.pth.tar --out runs/imported
  dopi-jax predict my.mp4 --model runs/imported/flow --out runs/my_video
  python evaluate.py --task depth --workdir runs/imported/depthpose
  dopi-jax import-torch disp_model.pth.tar --out depth.npz
"""
# Part of a tensor's name that only one network has.
_MARKS = {"depth": "predict_disp", "pose": "pose_pred", "flow": "decoder_fwd"}
_VARIANTS = {"authors": "full,released", "cc": "full"}


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    with report_user_errors():
        use_compilation_cache()
        run(_parser().parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Converts the files and writes the runs, or the model.

    Raises:
      UserError: A file is no such checkpoint, two hold the same network, or the folder cannot be written.
    """
    size = parse_size(options.size, "--size")
    networks: dict[str, dict[str, Any]] = {}
    for path in options.files:
        name, variables = _read(path)
        if name in networks:
            raise UserError(f"{path} holds a {name} network, and so does a file before it: give one of each")
        networks[name] = variables
    if options.out.suffix == SUFFIX:
        config = _config("flow" if "flow" in networks else "depthpose", networks, options.trained_by, size)
        write_model(options.out, config, networks, 0)
        print(f"{', '.join(networks)} in {options.out}")
        return
    if ("depth" in networks) != ("pose" in networks):
        raise UserError(
            f"the files hold {', '.join(networks)}: a run of phase 1 has depth and pose networks, give both; or name a file "
            f"NAME{SUFFIX} by --out, which takes any"
        )
    if options.out.exists() and any(options.out.iterdir()):
        raise UserError(f"{options.out} is there already and is not empty: choose another --out")
    geometry = {name: networks[name] for name in ("depth", "pose") if name in networks}
    try:
        if geometry:
            _write_run(options.out / "depthpose", _config("depthpose", networks, options.trained_by, size), geometry)
        if "flow" in networks:
            config = _config("flow", networks, options.trained_by, size)
            config.depthpose = str(options.out / "depthpose") if geometry else ""
            _write_run(options.out / "flow", config, {"flow": networks["flow"]}, geometry)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written ({error.strerror}): choose another --out") from error


def _read(path: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """Which network a file holds, and its variables."""
    state_dict = read_torch_file(path)
    tensors = state_dict.get("state_dict", state_dict)
    if not isinstance(tensors, dict):
        raise UserError(f"{path} has no state dict: expected tensors by name, alone or under 'state_dict'")
    found = [network for network, mark in _MARKS.items() if any(mark in str(name) for name in tensors)]
    if len(found) != 1:
        some = ", ".join(list(map(str, tensors))[:3]) or "nothing"
        raise UserError(f"{path} holds {some}...: expected the tensors of DispResNet6 or S6, PoseNetB6 or Back2Future")
    try:
        variables = convert(tensors, found[0])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    # Back2Future's occlusion decoders, which neither the paper nor its code trains.
    for level in variables["params"].values():
        level.pop("occlusion", None)
    return found[0], variables


def _config(phase: str, networks: dict[str, dict[str, Any]], trained_by: str, size: tuple[int, int]) -> Config:
    config = Config(name=f"imported_{phase}", phase=phase)
    variant = _VARIANTS[trained_by]
    config = apply_variant(config, variant) if phase == "depthpose" else apply_flow_variant(config, variant)
    config.loss.normalize_all_disparities = trained_by == "authors"
    if "depth" in networks:
        config.model.depth = "resnet_s6" if "block2" in networks["depth"]["params"]["conv4"] else "resnet6"
    if phase == "flow" and "depth" not in networks:
        config = apply_flow_variant(config, "basic")
    config.data.height, config.data.width = size
    config_lib.check(config)
    return config


def _write_run(
    folder: pathlib.Path, config: Config, networks: dict[str, Any], taught_by: dict[str, Any] | None = None
) -> None:
    folder.mkdir(parents=True)
    save_networks(folder / "best", networks, 0)
    if taught_by:
        save_networks(folder / "depthpose", taught_by, 0)
    (folder / "config.json").write_text(config_lib.to_json(config), encoding="utf-8")
    print(f"{', '.join([*networks, *(taught_by or ())])} in {folder}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax import-torch",
        description="Converts PyTorch checkpoints of this method to runs; PyTorch is not needed, and no code in them runs.",
        example=_EXAMPLE,
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help="checkpoints, in any order")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="OUT", help="folder for the runs, or NAME.npz")
    parser.add_argument("--size", default="256x832", metavar="HxW", help="that they were trained at (default: %(default)s)")
    whose = "whose code: the authors' divides every disparity by its maximum (default: %(default)s)"
    parser.add_argument("--trained-by", choices=tuple(_VARIANTS), default="authors", help=whose)
    return parser
