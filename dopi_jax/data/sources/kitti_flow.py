"""KITTI 2015 optical flow with its multi-view extension, in the official layout.

<root>/kitti_flow_2015/training/image_2/000000_09.png, 000000_10.png, 000000_11.png     (testing/ likewise)
<root>/kitti_flow_2015/training/calib_cam_to_cam/000000.txt
<root>/kitti_flow_2015/training/flow_occ/000000_10.png, flow_noc/000000_10.png
<root>/kitti_flow_2015/training/obj_map/000000_10.png                                   (need not be there)
"""

import pathlib
import warnings
from typing import NamedTuple

import numpy as np

from dopi_jax.data.calibration import CalibrationFile, RawCalibration
from dopi_jax.data.images import image_size, read_image, require_size
from dopi_jax.data.snippets import Snippet, frame_files, ignored_files
from dopi_jax.errors import UserError
from dopi_jax.formats import read_kitti_flow

FOLDER = "kitti_flow_2015"
SCENE_COUNT = 200  # of the training set, and of the test set
HOW_TO_GET = (
    "get data_scene_flow.zip, data_scene_flow_multiview.zip and data_scene_flow_calib.zip "
    "from https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php and unpack them into one folder"
)

_CAMERA = 2
_PREVIOUS, _TARGET, _NEXT = 9, 10, 11  # the frame numbers of t-1, t and t+1


class NoScenes(UserError):
    """No scene of the data set is at hand."""


class FlowTruth(NamedTuple):
    """What is known of the motion from frame 10 to frame 11.

    Attributes:
      flow: float32 [H, W, 2] = (u, v) in native pixels, 0 where it is not valid.
      valid: boolean [H, W], where it is known (flow_occ).
      valid_noc: boolean [H, W], where it is known and stays inside the image (flow_noc).
      moving: boolean [H, W], the objects that move by themselves (obj_map); None if there is no such file.
    """

    flow: np.ndarray
    valid: np.ndarray
    valid_noc: np.ndarray
    moving: np.ndarray | None


class FlowScene(NamedTuple):
    """One scene of KITTI 2015.

    Attributes:
      folder: training/ or testing/.
      name: six digits, such as 000010.
      snippet: frames 9, 10 and 11; where frame 9 is missing, frame 10 also stands in for it.
    """

    folder: pathlib.Path
    name: str
    snippet: Snippet

    @property
    def file_name(self) -> str:
        """The name of this scene's flow map, in the data set as in a submission."""
        return f"{self.name}_{_TARGET}.png"

    def ground_truth(self) -> FlowTruth:
        """Reads the true flow of a training scene.

        Raises:
          UserError: flow_occ or flow_noc is missing, damaged, not of 16 bits or without a valid pixel, or the files
            differ in size.
        """
        flow, valid = read_kitti_flow(self.folder / "flow_occ" / self.file_name)
        _, valid_noc = read_kitti_flow(self.folder / "flow_noc" / self.file_name)
        object_map = self.folder / "obj_map" / self.file_name
        moving = read_image(object_map).any(-1) if object_map.is_file() else None
        for kind, mask in (("flow_noc", valid_noc), ("obj_map", moving)):
            if mask is not None and mask.shape != valid.shape:
                raise UserError(
                    f"{self.folder / kind / self.file_name} has {mask.shape[0]}x{mask.shape[1]} pixels (height x width): "
                    f"expected {valid.shape[0]}x{valid.shape[1]}, as in flow_occ"
                )
        if not valid.any():
            raise UserError(f"{self.folder / 'flow_occ' / self.file_name} has no valid pixel: copy or download it again")
        return FlowTruth(flow, valid, valid_noc, moving)


def training_scenes(root: pathlib.Path) -> list[FlowScene]:
    """Finds the training scenes whose true flow is at hand, by number.

    Warns if frame 9 is missing in some.

    Args:
      root: the data root.

    Raises:
      NoScenes: none is at hand.
      UserError: frame 10, frame 11 or the calibration of one is missing.
    """
    return _scenes(root / FOLDER / "training", "flow_occ")


def testing_scenes(root: pathlib.Path) -> list[FlowScene]:
    """Finds the test scenes at hand, by number; their true flow is on the KITTI server alone.

    Warns and raises as `training_scenes` does.
    """
    return _scenes(root / FOLDER / "testing", f"image_{_CAMERA}")


def _scenes(folder: pathlib.Path, listed_by: str) -> list[FlowScene]:
    """The scenes of the maps or images in one of the subfolders."""
    listed = (name.partition("_") for name in frame_files(folder / listed_by))
    names = [name for name, _, number in listed if name.isdecimal() and number == str(_TARGET)]
    if not names:
        ignored = ignored_files(folder / listed_by, f"000000_{_TARGET}.png")
        raise NoScenes(
            f"no scene found, looked for {folder / listed_by}/000000_{_TARGET}.png and so on{ignored}: {HOW_TO_GET}"
        )
    frames = frame_files(folder / f"image_{_CAMERA}")
    scenes = [_read_scene(folder, name, frames) for name in names]
    alone = [scene.name for scene in scenes if scene.snippet.previous == scene.snippet.target]
    if alone:
        warnings.warn(
            f"{len(alone)} of {len(scenes)} scenes in {folder} have no frame {_PREVIOUS:02d} (first: "
            f"image_{_CAMERA}/{alone[0]}_{_PREVIOUS:02d}.png): frame {_TARGET} stands in for it, which a network of three "
            "frames was not trained for; get data_scene_flow_multiview.zip",
            stacklevel=3,
        )
    return scenes


def _read_scene(folder: pathlib.Path, name: str, frames: dict[str, pathlib.Path]) -> FlowScene:
    for number in (_TARGET, _NEXT):
        if f"{name}_{number}" not in frames:
            raise UserError(f"{folder}/image_{_CAMERA}/{name}_{number}.png does not exist: {HOW_TO_GET}")
    target, following = frames[f"{name}_{_TARGET}"], frames[f"{name}_{_NEXT}"]
    previous = frames.get(f"{name}_{_PREVIOUS:02d}", target)
    size = image_size(target)
    for frame in (previous, following):
        require_size(frame, size)
    calibration = CalibrationFile.read(folder / "calib_cam_to_cam" / f"{name}.txt")
    intrinsics = RawCalibration(calibration.path.parent, calibration).intrinsics(_CAMERA, size)
    return FlowScene(folder, name, Snippet(previous, target, following, intrinsics, size))
