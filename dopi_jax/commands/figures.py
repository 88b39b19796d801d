"""`dopi-jax figures`: the paper's qualitative figures from your own runs."""

import argparse
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dopi_jax import losses, predict, visualization
from dopi_jax.augment import network_batch
from dopi_jax.command_line import flags as command_flags
from dopi_jax.config import Config
from dopi_jax.data.pipeline import validation_batches
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.errors import ArgumentParser, UserError
from dopi_jax.models import learned_intrinsics
from dopi_jax.networks import build_geometry
from dopi_jax.objectives import view_sources
from dopi_jax.picture_files import write_picture
from dopi_jax.training.trained import read_run

_EXAMPLE = """\
  dopi-jax figures runs/kitti_depthpose runs/kitti_depthpose_basic --source DATA --select kitti_raw:eigen_val --out figures

writes masks_RUN.png (Fig. 9: frame, source warped to it, and in red what the edge, overlap, blank and less-than-mean masks
hide of it), normalisation.png (Fig. 10: disparity of the same frames by every run, such as one of each normalisation, and
the map that its smoothness sees) and, of runs with a flow network, flow_RUN.png (frame, flow of the network, rigid flow of
depth and motion). Figs. 11 to 13, depth and flow with their errors and trajectories, evaluate.py draws into RUN/evaluation/.
"""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; a user's mistake is one sentence on stderr and exit status 1.

    Args:
      arguments: Of the command line; those of this process if None.
    """
    command_flags.run_with_options(run, _parser(), arguments)


def run(options: argparse.Namespace) -> None:
    """Draws the figures.

    Raises:
      UserError: A folder holds no run, there is no snippet, or the pictures cannot be written.
    """
    if options.snippets < 1:
        raise UserError(f"--snippets is {options.snippets}: expected 1 or more")
    roots = find_data_roots(options.source, "--source")
    runs = {folder: read_run(folder) for folder in options.runs}
    titles = [folder.name for folder in options.runs]
    if len(set(titles)) < len(titles):
        raise UserError(f"two runs are called {max(titles, key=titles.count)!r}, and so would their figures be: rename one")
    disparities: dict[str, list[list[np.ndarray]]] = {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for folder, (config, variables, _) in runs.items():
            batch = _snippets(options, roots, config)
            if "depth" in variables and "pose" in variables:
                _save(options.out / f"masks_{folder.name}.png", _mask_rows(config, variables, batch))
            if "depth" in variables:
                disparities[folder.name] = _normalisation_rows(config, variables, batch)
            if "flow" in variables:
                _save(options.out / f"flow_{folder.name}.png", _flow_rows(config, variables, batch))
        if disparities:
            size = next(iter(disparities.values()))[0][0].shape[1::-1]
            rows = [[p for of_run in disparities.values() for p in of_run[i]] for i in range(options.snippets)]
            resized = [[np.asarray(Image.fromarray(p).resize(size)) for p in row] for row in rows]
            _save(options.out / "normalisation.png", resized)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written ({error.strerror}): choose another --out") from error


def _snippets(options: argparse.Namespace, roots: tuple[pathlib.Path, ...], config: Config) -> dict[str, jax.Array]:
    """Some snippets, evenly spread, at a run's size."""
    sequences = select_sequences(roots, options.select)
    size = config.data.height, config.data.width
    return network_batch(next(validation_batches(sequences, size, options.snippets, at_most=1)))


def _mask_rows(config: Config, variables: dict[str, Any], batch: dict[str, jax.Array]) -> list[list[np.ndarray]]:
    K = learned_intrinsics(variables, batch["intrinsics"])
    geometry = jax.jit(build_geometry(config))(variables, batch["target"], batch["sources"], K)
    of_snippet = jax.vmap(lambda d, s, p, t, i, K: view_sources(1 / d, 1 / s, p, t, i, K, config.loss))
    views = jax.device_get(jax.jit(of_snippet)(*geometry, batch["target"], batch["sources"], K))
    rows = []
    for index, target in enumerate(np.asarray(batch["target"])):
        view = jax.tree.map(lambda x, i=index: x[i, 1], views)  # the frame after
        less = losses.less_than_mean_mask(view.error, view.masks.visible, config.loss.less_than_mean_factor)
        picture = visualization.image_colours(target)
        masks = [*view.masks, np.asarray(less)]
        hidden = [visualization.mask_overlay(picture, mask) for mask in masks]
        rows.append([picture, visualization.image_colours(view.warped), *hidden])
    return rows


def _normalisation_rows(config: Config, variables: dict[str, Any], batch: dict[str, jax.Array]) -> list[list[np.ndarray]]:
    disparities = predict.make_predict_disparity(config)(variables, batch["target"])
    by_mean = config.loss.smoothness_normalization == "mean"
    seen = losses.mean_normalized_disparity if by_mean else losses.max_normalized_disparity
    return [
        [visualization.depth_colours(d), visualization.depth_colours(np.asarray(seen(jnp.asarray(d))), 0.0, None)]
        for d in np.asarray(disparities)
    ]


def _flow_rows(config: Config, variables: dict[str, Any], batch: dict[str, jax.Array]) -> list[list[np.ndarray]]:
    flow = np.asarray(predict.make_predict_flow(config)(variables, batch["target"], batch["sources"]))[:, 1]
    rows = [
        [visualization.image_colours(t), visualization.flow_colours(f)]
        for t, f in zip(np.asarray(batch["target"]), flow, strict=True)
    ]
    if "depth" in variables:
        seen = batch["target"], batch["sources"], batch["intrinsics"]
        rigid, _ = predict.make_predict_rigid_flow(config)(variables, *seen)
        for row, found in zip(rows, np.asarray(rigid)[:, 1], strict=True):
            row.append(visualization.flow_colours(found))
    return rows


def _save(path: pathlib.Path, rows: list[list[np.ndarray]]) -> None:
    write_picture(path, visualization.stack_panels(rows))
    print(path)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "dopi-jax figures", description="Draws the paper's Figs. 9 and 10, and flow, from your own runs.", example=_EXAMPLE
    )
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--source", default="", metavar="DATA", help="data root (default: $DOPI_DATA)")
    parser.add_argument("--select", required=True, metavar="SELECTION", help="frames, as in config.data.validation")
    parser.add_argument("--snippets", type=int, default=4, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR", help="folder for the pictures")
    return parser
