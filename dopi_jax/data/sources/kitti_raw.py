"""KITTI raw, synced and rectified, in its official layout.

<root>/kitti_raw/<date>/calib_cam_to_cam.txt, calib_velo_to_cam.txt
<root>/kitti_raw/<date>/<drive>_sync/image_02/data/0000000000.png       (02 and 03: the colour cameras)
<root>/kitti_raw/<date>/<drive>_sync/velodyne_points/data/0000000000.bin
"""

import pathlib
import warnings

from dopi_jax.data import splits
from dopi_jax.data.calibration import RawCalibration
from dopi_jax.data.snippets import Sequence, frame_size, ignored_files, numbered_frames
from dopi_jax.errors import UserError

FOLDER = "kitti_raw"
COLOUR_CAMERAS = (2, 3)
_EXAMPLE = "0000000000.png"
HOW_TO_GET = (
    "get the synced+rectified drives and the calibration of their days with raw_data_downloader.sh "
    "from https://www.cvlibs.net/datasets/kitti/raw_data.php"
)


def list_drives(root: pathlib.Path) -> list[str]:
    """Lists the drives at hand, such as 2011_09_26_drive_0095, sorted by name.

    Args:
      root: the data root.

    Raises:
      UserError: no drive is there.
    """
    drives = sorted(path.name.removesuffix("_sync") for path in (root / FOLDER).glob("*/*_sync") if path.is_dir())
    if not drives:
        raise UserError(f"no drive found, looked for {root / FOLDER}/<date>/<drive>_sync: {HOW_TO_GET}")
    return drives


def drive_folder(root: pathlib.Path, drive: str) -> pathlib.Path:
    """Returns the folder of a drive, <root>/kitti_raw/<date>/<drive>_sync; it need not exist."""
    return root / FOLDER / drive.partition("_drive_")[0] / f"{drive}_sync"


def frames_folder(root: pathlib.Path, drive: str, camera: int) -> pathlib.Path:
    """Returns the folder with one camera's frames of a drive; it need not exist."""
    return drive_folder(root, drive) / f"image_{camera:02d}" / "data"


def require_colour_frames(root: pathlib.Path, drive: str) -> None:
    """Refuses a drive without frames of camera 02 or 03.

    Args:
      root: the data root.
      drive: such as 2011_09_26_drive_0095.

    Raises:
      UserError: it has none.
    """
    folders = [frames_folder(root, drive, camera) for camera in COLOUR_CAMERAS]
    if not any(numbered_frames(folder) for folder in folders):
        ignored = "".join(ignored_files(folder, _EXAMPLE) for folder in folders)
        raise UserError(
            f"drive {drive} has no colour frames, looked for image_02/data and image_03/data in "
            f"{drive_folder(root, drive)}{ignored}: {HOW_TO_GET}"
        )


def read_drive(root: pathlib.Path, drive: str) -> list[Sequence]:
    """Reads the colour cameras of a drive as sequences of their own, without the frames on which the car stands still.

    Warns of a camera whose files are none of them frames by their names.

    Args:
      root: the data root.
      drive: such as 2011_09_26_drive_0095.

    Returns:
      One sequence for each of the cameras 02 and 03 that has frames, named <drive>_02 and <drive>_03.

    Raises:
      UserError: the calibration of the drive's day is missing, incomplete, no camera or not that of the frames, or they
        have different sizes.
    """
    static = splits.static_frames().get(drive, frozenset())
    sequences = []
    for camera in COLOUR_CAMERAS:
        frames = numbered_frames(frames_folder(root, drive, camera))
        if not frames:
            ignored = ignored_files(frames_folder(root, drive, camera), _EXAMPLE)
            if ignored:
                warnings.warn(f"camera {camera:02d} of drive {drive} is left out{ignored}", stacklevel=2)
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
    return sequences
