"""Procedural streets written to disk in the official layouts of KITTI and Cityscapes, for the readers of `dopi_jax.data`.

    streets · rig                                a recording's street; where its cameras, laser and IMU sit
    laser · oxts                                 true depth -> laser scan, true poses -> GPS/IMU records
    kitti_raw · kitti_odometry · kitti_flow · cityscapes      one official layout each

Each layout has `streets`, the recordings by name and so their exact truth, and `write`, their files.
"""

import pathlib
import shutil

from dopi_jax.errors import UserError
from dopi_jax.synthetic.layouts import cityscapes, kitti_flow, kitti_odometry, kitti_raw

_LAYOUTS = {
    "kitti_raw": kitti_raw,
    "kitti_odometry": kitti_odometry,
    "kitti_flow_2015": kitti_flow,
    "cityscapes": cityscapes,
}
LAYOUT_NAMES = tuple(_LAYOUTS)
MARKER = "drawn.txt"
"""A file in each data set's folder that tells it from the real one."""

# A smaller image has no pixel left in the crop of the depth evaluation; a larger one takes minutes a frame.
_SMALLEST, _LARGEST = 16, 4096


def write_layout(layout: str, out: pathlib.Path, frames: int, seed: int, size: tuple[int, int]) -> pathlib.Path:
    """Writes a data set, whole or not at all; the same arguments give the same bytes.

    Args:
      layout: one of `LAYOUT_NAMES`.
      out: the data root; made if it is not there.
      frames: how many frames all recordings have together; for kitti_flow_2015 how many scenes training and testing have
        each; for cityscapes a multiple of 30.
      seed: at least 0; each gives other streets.
      size: (height, width) of the images in pixels.

    Returns:
      The data set's folder, <out>/<layout>.

    Raises:
      UserError: an argument is not of the form said above, the folder is already there, or it cannot be written.
    """
    if layout not in _LAYOUTS:
        raise UserError(f"--layout is {layout!r}: expected one of {', '.join(_LAYOUTS)}")
    for option, length in zip(("--height", "--width"), size, strict=True):
        if not _SMALLEST <= length <= _LARGEST:
            raise UserError(f"{option} is {length}: expected {_SMALLEST} to {_LARGEST} pixels")
    if seed < 0:
        raise UserError(f"--seed is {seed}: expected 0 or more")
    streets = _LAYOUTS[layout].streets(frames, seed, size)

    target = out / layout
    unfinished = out / f"{layout}.unfinished"
    try:
        if target.exists():
            raise UserError(f"{target} already exists: remove it, or choose another --out")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
        unfinished.mkdir(parents=True)
        try:
            _LAYOUTS[layout].write(unfinished, streets)
            (unfinished / MARKER).write_text("Drawn by dopi_jax: these streets do not exist.\n", encoding="utf-8")
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error}): choose another --out, or make room there") from error
    return target
