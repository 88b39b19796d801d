"""KITTI odometry in its official layout.

<root>/kitti_odometry/sequences/00/calib.txt
<root>/kitti_odometry/sequences/00/image_2/000000.png      (2 and 3: the colour cameras; 0 and 1: grey)
<root>/kitti_odometry/poses/00.txt                         (00 to 10 only)
"""

import pathlib

from dopi_jax.data.calibration import read_odometry_intrinsics
from dopi_jax.data.intrinsics import intrinsics_of_stored
from dopi_jax.data.snippets import Sequence, frame_size, ignored_files, numbered_frames
from dopi_jax.errors import UserError

FOLDER = "kitti_odometry"
COLOUR_CAMERAS = (2, 3)
GREY_CAMERA = 0
# (height, width) of the official frames by focal length, since calib.txt does not say it: of the recordings of 2011_10_03
# (as 00 to 02), 2011_09_26 (03) and 2011_09_30 (as 04 to 12). A calibration of any other is taken to be that of the frames.
_OFFICIAL_SIZES = {718.856: (376, 1241), 721.5377: (375, 1242), 707.0912: (370, 1226)}
_EXAMPLE = "000000.png"
HOW_TO_GET = (
    "get data_odometry_color.zip, data_odometry_calib.zip and data_odometry_poses.zip "
    "from https://www.cvlibs.net/datasets/kitti/eval_odometry.php and unpack them"
)


def list_sequences(root: pathlib.Path) -> list[str]:
    """Lists the sequences at hand, such as 03, sorted by name.

    Args:
      root: the data root.

    Raises:
      UserError: no sequence is there.
    """
    names = sorted(path.name for path in (root / FOLDER / "sequences").glob("[0-9][0-9]") if path.is_dir())
    if not names:
        raise UserError(f"no sequence found, looked for {root / FOLDER}/sequences/00 and so on: {HOW_TO_GET}")
    return names


def list_cameras(root: pathlib.Path, name: str) -> list[int]:
    """Lists the cameras of a sequence to use: the colour ones, or the grey camera 0 when that is all there is.

    Args:
      root: the data root.
      name: two digits, such as 03.

    Raises:
      UserError: there are no frames.
    """
    folder = root / FOLDER / "sequences" / name
    colour = [camera for camera in COLOUR_CAMERAS if numbered_frames(folder / f"image_{camera}")]
    if colour:
        return colour
    if numbered_frames(folder / f"image_{GREY_CAMERA}"):
        return [GREY_CAMERA]
    ignored = "".join(ignored_files(folder / f"image_{camera}", _EXAMPLE) for camera in (*COLOUR_CAMERAS, GREY_CAMERA))
    raise UserError(
        f"sequence {name} has no frames, looked for {folder}/image_2, image_3 and image_0{ignored}: {HOW_TO_GET}"
    )


def read_sequence(root: pathlib.Path, name: str, camera: int) -> Sequence:
    """Reads one camera of a sequence.

    Args:
      root: the data root.
      name: two digits, such as 03.
      camera: one of those that `list_cameras` returns; the first is the one to evaluate poses with.

    Returns:
      All its frames, named <name>_<camera>.

    Raises:
      UserError: the frames, calib.txt or its line of this camera are missing, it is no camera or not that of the frames, or
        they have different sizes.
    """
    folder = root / FOLDER / "sequences" / name
    frames = numbered_frames(folder / f"image_{camera}")
    if not frames:
        ignored = ignored_files(folder / f"image_{camera}", _EXAMPLE)
        raise UserError(f"sequence {name} has no frames, looked for {folder}/image_{camera}{ignored}: {HOW_TO_GET}")
    size, calibration = frame_size(frames.values()), folder / "calib.txt"
    intrinsics = read_odometry_intrinsics(calibration, camera)
    calibrated = next((size for focal, size in _OFFICIAL_SIZES.items() if abs(intrinsics[0, 0] - focal) < 0.01), None)
    return Sequence(
        name=f"{name}_{camera}",
        frames=tuple(frames.values()),
        numbers=tuple(frames),
        intrinsics=intrinsics_of_stored(intrinsics, calibrated, size, calibration, f"P{camera}"),
        image_size=size,
    )


def poses_file(root: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the file of a sequence's true poses, 12 numbers a line.

    Args:
      root: the data root.
      name: two digits, 00 to 10.

    Raises:
      UserError: it does not exist.
    """
    path = root / FOLDER / "poses" / f"{name}.txt"
    if not path.is_file():
        raise UserError(f"sequence {name} has no true poses, looked for {path} (only 00 to 10 have any): {HOW_TO_GET}")
    return path
