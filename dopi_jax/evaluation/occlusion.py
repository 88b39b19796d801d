"""How well a rule finds the pixels that cannot be seen in another frame, against exact truth. Numpy, one map at a time."""

from collections.abc import Sequence

import numpy as np

from dopi_jax.errors import UserError


def occlusion_metrics(gt: np.ndarray, pred: np.ndarray, valid: np.ndarray | None = None) -> dict[str, float]:
    """Compares predicted with true occlusion; "occluded" is the class that is looked for.

    Args:
      gt: boolean [...], True = occluded.
      pred: boolean [...], True = said to be occluded.
      valid: boolean [...], the pixels to evaluate; None for all.

    Returns:
      `precision`, the share of the predicted pixels that are occluded; `recall`, the share of the occluded pixels that are
      predicted; `f1`, their harmonic mean, each in 0..1 and 1 where there is nothing to be found and nothing was; and the
      numbers of pixels `true_positives`, `false_positives`, `false_negatives`.

    Raises:
      UserError: the shapes do not agree.
    """
    gt, pred = np.asarray(gt, bool), np.asarray(pred, bool)
    valid = np.ones(gt.shape, bool) if valid is None else np.asarray(valid, bool)
    if not gt.shape == pred.shape == valid.shape:
        raise UserError(
            f"true occlusion is {gt.shape}, predicted occlusion {pred.shape} and the valid pixels {valid.shape}: expected "
            "one size (height, width)"
        )
    counts = np.count_nonzero(gt & pred & valid), np.count_nonzero(~gt & pred & valid), np.count_nonzero(gt & ~pred & valid)
    return _from_counts(*counts)


def pool_occlusion_metrics(per_image: Sequence[dict[str, float]]) -> dict[str, float]:
    """Returns the metrics over the pixels of all images together: in many images hardly anything is occluded.

    Args:
      per_image: results of `occlusion_metrics`.

    Returns:
      As `occlusion_metrics`, and `images`, their number.

    Raises:
      UserError: there are none.
    """
    if not per_image:
        raise UserError("no image was evaluated: expected at least one")
    names = ("true_positives", "false_positives", "false_negatives")
    counts = [sum(int(metrics[name]) for metrics in per_image) for name in names]
    return {**_from_counts(*counts), "images": len(per_image)}


def _from_counts(true_positives: int, false_positives: int, false_negatives: int) -> dict[str, float]:
    predicted, occluded = true_positives + false_positives, true_positives + false_negatives
    return {
        "precision": true_positives / predicted if predicted else 1.0,
        "recall": true_positives / occluded if occluded else 1.0,
        "f1": 2 * true_positives / (predicted + occluded) if predicted + occluded else 1.0,
        "true_positives": true_positives,
        "false_positives": false_positives,
        "false_negatives": false_negatives,
    }
