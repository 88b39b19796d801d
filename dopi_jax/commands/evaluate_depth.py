"""Depth on the Eigen test list, in both protocols, beside the paper's tables and two baselines."""

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax import evaluation, predict, visualization
from dopi_jax.commands.evaluation_run import EvaluationRun
from dopi_jax.data.images import network_input, read_image
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.velodyne import eigen_test_images, with_ground_truth
from dopi_jax.errors import UserError

_PROTOCOLS = ("cc", "monodepth2")
_PICTURES = 6
_TRAINING_FRAMES = 300  # at most, spread evenly, that the training median is made of


def evaluate(run: EvaluationRun) -> None:
    """Prints and writes depth metrics of a run (paper Tables I and II).

    Args:
      run: The run.

    Raises:
      UserError: The run has no depth network, or no image of the list is at hand.
    """
    run.require("depth")
    images, expected = eigen_test_images(run.root)
    predict_disparity = predict.make_predict_disparity(run.config)
    truths = [image.ground_truth() for image in images]
    baselines = {
        "constant depth": evaluation.constant_depth_baseline(),
        "best depth per row": evaluation.row_profile_baseline(truths),
        **_training_median(run),
    }
    candidates = {name: [depth] * len(images) for name, depth in baselines.items()} | {"dopi_jax": []}
    pictures = []
    for image, truth in zip(tqdm(images, unit="image"), truths, strict=True):
        pixels = read_image(image.image, run.image_size)
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
    table = evaluation.depth_table(ours, len(images), expected, of_baselines)
    rows = [
        {"image": str(image.image.relative_to(run.root)), "protocol": protocol, **metrics}
        for protocol in _PROTOCOLS
        for image, metrics in zip(images, per_image["dopi_jax", protocol], strict=True)
    ]
    summary = {
        "evaluated": len(images),
        "expected": expected,
        **{protocol: means["dopi_jax", protocol] for protocol in _PROTOCOLS},
        "baselines": of_baselines,
    }
    run.write_results("depth", table, summary, rows)
    some = pictures[:: max(1, len(pictures) // _PICTURES)][:_PICTURES]
    Image.fromarray(visualization.stack_panels(some)).save(run.results_folder() / "depth.png")


def _error_map(truth: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The error at the pixels of the depth map that laser points fall into."""
    shape = depth.shape
    coarse = np.zeros(shape)
    row, column = np.nonzero(truth)
    coarse[row * shape[0] // truth.shape[0], column * shape[1] // truth.shape[1]] = truth[row, column]
    return visualization.depth_error_map(coarse, depth)


def _training_median(run: EvaluationRun) -> dict[str, np.ndarray]:
    """The median depth per pixel of frames that were trained on, as far as they and their laser scans are at hand."""
    images = []
    for selection in run.config.data.train:
        try:
            sequences = select_sequences(run.root, selection)
        except UserError:  # evaluated on a machine that has the test frames alone
            continue
        images += with_ground_truth(frame for sequence in sequences for frame in sequence.frames)
    if not images:
        return {}
    some = images[:: -(-len(images) // _TRAINING_FRAMES)]
    return {"training median": evaluation.pixel_median_baseline(image.ground_truth() for image in tqdm(some, unit="scan"))}
