"""Depth metrics of the KITTI Eigen test list, in the two protocols in use, and two baselines to read them against.

A monocular network knows depth only up to a factor, so each prediction is first multiplied by
median(truth) / median(prediction). The protocols differ in how a prediction gets to the resolution of the ground truth,
and in whether it is clipped to the evaluated range before or after that scaling (D26).
"""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from dopi_jax.errors import UserError

DEPTH_METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")

# The part of the image that Garg et al. (ECCV 2016) evaluate, as fractions of height and width.
_GARG_ROWS = (0.40810811, 0.99189189)
_GARG_COLUMNS = (0.03594771, 0.96405229)


def depth_metrics(
    gt: np.ndarray,
    pred: np.ndarray,
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
    crop: str | None = "garg",
    protocol: str = "cc",
) -> dict[str, float]:
    """Compares one predicted depth map with sparse ground truth (the columns of the paper's Tables I and II; D26).

    Args:
      gt: ground truth [H, W] in metres, 0 where there is none.
      pred: predicted depth [h, w] of any size, finite and above 0; resized to [H, W]. In any unit for "monodepth2"; for
        "cc" in one in which it lies between min_depth and max_depth, or clipping takes its shape away.
      min_depth: only ground truth strictly above this is evaluated, in metres.
      max_depth: only ground truth strictly below this is evaluated, in metres.
      crop: "garg" for the central part of the image that the field evaluates, None for the whole image.
      protocol: "cc" resizes depth by cubic splines and clips it before scaling, as the paper and the code it builds on do;
        "monodepth2" resizes inverse depth bilinearly and clips after scaling, as most later papers do.

    Returns:
      abs_rel, sq_rel (metres), rmse (metres), rmse_log, the shares a1, a2, a3 of pixels within a factor of 1.25, 1.25²
      and 1.25³, and `scale`, the factor median(gt) / median(pred) that was applied.

    Raises:
      UserError: no pixel of the ground truth can be evaluated, or an argument is not of the form said above.

    Warns:
      UserWarning: "cc" clips more than half of the prediction.
    """
    gt, pred = _depth_map("ground truth", gt), _depth_map("predicted", pred)
    if not np.all(np.isfinite(pred) & (pred > 0)):
        raise UserError("predicted depth has values that are not finite or not above 0: expected positive depths")
    if not 0 < min_depth < max_depth:
        raise UserError(f"depth range is ({min_depth}, {max_depth}): expected 0 < min_depth < max_depth")
    mask = require_ground_truth(gt, min_depth, max_depth, crop)
    truth = gt[mask]
    if protocol == "cc":
        unclipped = _resize_cubic(pred, gt.shape)[mask]
        resized = np.clip(unclipped, min_depth, max_depth)
        if np.mean(resized != unclipped) > 0.5:
            warnings.warn(
                f"predicted depth has its median at {np.median(unclipped):.3g}, and protocol 'cc' clips most of it to "
                f"{min_depth:g} ... {max_depth:g} before it is scaled: the metrics say little; predict in about metres, or "
                "use protocol='monodepth2', which clips after scaling",
                stacklevel=2,
            )
        scale = np.median(truth) / np.median(resized)
        scaled = resized * scale
    elif protocol == "monodepth2":
        resized = 1 / _resize_bilinear(1 / pred, gt.shape)[mask]
        scale = np.median(truth) / np.median(resized)
        scaled = np.clip(resized * scale, min_depth, max_depth)
    else:
        raise UserError(f"protocol is {protocol!r}: expected 'cc' or 'monodepth2'")
    return {**_errors(truth, scaled), "scale": float(scale)}


def require_ground_truth(
    gt: np.ndarray, min_depth: float = 1e-3, max_depth: float = 80.0, crop: str | None = "garg"
) -> np.ndarray:
    """Refuses ground truth that has nothing to be evaluated; arguments as `depth_metrics` takes them.

    Returns:
      Boolean [H, W], the pixels to evaluate.

    Raises:
      UserError: there is none.
    """
    mask = _evaluated_pixels(_depth_map("ground truth", gt), min_depth, max_depth, crop)
    if not mask.any():
        raise UserError(
            f"ground truth depth has no value between {min_depth} and {max_depth} m inside the crop {crop!r}: "
            "leave this frame out of the evaluation"
        )
    return mask


def average_depth_metrics(per_image: Sequence[dict[str, float]]) -> dict[str, float]:
    """Averages `depth_metrics` over images, every image counting the same.

    Args:
      per_image: the results of `depth_metrics`, at least one.

    Returns:
      The mean of every metric, `scale_median` and `scale_std` of the images' scale factors (their quotient says how
      consistent the predicted scale is from image to image), and the number of `images`.

    Raises:
      UserError: there is nothing to average.
    """
    if not per_image:
        raise UserError("depth evaluation has 0 images: expected at least one frame with ground truth")
    means = {name: float(np.mean([image[name] for image in per_image])) for name in DEPTH_METRICS}
    scales = np.array([image["scale"] for image in per_image])
    return {
        **means,
        "scale_median": float(np.median(scales)),
        "scale_std": float(np.std(scales)),
        "images": len(per_image),
    }


def constant_depth_baseline() -> np.ndarray:
    """Returns the depth [1, 1] of a scene equally far everywhere: the score without looking at the image."""
    return np.ones((1, 1))


