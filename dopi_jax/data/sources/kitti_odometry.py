"""KITTI odometry in its official layout.

<root>/kitti_odometry/sequences/00/calib.txt
<root>/kitti_odometry/sequences/00/image_2/000000.png      (2 and 3: the colour cameras; 0 and 1: grey)
<root>/kitti_odometry/poses/00.txt                         (00 to 10 only)
"""

import pathlib

import numpy as np

from dopi_jax.data import splits
from dopi_jax.data.calibration import read_odometry_intrinsics
from dopi_jax.data.footage import Footage
from dopi_jax.data.intrinsics import intrinsics_of_stored
from dopi_jax.data.snippets import Sequence, frame_size, ignored_files, numbered_frames
from dopi_jax.data.sources.choice import Choice, some
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


def items(root: pathlib.Path) -> list[str]:
    """Lists the sequences at hand, such as 03, sorted by name.

    Args:
      root: the data root.
    """
    return sorted(path.name for path in (root / FOLDER / "sequences").glob("[0-9][0-9]") if path.is_dir())


def choose(name: str, at_hand: list[str], where: str) -> Choice:
    """Returns the sequences that a selection names: "train" for 00 to 08, or a sequence.

    Args:
      name: "train" or two digits.
      at_hand: the sequences to choose from.
      where: where they lie, for messages.

    Raises:
      UserError: none of them is at hand.
    """
    wanted = splits.ODOMETRY_TRAIN if name == "train" else (name,)
    found = [known for known in at_hand if known in wanted]
    if not found:
        raise UserError(
            f"{FOLDER}:{name} is not at hand, looked for {FOLDER}/sequences/{wanted[0]} in {where}, found "
            f"{some(at_hand) or 'no sequence'}: {HOW_TO_GET}"
        )
    return Choice(found, whole=name == "train")


def check_training(selection: str, names: list[str]) -> None:
    """Warns if sequences to be trained on are cut from drives that are tested on.

    Args:
      selection: the words that chose them, for the message.
      names: such as 03.
    """
    splits.check_for_tests(selection, [splits.ODOMETRY_DRIVES[name] for name in names if name in splits.ODOMETRY_DRIVES])


def read(root: pathlib.Path, name: str, _footage: Footage | None = None) -> list[Sequence]:
    """Reads the cameras of a sequence, each as a sequence of its own.

    Args:
      root: the data root.
      name: two digits, such as 03.

    Returns:
      The colour cameras, or the grey camera 0 when that is all there is; poses are evaluated with the first.

    Raises:
      UserError: there are no frames, or calib.txt or one of its lines is missing.
    """
    return [read_sequence(root, name, camera) for camera in list_cameras(root, name)]


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


def read_times(name: str, *roots: pathlib.Path) -> np.ndarray | None:
    """Returns the times of a sequence's frames in seconds, by frame number; None if there is no times.txt.

    Args:
      name: two digits.
      *roots: the data roots; the first that has the file counts.

    Raises:
      UserError: it holds something else than a rising number a line.
    """
    path = next((p for p in (root / FOLDER / "sequences" / name / "times.txt" for root in roots) if p.is_file()), None)
    if path is None:
        return None
    try:
        times = np.array([float(line) for line in path.read_text(encoding="utf-8").split()])
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): expected the time of each frame, in seconds") from error
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise UserError(f"{path} has times that do not rise: expected the time of each frame, in seconds")
    return times


def poses_file(name: str, *roots: pathlib.Path) -> pathlib.Path:
    """Returns the file of a sequence's true poses, 12 numbers a line.

    Args:
      name: two digits, 00 to 10.
      *roots: the data roots; the first that has the file counts.

    Raises:
      UserError: it does not exist.
    """
    paths = [root / FOLDER / "poses" / f"{name}.txt" for root in roots]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise UserError(f"sequence {name} has no true poses, looked for {paths[0]} (only 00 to 10 have any): {HOW_TO_GET}")
    return found
