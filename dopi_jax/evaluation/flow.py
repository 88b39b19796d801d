"""Optical flow metrics of KITTI 2015: end-point error and the share of wrong pixels, by region, and their averages.

The region "all" is what the paper's Tables IV and V report. KITTI calls a pixel not occluded ("noc") if it is still inside
the next image, and occluded ("occ") if it has left it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from dopi_jax.errors import UserError

FLOW_REGIONS = ("all", "noc", "occ", "moving", "static")

_ABSOLUTE_TOLERANCE = 3.0  # pixels
_RELATIVE_TOLERANCE = 0.05  # of the length of the true flow


def flow_metrics(gt: np.ndarray, pred: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Compares one predicted flow map with ground truth (the columns of the paper's Tables IV and V).

    Args:
      gt: true flow [H, W, 2] = (u, v) in pixels.
      pred: predicted flow [H, W, 2] in the same pixels; see `resize_flow`.
      valid: boolean [H, W], the pixels to evaluate.

    Returns:
      `epe`, the mean length of the error in pixels; `fl` in 0..1, the share of pixels whose error is above 3 px and above
      5 % of the length of the true flow (the paper's F1); and the number of `pixels` evaluated.

    Raises:
      UserError: the shapes do not agree, no pixel is valid, or the flow of a valid one is not finite.
    """
    gt, pred, valid = _flow_map("true", gt), _flow_map("predicted", pred), np.asarray(valid, bool)
    if not gt.shape[:2] == pred.shape[:2] == valid.shape:
        raise UserError(
            f"true flow is {gt.shape[:2]}, predicted flow {pred.shape[:2]} and the valid pixels {valid.shape}: expected one "
            "size (height, width); resize the prediction with resize_flow"
        )
    if not valid.any():
        raise UserError("flow has no valid pixel to be evaluated: leave this image, or this region of it, out")
    gt, pred = gt[valid], pred[valid]
    if not (np.all(np.isfinite(gt)) and np.all(np.isfinite(pred))):
        raise UserError("flow has values that are not finite where it is to be evaluated: expected pixels")
    error = np.linalg.norm(gt - pred, axis=-1)
    return {
        "epe": float(np.mean(error)),
        "fl": float(np.mean(error > tolerated_error(gt))),
        "pixels": len(error),
    }


def tolerated_error(gt: np.ndarray) -> np.ndarray:
    """Returns the largest error [...] in pixels that does not make the prediction of a true flow [..., 2] a wrong one."""
    return np.maximum(_ABSOLUTE_TOLERANCE, _RELATIVE_TOLERANCE * np.linalg.norm(gt, axis=-1))


def flow_regions(valid: np.ndarray, valid_noc: np.ndarray, moving: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Splits the pixels with ground truth into the regions of KITTI 2015.

    Args:
      valid: boolean [H, W], pixels with ground truth (flow_occ).
      valid_noc: boolean [H, W], those of them that stay inside the image (flow_noc).
      moving: boolean [H, W], pixels of moving objects; None if that is not known.

    Returns:
      Boolean [H, W] by name: "all", "noc", "occ", and with `moving` also "moving" and "static".
    """
    regions = {"all": valid, "noc": valid & valid_noc, "occ": valid & ~valid_noc}
    if moving is not None:
        regions |= {"moving": valid & moving, "static": valid & ~moving}
    return regions


def regional_flow_metrics(
    gt: np.ndarray, pred: np.ndarray, regions: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Returns `flow_metrics` of one image in each region that has a pixel; arguments as there and in `flow_regions`."""
    return {name: flow_metrics(gt, pred, region) for name, region in regions.items() if region.any()}


def average_flow_metrics(per_image: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Averages `regional_flow_metrics` over images in the two ways in use.

    Args:
      per_image: the results of `regional_flow_metrics`, at least one. An image without a region is left out there.

    Returns:
      By region, in the order of `FLOW_REGIONS`: `epe` and `fl`, every image counting the same, as in the paper's code;
      `epe_pooled` and `fl_pooled`, every pixel counting the same, as on the KITTI server; how many `images` and `pixels`.

    Raises:
      UserError: there is nothing to average.
    """
    if not per_image:
        raise UserError("flow evaluation has 0 images: expected at least one pair with ground truth")
    averages = {}
    for region in FLOW_REGIONS:
        images = [image[region] for image in per_image if region in image]
        if images:
            values = np.array([[image["epe"], image["fl"]] for image in images])
            pixels = np.array([image["pixels"] for image in images])
            (epe, fl), (epe_pooled, fl_pooled) = values.mean(0), np.average(values, axis=0, weights=pixels)
            averages[region] = {
                "epe": float(epe),
                "fl": float(fl),
                "epe_pooled": float(epe_pooled),
                "fl_pooled": float(fl_pooled),
                "images": len(images),
                "pixels": int(pixels.sum()),
            }
    return averages


def resize_flow(flow: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Brings a flow map to another size: bilinear, the corner pixels fixed, as in the paper's code (D24).

    Args:
      flow: [h, w, 2] = (u, v) in its own pixels.
      shape: the wanted (H, W).

    Returns:
      Flow [H, W, 2] in the new pixels, float64: u times W / w, v times H / h.
    """
    flow = _flow_map("predicted", flow)
    zoom_y, zoom_x = shape[0] / flow.shape[0], shape[1] / flow.shape[1]
    # "nearest" for a last sample that rounding puts just outside, which would else be 0.
    return ndimage.zoom(flow, (zoom_y, zoom_x, 1), order=1, mode="nearest") * (zoom_x, zoom_y)


def composite_flow(flow: np.ndarray, rigid: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Takes the flow network's flow where the pixel is visible, and the rigid flow of depth and pose where it is not (D27).

    Args:
      flow: flow [H, W, 2] of the flow network, in pixels.
      rigid: flow [H, W, 2] that depth and camera motion make in a scene that stands still, in the same pixels.
      visible: boolean [H, W], the occlusion mask of eq. 5: True where the other image shows the pixel.

    Returns:
      Flow [H, W, 2].
    """
    return np.where(np.asarray(visible)[..., None], flow, rigid)


def zero_flow_baseline(shape: tuple[int, int]) -> np.ndarray:
    """Returns the flow [H, W, 2] of a scene in which nothing moves: the score without looking at the images."""
    return np.zeros((*shape, 2))


def _flow_map(name: str, flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.size == 0:
        raise UserError(f"{name} flow has shape {flow.shape}: expected one map [height, width, 2]")
    return flow
