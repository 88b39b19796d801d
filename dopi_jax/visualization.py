"""Pictures for people: colours for depth and flow, overlays for masks, panels of a training snippet. numpy, uint8 RGB."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from dopi_jax.evaluation import tolerated_error

# Near is bright, far is dark; equal steps look equal, also in grey and to the colour-blind.
_COLOUR_STOPS = np.array(
    [
        [0, 0, 4],
        [28, 16, 68],
        [79, 18, 123],
        [129, 37, 129],
        [181, 54, 122],
        [229, 80, 100],
        [251, 135, 97],
        [254, 194, 135],
        [252, 253, 191],
    ],
    np.float64,
)
# The Middlebury wheel: red, yellow, green, cyan, blue, magenta, red, with more hues where the eye tells more apart.
_WHEEL_HUES = np.array([0, 15, 21, 25, 36, 49, 55])
_WHEEL_COLOURS = 255.0 * np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]])
# Errors as shares of what is tolerated; blue below 1, orange above, each step of colour a factor of 2.
_ERROR_STEPS = 2.0 ** np.arange(-4, 5)
_ERROR_COLOURS = np.array(
    [
        [12, 44, 132],
        [34, 94, 168],
        [65, 142, 196],
        [120, 184, 216],
        [190, 222, 236],
        [254, 224, 150],
        [253, 180, 90],
        [243, 120, 50],
        [210, 60, 30],
        [140, 10, 30],
    ],
    np.uint8,
)
_HIDDEN = np.array([200, 30, 30], np.float64)


def depth_colours(disparity: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Returns disparity as colours, near bright and far dark.

    Args:
      disparity: Disparity [H, W], positive. (Inverse depth shows near and far alike; depth would spend its colours on the
        horizon.) Pixels where it is NaN become black.
      low: Value of the darkest colour; the 1st percentile if None.
      high: Value of the brightest; the 97th percentile if None.

    Returns:
      uint8 [H, W, 3].
    """
    disparity = np.asarray(disparity, np.float64)
    low = _percentile(disparity, 1) if low is None else low
    high = _percentile(disparity, 97) if high is None else high
    known = ~np.isnan(disparity)
    level = np.clip((np.where(known, disparity, low) - low) / max(high - low, 1e-12), 0, 1) * (len(_COLOUR_STOPS) - 1)
    stops = np.arange(len(_COLOUR_STOPS))
    colours = np.stack([np.interp(level, stops, _COLOUR_STOPS[:, c]) for c in range(3)], axis=-1)
    return np.rint(colours * known[..., None]).astype(np.uint8)


def flow_colours(flow: np.ndarray, longest: float | None = None, valid: np.ndarray | None = None) -> np.ndarray:
    """Returns flow in the colours of the Middlebury benchmark: hue is the direction, pale is short, white is none.

    Args:
      flow: Flow [H, W, 2] = (u, v) in pixels. To the right is red, down yellow, to the left cyan, up violet.
      longest: Length in pixels of the full colours, anything longer is darker; the 99th percentile if None.
      valid: Boolean [H, W]; pixels that are False become black, and those whose flow is not finite. None for all True.

    Returns:
      uint8 [H, W, 3].
    """
    flow = np.asarray(flow, np.float64)
    finite = np.isfinite(flow).all(axis=-1)
    valid = finite if valid is None else finite & np.asarray(valid, bool)
    u, v = np.moveaxis(np.where(valid[..., None], flow, 0), -1, 0)
    length = np.hypot(u, v)
    if longest is None:
        longest = _percentile(length[valid], 99)
    length = length / max(longest, 1e-12)
    # 54, not 55: the original program leaves out the last hue between magenta and red, and so do pictures made with it.
    turn = (np.arctan2(-v, -u) / np.pi + 1) / 2 * 54
    hues = np.stack([np.interp(turn, _WHEEL_HUES, _WHEEL_COLOURS[:, c]) for c in range(3)], axis=-1)
    length = length[..., None]
    colours = np.where(length <= 1, 255 - length * (255 - hues), 0.75 * hues)
    return (colours * valid[..., None]).astype(np.uint8)


