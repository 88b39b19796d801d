"""KITTI 2015 optical flow: scenes of three frames, with the true motion from the second to the third in training/.

<folder>/training/image_2/000000_09.png, 000000_10.png, 000000_11.png     (testing/ likewise)
<folder>/training/calib_cam_to_cam/000000.txt
<folder>/training/flow_occ/000000_10.png, flow_noc/000000_10.png, obj_map/000000_10.png
"""

import pathlib

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax.errors import UserError
from dopi_jax.formats import write_kitti_flow
from dopi_jax.synthetic.layouts import rig
from dopi_jax.synthetic.layouts.streets import make_street, write_frames
from dopi_jax.synthetic.street import VISIBLE, Frame, PairTruth, Street

PARTS = ("training", "testing")

_FIRST_NUMBER = 9
_PREVIOUS, _TARGET, _NEXT = range(3)  # frames of the street
_LARGEST_FLOW = 511.98  # pixels; what the file format holds


def streets(frames: int, seed: int, size: tuple[int, int]) -> dict[str, Street]:
    """Returns the street of each scene, named training/000000 and so on.

    Args:
      frames: how many scenes training and testing have each.
      seed: each gives other streets.
      size: (height, width) of the images in pixels.

    Raises:
      UserError: there is no scene.
    """
    if frames < 1:
        raise UserError(f"--frames is {frames}: expected at least 1 for kitti_flow_2015, where it counts scenes")
    scenes = [f"{part}/{number:06d}" for part in PARTS for number in range(frames)]
    return {scene: make_street(f"kitti_flow_2015 {scene}", 3, seed, size) for scene in scenes}


def write(folder: pathlib.Path, streets: dict[str, Street]) -> None:
    """Writes scenes, from `streets`, into a folder that is there."""
    for part in PARTS:
        for kind in ("image_2", "calib_cam_to_cam"):
            (folder / part / kind).mkdir(parents=True)
    for kind in ("flow_occ", "flow_noc", "obj_map"):
        (folder / "training" / kind).mkdir()

    def write_scene(number: int) -> None:
        scene, street = scenes[number]
        part, _, name = scene.partition("/")
        rig.write_cameras(folder / part / "calib_cam_to_cam" / f"{name}.txt", street)
        frames = [street.frame(time) for time in (_PREVIOUS, _TARGET, _NEXT)]
        for time, frame in enumerate(frames, start=_FIRST_NUMBER):
            Image.fromarray(frame.image).save(folder / part / "image_2" / f"{name}_{time:02d}.png")
        if part == "training":
            _write_truth(folder / part, f"{name}_{_FIRST_NUMBER + _TARGET}.png", street, frames[_TARGET])

    scenes = list(streets.items())
    with tqdm(total=len(scenes), unit="scene") as progress:
        write_frames(write_scene, len(scenes), progress)


def _write_truth(folder: pathlib.Path, file_name: str, street: Street, target: Frame) -> None:
    pair = street.pair(_TARGET, _NEXT)
    known = _known_flow(street, target, pair)
    write_kitti_flow(folder / "flow_occ" / file_name, pair.flow, known)
    write_kitti_flow(folder / "flow_noc" / file_name, pair.flow, known & (pair.visibility == VISIBLE))
    Image.fromarray(pair.moving.astype(np.uint8)).save(folder / "obj_map" / file_name)


def _known_flow(street: Street, target: Frame, pair: PairTruth) -> np.ndarray:
    """Boolean [H, W]: not the sky, still in front of the next camera, and within what the file format holds."""
    solid = np.isfinite(target.depth)
    pose = street.source_from_target(_TARGET, _NEXT)
    row, column = np.mgrid[: street.height, : street.width]
    rays = np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(street.K).T
    # As if nothing moved by itself: what does stays metres ahead of the camera for as short as a scene is.
    next_depth = np.where(solid, target.depth, 0.0) * (rays @ pose[2, :3]) + pose[2, 3]
    return solid & (next_depth > 0) & np.all(np.abs(pair.flow) <= _LARGEST_FLOW, axis=-1)
