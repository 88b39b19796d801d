"""KITTI's improved depth maps, made of several laser scans and stereo (Uhrig et al., 2017): 652 of the 697 Eigen frames.

<root>/kitti_depth/{train,val}/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png

as data_depth_annotated.zip holds them; 16 bits, metres times 256, 0 where there is none.
"""

import io
import pathlib

import numpy as np
from PIL import Image

from dopi_jax.data.velodyne import EvaluationImage
from dopi_jax.errors import UserError
from dopi_jax.picture_files import DEPTH_STEPS

FOLDER = "kitti_depth"
COUNT = 652


def improved_depth_file(image: EvaluationImage, *roots: pathlib.Path) -> pathlib.Path | None:
    """Returns the file of a frame's improved depth map, the first that is at hand; None if none is.

    Args:
      image: A frame of KITTI raw.
      *roots: The data roots.
    """
    drive = image.image.parents[2].name
    place = pathlib.Path(drive, "proj_depth", "groundtruth", f"image_{image.camera:02d}", f"{image.image.stem}.png")
    files = (root / FOLDER / part / place for root in roots for part in ("train", "val"))
    return next((file for file in files if file.is_file()), None)


def read_improved_depth(path: pathlib.Path) -> np.ndarray:
    """Reads an improved depth map.

    Args:
      path: A 16-bit PNG.

    Returns:
      float64 [H, W] in metres, 0 where there is none.

    Raises:
      UserError: The file cannot be read, or holds no picture of 16 bits.
    """
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as stored:
            mode, values = stored.mode, np.asarray(stored)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"depth map {path} cannot be read ({error}): download it again") from error
    if not mode.startswith("I"):
        raise UserError(f"depth map {path} has the mode {mode}: expected a grey PNG of 16 bits, metres times 256")
    return values.astype(np.float64) / DEPTH_STEPS