def flow_error_map(gt: np.ndarray, pred: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Returns where a predicted flow is right (blue) and wrong (orange) by the rule of KITTI 2015, in steps of factor 2.

    Args:
      gt: True flow [H, W, 2] in pixels.
      pred: Predicted flow [H, W, 2] in the same pixels.
      valid: Boolean [H, W], where the true flow is known; the rest is black.

    Returns:
      uint8 [H, W, 3]. The palest blue and the palest orange meet at the error that makes a pixel wrong: 3 px or 5 % of the
      true length, whichever is more.
    """
    gt, pred = np.asarray(gt, np.float64), np.asarray(pred, np.float64)
    share = np.linalg.norm(gt - pred, axis=-1) / tolerated_error(gt)
    # A share of exactly 1 is still right: steps belong to the colour below.
    colours = _ERROR_COLOURS[np.searchsorted(_ERROR_STEPS, share, side="left")]
    return np.where(np.asarray(valid)[..., None], colours, np.uint8(0))


def depth_error_map(gt: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Returns where a predicted depth is right (blue) and wrong (orange), in steps of factor 2.

    Args:
      gt: True depth [H, W] in metres, 0 where it is not known, which is black.
      pred: Predicted depth [H, W], positive, in any unit: both medians are made the same. Where it is NaN all is black.

    Returns:
      uint8 [H, W, 3]. The palest blue and the palest orange meet at a ratio of 1.25 to the truth, the bound of a1.
    """
    gt, pred = np.asarray(gt, np.float64), np.asarray(pred, np.float64)
    known = (gt > 0) & ~np.isnan(pred)
    ratio = gt[known] / pred[known]
    ratio = ratio / np.median(ratio) if ratio.size else ratio
    share = (np.maximum(ratio, 1 / ratio) - 1) / 0.25
    colours = np.zeros((*gt.shape, 3), np.uint8)
    colours[known] = _ERROR_COLOURS[np.searchsorted(_ERROR_STEPS, share, side="left")]
    return colours


def image_colours(image: np.ndarray) -> np.ndarray:
    """Returns an image [H, W, 3] in [-1, 1] as uint8, black where it is NaN."""
    return np.rint(np.clip((np.nan_to_num(image, nan=-1.0) + 1) * 127.5, 0, 255)).astype(np.uint8)


def mask_overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the image with the pixels that a mask excludes tinted red.

    Args:
      image: uint8 [H, W, 3].
      mask: Boolean [H, W], True = used.

    Returns:
      uint8 [H, W, 3].
    """
    tinted = 0.4 * image + 0.6 * _HIDDEN
    return np.where(np.asarray(mask)[..., None], image, tinted).astype(np.uint8)


def stack_panels(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Returns pictures of one size side by side, and rows of them on top of each other, on white.

    Args:
      rows: Rows of uint8 [H, W, 3]; a shorter row is filled up with white.
      gap: Pixels between pictures.

    Returns:
      uint8 [rows (H + gap) - gap, columns (W + gap) - gap, 3].
    """
    height, width, _ = rows[0][0].shape
    columns = max(len(row) for row in rows)
    canvas = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def snippet_panel(view: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns what training sees of one snippet: target and depth; then for each source its reconstruction and masks.

    Args:
      view: `target` [H, W, 3] and `warped` [S, H, W, 3] in [-1, 1], `disparity` [H, W], boolean `visible` and `kept`
        [S, H, W].

    Returns:
      uint8 picture: a row of target and depth, then a row a source of the source warped to the target, what the occlusion
      masks hide in it (red), and what is hidden after the less-than-mean mask besides.
    """
    target = image_colours(view["target"])
    rows = [[target, depth_colours(view["disparity"])]]
    for warped, visible, kept in zip(view["warped"], view["visible"], view["kept"], strict=True):
        rows.append([image_colours(warped), mask_overlay(target, visible), mask_overlay(target, kept)])
    return stack_panels(rows)


def flow_snippet_panel(view: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns what training of flow sees of one snippet: the target; for each source its flow, reconstruction and masks.

    Args:
      view: `target` [H, W, 3] and `warped` [S, H, W, 3] in [-1, 1], `flows` [S, H, W, 2] in pixels, boolean `visible` and
        `kept` [S, H, W]; with depth and motion also `rigid_flows` [S, H, W, 2] and boolean `taught` [S, H, W].

    Returns:
      uint8 picture: a row of the target, and of what depth and motion say of the flow to each source; then a row a source of
      its flow in the same colours, the source warped to the target, the pixels that do not count (red), and, with depth and
      motion, those that the rigid flow does not teach (red).
    """
    target = image_colours(view["target"])
    flows, rigid_flows = view["flows"], view.get("rigid_flows", [])
    longest = _percentile(np.linalg.norm(np.concatenate([*flows, *rigid_flows]), axis=-1), 99)
    rows = [[target, *(flow_colours(flow, longest) for flow in rigid_flows)]]
    for index, (flow, warped, kept) in enumerate(zip(flows, view["warped"], view["kept"], strict=True)):
        row = [flow_colours(flow, longest), image_colours(warped), mask_overlay(target, kept)]
        if "taught" in view:
            row.append(mask_overlay(target, view["taught"][index]))
        rows.append(row)
    return stack_panels(rows)


def trajectory_plot(paths: Mapping[str, np.ndarray], size: int = 600, unit: str = "m") -> np.ndarray:
    """Returns trajectories seen from above, x to the right and z up, to one scale.

    Args:
      paths: Positions [N, 3], y down, by name. Those that are not finite are left out.
      size: Side of the picture in pixels.
      unit: Of the positions.

    Returns:
      uint8 [size, size, 3].
    """
    positions = {name: np.asarray(path) for name, path in paths.items()}
    ground = {name: path[np.isfinite(path).all(axis=-1)][:, [0, 2]] for name, path in positions.items()}
    everything = np.concatenate(list(ground.values()))
    low, high = everything.min(0), everything.max(0)
    margin = 40
    metres = max(float(np.max(high - low)), 1e-6)
    scale = (size - 2 * margin) / metres
    offset = margin + ((size - 2 * margin) - (high - low) * scale) / 2
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    for index, (name, path) in enumerate(ground.items()):
        colour = ("black", "crimson", "royalblue", "seagreen")[index % 4]
        pixels = offset + (path - low) * scale
        pixels[:, 1] = size - pixels[:, 1]
        draw.line([tuple(p) for p in pixels], fill=colour, width=2)
        draw.ellipse([*(pixels[0] - 4), *(pixels[0] + 4)], fill=colour)
        draw.text((margin, 8 + 14 * index), f"{name}", fill=colour)
    draw.text((size - 150, 8), f"height {(high - low)[1]:.0f} {unit}, width {(high - low)[0]:.0f} {unit}", fill="grey")
    return np.asarray(picture)


def _percentile(values: np.ndarray, percent: float) -> float:
    """Returns a percentile of the values that are finite; 1 if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if finite.size else 1.0
