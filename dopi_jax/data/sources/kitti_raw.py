"""KITTI raw, synced and rectified, in its official layout.

<root>/kitti_raw/<date>/calib_cam_to_cam.txt, calib_velo_to_cam.txt
<root>/kitti_raw/<date>/<drive>_sync/image_02/data/0000000000.png       (02 and 03: the colour cameras)
<root>/kitti_raw/<date>/<drive>_sync/image_02/timestamps.txt            (for times in seconds, if it is there)
<root>/kitti_raw/<date>/<drive>_sync/velodyne_points/data/0000000000.bin
<root>/kitti_raw/<date>/<drive>_sync/oxts/data/0000000000.txt           (for metres by the recorded speed)
"""

import pathlib
import warnings

import numpy as np

from dopi_jax.data import splits
from dopi_jax.data.calibration import RawCalibration
from dopi_jax.data.footage import Footage
from dopi_jax.data.snippets import Sequence, frame_size, ignored_files, numbered_frames
from dopi_jax.data.sources.choice import Choice, EmptySplit, NoFrames, some
from dopi_jax.errors import UserError

FOLDER = "kitti_raw"
COLOUR_CAMERAS = (2, 3)
_EXAMPLE = "0000000000.png"
HOW_TO_GET = (
    "get the synced+rectified drives and the calibration of their days with raw_data_downloader.sh "
    "from https://www.cvlibs.net/datasets/kitti/raw_data.php"
)


def items(root: pathlib.Path) -> list[str]:
    """Lists the drives at hand, such as 2011_09_26_drive_0095, sorted by name.

    Args:
      root: the data root.
    """
    return sorted(path.name.removesuffix("_sync") for path in (root / FOLDER).glob("*/*_sync") if path.is_dir())


def choose(name: str, at_hand: list[str], where: str) -> Choice:
    """Returns the drives that a selection names: "eigen", "eigen_val", or a drive.

    Args:
      name: of the fold or the drive.
      at_hand: the drives to choose from.
      where: where they lie, for messages.

    Raises:
      EmptySplit: no drive of the fold is at hand.
      UserError: the drive is not at hand.
    """
    if not at_hand:
        raise UserError(f"no drive found, looked for {FOLDER}/<date>/<drive>_sync in {where}: {HOW_TO_GET}")
    if name in ("eigen", "eigen_val"):
        validates = name == "eigen_val"
        fold = [d for d in at_hand if d not in splits.eigen_test_scenes() and splits.is_validation(d) == validates]
        if not fold:
            raise EmptySplit(
                f"selection {FOLDER}:{name} is empty: none of the {len(at_hand)} drives at {where} is in this fold; name a "
                f"drive ({some(at_hand)}), or {HOW_TO_GET}"
            )
        return Choice(fold, whole=True)
    if name not in at_hand:
        raise UserError(
            f"drive {name} is not at hand, looked for {FOLDER}/{name.partition('_drive_')[0]}/{name}_sync in {where}, found "
            f"{some(at_hand)}: {HOW_TO_GET}"
        )
    return Choice([name], whole=False)


def check_training(selection: str, drives: list[str]) -> None:
    """Refuses drives of the Eigen test list for training; warns of those that poses are tested on.

    Args:
      selection: the words that chose them, for the message.
      drives: what is to be trained on.

    Raises:
      UserError: one of the drives is a test scene.
    """
    scenes = sorted(splits.eigen_test_scenes().intersection(drives))
    if scenes:
        raise UserError(
            f"{selection} is not for training: {some(scenes)} is one of the 28 scenes of the Eigen test list; "
            "train on another drive"
        )
    splits.check_for_tests(selection, drives)


def drive_folder(root: pathlib.Path, drive: str) -> pathlib.Path:
    """Returns the folder of a drive, <root>/kitti_raw/<date>/<drive>_sync; it need not exist."""
    return root / FOLDER / drive.partition("_drive_")[0] / f"{drive}_sync"


def frames_folder(root: pathlib.Path, drive: str, camera: int) -> pathlib.Path:
    """Returns the folder with one camera's frames of a drive; it need not exist."""
    return drive_folder(root, drive) / f"image_{camera:02d}" / "data"


def read(root: pathlib.Path, drive: str, _footage: Footage | None = None) -> list[Sequence]:
    """Reads the colour cameras of a drive as sequences of their own, without the frames on which the car stands still.

    Warns of a camera whose files are none of them frames by their names.

    Args:
      root: the data root.
      drive: such as 2011_09_26_drive_0095.

    Returns:
      One sequence for each of the cameras 02 and 03 that has frames, named <drive>_02 and <drive>_03.

    Raises:
      NoFrames: there are no colour frames.
      UserError: the calibration of the drive's day is missing, incomplete, no camera or not that of the frames, or they
        have different sizes.
    """
    static = splits.static_frames().get(drive, frozenset())
    sequences, ignored = [], {}
    for camera in COLOUR_CAMERAS:
        frames = numbered_frames(frames_folder(root, drive, camera))
        if not frames:
            ignored[camera] = ignored_files(frames_folder(root, drive, camera), _EXAMPLE)
            continue
        size = frame_size(frames.values())
        calibration = RawCalibration.read(drive_folder(root, drive).parent)
        sequence = Sequence(
            name=f"{drive}_{camera:02d}",
            frames=tuple(frames.values()),
            numbers=tuple(frames),
            intrinsics=calibration.intrinsics(camera, size),
            image_size=size,
        )
        sequences.append(sequence.without(static))
    if not sequences:
        raise NoFrames(
            f"drive {drive} has no colour frames, looked for image_02/data and image_03/data in "
            f"{drive_folder(root, drive)}{''.join(ignored.values())}: {HOW_TO_GET}"
        )
    for camera, why in ignored.items():
        if why:
            warnings.warn(f"camera {camera:02d} of drive {drive} is left out{why}", stacklevel=2)
    return sequences


def read_times(drive: str, *roots: pathlib.Path) -> np.ndarray | None:
    """Returns the times of a drive's frames in seconds after the first, by frame number; None if there is no file of them.

    Args:
      drive: such as 2011_09_26_drive_0095.
      *roots: the data roots; the first that has image_02/timestamps.txt, or that of camera 03, counts.

    Raises:
      UserError: it holds something else than a rising date and time a line.
    """
    folders = (frames_folder(root, drive, camera).parent for root in roots for camera in COLOUR_CAMERAS)
    path = next((folder / "timestamps.txt" for folder in folders if (folder / "timestamps.txt").is_file()), None)
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
        dates = np.array([line.strip().replace(" ", "T") for line in lines], "datetime64[ns]")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): expected the date and time of each frame") from error
    times = (dates - dates[:1]).astype(np.int64) / 1e9
    if np.isnat(dates).any() or not (np.diff(times) > 0).all():
        raise UserError(f"{path} has times that do not rise: expected the date and time of each frame")
    return times