def row_profile_baseline(gts: Iterable[np.ndarray], min_depth: float = 1e-3, max_depth: float = 80.0) -> np.ndarray:
    """Fits one depth per image row to the evaluated frames themselves: the score of knowing only "lower is nearer".

    It has seen the ground truth it is judged by, so a network that does not beat it has learnt little about the scene.

    Args:
      gts: ground truth depths [H, W] in metres, 0 where there is none; a frame of another height counts towards the
        rows at the same fraction of the height.
      min_depth: values not above this are left out, in metres.
      max_depth: values not below this are left out, in metres.

    Returns:
      Depth [H, 1] in metres, H that of the first frame: the median of each row over all frames, linear between rows
      with ground truth and constant beyond the first and the last of them.

    Raises:
      UserError: no frame has ground truth in the range.
    """
    (height, _), (rows, _), depths = _gather(gts, min_depth, max_depth)
    filled, medians = _medians(rows, depths)
    return np.interp(np.arange(height), filled, medians)[:, None]


def pixel_median_baseline(gts: Iterable[np.ndarray], min_depth: float = 1e-3, max_depth: float = 80.0) -> np.ndarray:
    """Fits one depth per pixel to training frames: the score of knowing only the usual layout of streets.

    Args:
      gts: ground truth depths [H, W] in metres, 0 where there is none; a frame of another size counts towards the pixels
        at the same fractions of height and width.
      min_depth: values not above this are left out, in metres.
      max_depth: values not below this are left out, in metres.

    Returns:
      Depth [H, W] in metres, of the first frame's size: the median of each pixel over all frames, and that of its row, as
      in `row_profile_baseline`, where no frame has ground truth.

    Raises:
      UserError: no frame has ground truth in the range.
    """
    (height, width), (rows, columns), depths = _gather(gts, min_depth, max_depth)
    filled, medians = _medians(rows, depths)
    baseline = np.repeat(np.interp(np.arange(height), filled, medians)[:, None], width, axis=1)
    pixels, medians = _medians(rows * width + columns, depths)
    baseline.flat[pixels] = medians
    return baseline


def _gather(gts: Iterable[np.ndarray], min_depth: float, max_depth: float):
    """The size of the first frame, the (rows, columns) there of all ground truth in range, and its depths."""
    shape, places, depths = None, [], []
    for gt in gts:
        gt = _depth_map("ground truth", gt)
        shape = shape or gt.shape
        mask = _evaluated_pixels(gt, min_depth, max_depth, crop=None)
        places.append([index * size // own for index, size, own in zip(np.nonzero(mask), shape, gt.shape, strict=True)])
        depths.append(gt[mask])
    if not any(values.size for values in depths):
        raise UserError(f"the baseline has no ground truth between {min_depth} and {max_depth} m to be fitted to")
    return shape, np.concatenate(places, axis=1), np.concatenate(depths)


def _medians(groups: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The groups [N] that occur, ascending, and the median of each one's values [N]."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    return present, [np.median(of_group) for of_group in np.split(values[order], starts[1:])]


def _errors(truth: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """The seven metrics over the evaluated pixels [N] of one image, both depths in metres."""
    difference = truth - pred
    factor = np.maximum(truth / pred, pred / truth)
    values = (
        np.mean(np.abs(difference) / truth),
        np.mean(difference**2 / truth),
        np.sqrt(np.mean(difference**2)),
        np.sqrt(np.mean((np.log(truth) - np.log(pred)) ** 2)),
        *(np.mean(factor < 1.25**power) for power in (1, 2, 3)),
    )
    return dict(zip(DEPTH_METRICS, map(float, values), strict=True))


def _depth_map(name: str, depth: np.ndarray) -> np.ndarray:
    depth = np.asarray(depth, np.float64)
    if depth.ndim != 2 or depth.size == 0:
        raise UserError(f"{name} depth has shape {depth.shape}: expected one map [height, width]")
    return depth


def _evaluated_pixels(gt: np.ndarray, min_depth: float, max_depth: float, crop: str | None) -> np.ndarray:
    """The mask [H, W] of pixels with ground truth in the open range and inside the crop."""
    mask = (gt > min_depth) & (gt < max_depth)
    if crop is None:
        return mask
    if crop != "garg":
        raise UserError(f"crop is {crop!r}: expected 'garg' or None")
    height, width = gt.shape
    inside = np.zeros_like(mask)
    top, bottom = (int(fraction * height) for fraction in _GARG_ROWS)
    left, right = (int(fraction * width) for fraction in _GARG_COLUMNS)
    inside[top:bottom, left:right] = True
    return mask & inside


def _resize_cubic(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cubic splines through the pixels, first and last pixels on the first and last of the result."""
    return ndimage.zoom(image, (shape[0] / image.shape[0], shape[1] / image.shape[1]), order=3)


def _resize_bilinear(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear between pixel centres that lie half a pixel inside the border; constant beyond the outermost centres."""
    for axis, size in enumerate(shape):
        last = image.shape[axis] - 1
        position = np.clip((np.arange(size) + 0.5) * image.shape[axis] / size - 0.5, 0, last)
        below = np.floor(position).astype(int)
        weight = np.expand_dims(position - below, 1 - axis)
        above = np.minimum(below + 1, last)
        image = image.take(below, axis) * (1 - weight) + image.take(above, axis) * weight
    return image
