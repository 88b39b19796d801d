"""Pictures and depth maps as image files, each whole or not at all."""

import io
import os
import pathlib

import numpy as np
from PIL import Image

from dopi_jax import formats
from dopi_jax import opencv as cv2

DEPTH_STEPS = 256  # of a 16-bit PNG in one unit of depth, as in KITTI's depth maps

_JPEG_QUALITY = 90


def write_picture(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] or [H, W] as JPEG or PNG, by the name."""
    encoded = io.BytesIO()
    kind = "JPEG" if pathlib.Path(path).suffix == ".jpg" else "PNG"
    Image.fromarray(pixels).save(encoded, kind, quality=_JPEG_QUALITY)
    formats.write_bytes(path, encoded.getvalue())


def write_depth_map(path: str | os.PathLike, depth: np.ndarray) -> None:
    """Writes depth [H, W] as a 16-bit PNG of `DEPTH_STEPS` a unit; 0 stands for none."""
    stored = np.clip(np.rint(depth * DEPTH_STEPS), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    formats.write_bytes(path, cv2.imencode(".png", stored)[1].tobytes())
