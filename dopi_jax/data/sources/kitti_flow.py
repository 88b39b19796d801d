"""KITTI optical flow, the benchmarks of 2015 and 2012 with their multi-view extensions, in the official layouts.

<root>/kitti_flow_2015/training/image_2/000000_09.png, 000000_10.png, 000000_11.png     (testing/ likewise)
<root>/kitti_flow_2015/training/calib_cam_to_cam/000000.txt
<root>/kitti_flow_2015/training/flow_occ/000000_10.png, flow_noc/000000_10.png
<root>/kitti_flow_2015/training/obj_map/000000_10.png                                   (need not be there)
<root>/kitti_flow_2012/training/image_0/000000_09.png, ...                              (or colored_0/)
<root>/kitti_flow_2012/training/calib/000000.txt, flow_occ/, flow_noc/
"""

import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dopi_jax.data.calibration import CalibrationFile, RawCalibration
from dopi_jax.data.images import image_size, read_image, require_size
from dopi_jax.data.intrinsics import intrinsics_of_stored
from dopi_jax.data.snippets import Snippet, frame_files, ignored_files
from dopi_jax.errors import UserError
from dopi_jax.formats import read_kitti_flow


class Benchmark(NamedTuple):
    """One of KITTI's two benchmarks of optical flow.

    Attributes:
      name: for tables.
      folder: below the data root.
      image_folders: where frames may lie, by preference.
      calibration_folder: where the cameras lie.
      training_count: scenes of the training set.
      testing_count: scenes of the test set.
      how_to_get: the archives, for messages.
    """

    name: str
    folder: str
    image_folders: tuple[str, ...]
    calibration_folder: str
    training_count: int
    testing_count: int
    how_to_get: str


KITTI_2015 = Benchmark(
    "KITTI 2015",
    "kitti_flow_2015",
    ("image_2",),
    "calib_cam_to_cam",
    200,
    200,
    "get data_scene_flow.zip, data_scene_flow_multiview.zip and data_scene_flow_calib.zip "
    "from https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php and unpack them into one folder",
)
KITTI_2012 = Benchmark(
    "KITTI 2012",
    "kitti_flow_2012",
    ("colored_0", "image_0"),
    "calib",
    194,
    195,
    "get data_stereo_flow.zip and data_stereo_flow_multiview.zip "
    "from https://www.cvlibs.net/datasets/kitti/eval_stereo_flow.php?benchmark=flow and unpack them into one folder",
)
BENCHMARKS = (KITTI_2015, KITTI_2012)

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
    """One scene of a benchmark.

    Attributes:
      benchmark: the benchmark.
      folder: training/ or testing/.
      name: six digits, such as 000010.
      snippet: frames 9, 10 and 11; where frame 9 is missing, frame 10 also stands in for it.
    """

    benchmark: Benchmark
    folder: pathlib.Path
    name: str
    snippet: Snippet

    @property
    def label(self) -> str:
        """The name with the benchmark's year, which no other scene has."""
        return f"{self.benchmark.name.split()[-1]}_{self.name}"

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


def training_scenes(roots: Sequence[pathlib.Path], benchmarks: Sequence[Benchmark] = BENCHMARKS) -> list[FlowScene]:
    """Finds the training scenes whose true flow is at hand, by benchmark and number.

    Warns if frame 9 is missing in some.

    Args:
      roots: the data roots. Where several have the same scene, the first one's is read.
      benchmarks: which of them.

    Raises:
      NoScenes: none is at hand.
      UserError: frame 10, frame 11 or the calibration of one is missing.
    """
    return _scenes(roots, benchmarks, "training", lambda folder, benchmark: "flow_occ")


def testing_scenes(roots: Sequence[pathlib.Path], benchmarks: Sequence[Benchmark] = BENCHMARKS) -> list[FlowScene]:
    """Finds the test scenes at hand, by benchmark and number; their true flow is on the KITTI server alone.

    Warns and raises as `training_scenes` does.
    """
    return _scenes(roots, benchmarks, "testing", _image_folder)


def _scenes(
    roots: Sequence[pathlib.Path],
    benchmarks: Sequence[Benchmark],
    part: str,
    listed_by: Callable[[pathlib.Path, Benchmark], str],
) -> list[FlowScene]:
    """The scenes of the maps or images in one of the subfolders."""
    scenes: dict[str, FlowScene] = {}
    for benchmark in benchmarks:
        for root in roots:
            folder = root / benchmark.folder / part
            for scene in _scenes_of_folder(benchmark, folder, listed_by(folder, benchmark)):
                scenes.setdefault(scene.label, scene)
    if scenes:
        return list(scenes.values())
    places = [r / b.folder / part for b in benchmarks for r in roots if (r / b.folder).is_dir()]
    folder = places[0] if places else roots[0] / benchmarks[0].folder / part
    benchmark = next(b for b in benchmarks if folder.parent.name == b.folder)
    listed = folder / listed_by(folder, benchmark)
    ignored = ignored_files(listed, f"000000_{_TARGET}.png")
    raise NoScenes(
        f"no scene found, looked for {listed}/000000_{_TARGET}.png and so on{ignored}: {benchmark.how_to_get}"
    )


def _scenes_of_folder(benchmark: Benchmark, folder: pathlib.Path, listed_by: str) -> list[FlowScene]:
    listed = (name.partition("_") for name in frame_files(folder / listed_by))
    names = [name for name, _, number in listed if name.isdecimal() and number == str(_TARGET)]
    images = _image_folder(folder, benchmark)
    frames = frame_files(folder / images)
    scenes = [_read_scene(benchmark, folder, name, frames) for name in names]
    alone = [scene.name for scene in scenes if scene.snippet.previous == scene.snippet.target]
    if alone:
        warnings.warn(
            f"{len(alone)} of {len(scenes)} scenes in {folder} have no frame {_PREVIOUS:02d} (first: "
            f"{images}/{alone[0]}_{_PREVIOUS:02d}.png): frame {_TARGET} stands in for it, which a network of three "
            "frames was not trained for; get the multi-view archive",
            stacklevel=4,
        )
    return scenes


def _image_folder(folder: pathlib.Path, benchmark: Benchmark) -> str:
    """The first of the benchmark's image folders that is there."""
    there = (name for name in benchmark.image_folders if (folder / name).is_dir())
    return next(there, benchmark.image_folders[-1])


def _read_scene(benchmark: Benchmark, folder: pathlib.Path, name: str, frames: dict[str, pathlib.Path]) -> FlowScene:
    images = _image_folder(folder, benchmark)
    for number in (_TARGET, _NEXT):
        if f"{name}_{number}" not in frames:
            raise UserError(f"{folder}/{images}/{name}_{number}.png does not exist: {benchmark.how_to_get}")
    target, following = frames[f"{name}_{_TARGET}"], frames[f"{name}_{_NEXT}"]
    previous = frames.get(f"{name}_{_PREVIOUS:02d}", target)
    size = image_size(target)
    for frame in (previous, following):
        require_size(frame, size)
    calibration = CalibrationFile.read(folder / benchmark.calibration_folder / f"{name}.txt")
    if benchmark is KITTI_2015:
        intrinsics = RawCalibration(calibration.path.parent, calibration).intrinsics(2, size)
    else:
        key = "P2" if images == "colored_0" and "P2" in calibration.values else "P0"
        intrinsics = intrinsics_of_stored(calibration.matrix(key, 3, 4)[:, :3], None, size, calibration.path, key)
    return FlowScene(benchmark, folder, name, Snippet(previous, target, following, intrinsics, size))
