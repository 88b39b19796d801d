"""Pictures for people: colours for depth, overlays for masks, panels of a training snippet. numpy, uint8 RGB."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

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
_HIDDEN = np.array([200, 30, 30], np.float64)


def depth_colours(disparity: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Returns disparity as colours, near bright and far dark.

    Args:
      disparity: Disparity [H, W], positive. (Inverse depth shows near and far alike; depth would spend its colours on the
        horizon.)
      low: Value of the darkest colour; the 1st percentile if None.
      high: Value of the brightest; the 97th percentile if None.

    Returns:
      uint8 [H, W, 3].
    """
    disparity = np.asarray(disparity, np.float64)
    low = np.percentile(disparity, 1) if low is None else low
    high = np.percentile(disparity, 97) if high is None else high
    level = np.clip((disparity - low) / max(high - low, 1e-12), 0, 1) * (len(_COLOUR_STOPS) - 1)
    stops = np.arange(len(_COLOUR_STOPS))
    return np.stack([np.interp(level, stops, _COLOUR_STOPS[:, c]) for c in range(3)], axis=-1).astype(np.uint8)


def image_colours(image: np.ndarray) -> np.ndarray:
    """Returns an image [H, W, 3] in [-1, 1] as uint8."""
    return np.clip((np.asarray(image) + 1) * 127.5, 0, 255).astype(np.uint8)


def mask_overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the image with the pixels that a mask excludes tinted red.

    Args:
      image: uint8 [H, W, 3].
      mask: Boolean [H, W], True = used.

    Returns:
      uint8 [H, W, 3].
    """
    tinted = 0.4 * image + 0.6 * _HIDDEN
    return np.where(mask[..., None], image, tinted).astype(np.uint8)


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


def trajectory_plot(paths: Mapping[str, np.ndarray], size: int = 600) -> np.ndarray:
    """Returns trajectories seen from above, x to the right and z up, to one scale.

    Args:
      paths: Positions [N, 3] in metres, y down, by name.
      size: Side of the picture in pixels.

    Returns:
      uint8 [size, size, 3].
    """
    ground = {name: np.asarray(path)[:, [0, 2]] for name, path in paths.items()}
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
    draw.text((size - 150, 8), f"height {(high - low)[1]:.0f} m, width {(high - low)[0]:.0f} m", fill="grey")
    return np.asarray(picture)
