"""Depth on the Eigen test list, in both protocols, beside the paper's tables and two baselines."""

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, predict, visualization
from dopi_jax.data import improved_depth
from dopi_jax.data.images import network_input, read_image
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.velodyne import EvaluationImage, eigen_test_images, with_ground_truth
from dopi_jax.errors import UserError
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.skipped import Skipped, depth_truth
from dopi_jax.picture_files import write_depth_map

_PROTOCOLS = ("cc", "monodepth2")
_PICTURES = 6
_TRAINING_FRAMES = 300  # at most, evenly spread, for the training median


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes depth metrics of a run (paper Tables I and II).

    Args:
      run: The run.

    Raises:
      UserError: The run has no depth network, or no image of the list is at hand with ground truth that can be read.
    """
    run.require("depth")
    images, expected = eigen_test_images(*run.roots)
    predict_disparity = predict.make_predict_disparity(run.config)
    skipped = Skipped()

    def read(image: EvaluationImage) -> tuple[np.ndarray, np.ndarray]:
        return depth_truth(image), read_image(image.image, run.image_size)

    read_images = list(skipped.readable(tqdm(images, unit="scan"), read))
    if not read_images:
        raise skipped.none_left("Eigen test frames at hand")
    skipped.print_notes()
    images = [image for image, _ in read_images]
    truths = [truth for _, (truth, _) in read_images]
    baselines = {
        "constant depth": evaluation.constant_depth_baseline(),
        "best depth per row": evaluation.row_profile_baseline(truths),
        **_training_median(run),
    }
    candidates = {name: [depth] * len(images) for name, depth in baselines.items()} | {"dopi_jax": []}
    pictures = []
    for _, (truth, pixels) in tqdm(read_images, unit="image"):
        disparity = np.asarray(predict_disparity(run.variables, network_input(pixels)[None]))[0]
        candidates["dopi_jax"].append(1 / disparity)
        pictures.append([pixels, visualization.depth_colours(disparity), _error_map(truth, 1 / disparity)])

    per_image = {
        (name, protocol): [
            evaluation.depth_metrics(truth, depth, protocol=protocol) for truth, depth in zip(truths, depths, strict=True)
        ]
        for name, depths in candidates.items()
        for protocol in _PROTOCOLS
    }
    means = {key: evaluation.average_depth_metrics(values) for key, values in per_image.items()}
    ours = {f"dopi_jax, {protocol} protocol": means["dopi_jax", protocol] for protocol in _PROTOCOLS}
    of_baselines = {name: means[name, "cc"] for name in baselines}
    table = evaluation.depth_table(ours, len(images), expected, of_baselines, skipped.reasons, run.data_name)
    rows = [
        {"image": _name(run, image), "protocol": protocol, **metrics}
        for protocol in _PROTOCOLS
        for image, metrics in zip(images, per_image["dopi_jax", protocol], strict=True)
    ]
    summary = {
        "evaluated": len(images),
        "expected": expected,
        "left_out": skipped.reasons,
        **{protocol: means["dopi_jax", protocol] for protocol in _PROTOCOLS},
        "baselines": of_baselines,
    }
    improved = _improved(run, images, candidates)
    if improved:
        table += "\n\n" + evaluation.improved_depth_table(improved, improved_depth.COUNT)
        summary["improved"] = improved
    run.write_results("depth", table, summary, rows)
    some = pictures[:: max(1, len(pictures) // _PICTURES)][:_PICTURES]
    Image.fromarray(visualization.stack_panels(some)).save(run.results_folder() / "depth.png")
    worst = np.argsort([-metrics["abs_rel"] for metrics in per_image["dopi_jax", "cc"]])[:_PICTURES]
    Image.fromarray(visualization.stack_panels([pictures[i] for i in worst])).save(run.results_folder() / "depth_worst.png")
    if run.saves_predictions:
        _save(run, images, candidates["dopi_jax"], per_image["dopi_jax", "cc"])


def _improved(
    run: EvaluationRun, images: list[EvaluationImage], candidates: dict[str, list[np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Mean metrics by KITTI's improved depth maps, without a crop as is usual with them; {} if there are none."""
    files = [improved_depth.improved_depth_file(image, *run.roots) for image in images]
    skipped = Skipped()
    found = [i for i, file in enumerate(files) if file is not None]
    truths = list(skipped.readable(found, lambda i: improved_depth.read_improved_depth(files[i])))
    skipped.print_notes()
    if not truths:
        return {}
    means = {}
    for name, depths in candidates.items():
        metrics = [
            evaluation.depth_metrics(truth, depths[i], crop=None, protocol="monodepth2") for i, truth in truths
        ]
        means[name] = {**evaluation.average_depth_metrics(metrics), "images": len(truths)}
    return means


def _save(
    run: EvaluationRun, images: list[EvaluationImage], depths: list[np.ndarray], metrics: list[dict[str, float]]
) -> None:
    """Writes every depth map, median-scaled, as metres times 256, at the networks' size."""
    folder = run.results_folder() / "depth_predictions"
    folder.mkdir(exist_ok=True)
    for image, depth, of_image in zip(images, depths, metrics, strict=True):
        write_depth_map(folder / f"{image.image.parents[2].name}_{image.image.stem}.png", depth * of_image["scale"])


def _name(run: EvaluationRun, image: EvaluationImage) -> str:
    """The frame's path below its data root."""
    root = next(root for root in run.roots if image.image.is_relative_to(root))
    return str(image.image.relative_to(root))


def _error_map(truth: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The error of depth at the pixels that have a laser point."""
    shape = depth.shape
    coarse = np.zeros(shape)
    row, column = np.nonzero(truth)
    coarse[row * shape[0] // truth.shape[0], column * shape[1] // truth.shape[1]] = truth[row, column]
    return visualization.depth_error_map(coarse, depth)


def _training_median(run: EvaluationRun) -> dict[str, np.ndarray]:
    """The median depth per pixel of the training frames that are at hand with laser scans."""
    images = []
    for selection in run.config.data.train:
        try:
            sequences = select_sequences(run.roots, selection)
        except UserError:  # only the test frames are at hand
            continue
        images += with_ground_truth(frame for sequence in sequences for frame in sequence.frames)
    if not images:
        return {}
    skipped = Skipped()
    some = tqdm(images[:: -(-len(images) // _TRAINING_FRAMES)], unit="scan")
    truths = (truth for _, truth in skipped.readable(some, depth_truth))
    try:
        return {"training median": evaluation.pixel_median_baseline(truths)}
    except UserError:  # none of them can be read
        return {}
    finally:
        skipped.print_notes()
