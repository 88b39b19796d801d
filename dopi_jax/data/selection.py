"""From the words of a config to sequences: "kitti_raw:eigen", "kitti_odometry:03[:600]".

    kitti_raw:eigen                    the training drives at hand: not among the 28 Eigen test scenes, not validating
    kitti_raw:eigen_val                the validation drives at hand
    kitti_raw:2011_09_26_drive_0095    one drive
    kitti_odometry:train               the sequences 00 to 08 at hand
    kitti_odometry:03                  one sequence
    cityscapes:train                   the training cities at hand
    cityscapes:aachen                  one city, of whichever split

A range such as [:600] or [540:600] may follow; it counts the frames of each sequence from 0, as Python slices do.
Every colour camera is a sequence of its own, and so is every second frame of a clip of Cityscapes. Frames of KITTI raw and
of Cityscapes on which the car stands still are left out first.
"""

import os
import pathlib
import re
import warnings

from dopi_jax.data import splits
from dopi_jax.data.snippets import Sequence, require_snippets
from dopi_jax.data.sources import cityscapes, kitti_flow, kitti_odometry, kitti_raw
from dopi_jax.errors import UserError

DATA_FOLDERS = (kitti_raw.FOLDER, kitti_odometry.FOLDER, kitti_flow.FOLDER, cityscapes.FOLDER)

_WHOLE_SPLITS = ("eigen", "eigen_val", "train")
_SELECTION = re.compile(r"(kitti_raw|kitti_odometry|cityscapes):(\w+)(?:\[(-?\d+)?:(-?\d+)?\])?")


class EmptySplit(UserError):
    """A whole split of which no drive is at hand: no mistake where a part of a data set is meant to do."""


def find_data_root(root: str = "") -> pathlib.Path:
    """Returns the folder that holds kitti_raw/, kitti_odometry/ and the like.

    Args:
      root: the config's data.root; if empty, the environment variable DOPI_DATA is used.

    Raises:
      UserError: neither is set, or none of the data sets is there.
    """
    named = root or os.environ.get("DOPI_DATA", "")
    how = f"{kitti_raw.HOW_TO_GET}; for poses {kitti_odometry.HOW_TO_GET}"
    expected = ", ".join(f"{folder}/" for folder in DATA_FOLDERS)
    if not named:
        raise UserError(
            "no data folder is given: set --config.data.root or the environment variable DOPI_DATA to the folder that "
            f"has any of {expected}; if you have none, {how}"
        )
    folder = pathlib.Path(named).expanduser()
    if not any((folder / name).is_dir() for name in DATA_FOLDERS):
        found = "the folder has none of" if folder.is_dir() else "the folder does not exist, expected one with any of"
        source = "--config.data.root" if root else "the environment variable DOPI_DATA"
        raise UserError(f"no data at {folder} (from {source}): {found} {expected}; {how}")
    return folder


def select_sequences(root: str | pathlib.Path, selection: str, *, for_training: bool = False) -> list[Sequence]:
    """Returns the sequences that a selection names; the grammar is that of this module's docstring.

    In a whole split or city, a sequence too short for a snippet is left out with a warning that counts them; one chosen
    by name is an error. A warning also tells when what is trained on would be tested on: the odometry sequences are cut
    from raw drives.

    Args:
      root: the data root, from `find_data_root`.
      selection: such as "kitti_raw:eigen" or "kitti_odometry:03[:600]".
      for_training: refuse the 28 Eigen test scenes of KITTI raw.

    Returns:
      At least one sequence, each with at least one snippet.

    Raises:
      EmptySplit: no drive of the fold "eigen" or "eigen_val" is at hand.
      UserError: the selection cannot be read, is not at hand, holds no snippet, or is a test scene to be trained on.
    """
    match = _SELECTION.fullmatch(selection)
    if match is None:
        raise UserError(
            f"selection {selection!r} cannot be read, expected kitti_raw:eigen, kitti_raw:eigen_val, "
            "kitti_raw:<drive>, kitti_odometry:train, kitti_odometry:<sequence>, cityscapes:train or cityscapes:<city>, "
            "with an optional range such as [:600]"
        )
    dataset, name, first, last = match.groups()
    frames = slice(first and int(first), last and int(last))
    root = pathlib.Path(root)
    if dataset == kitti_raw.FOLDER:
        drives = _raw_drives(root, name)
        if for_training:
            _refuse_test_scenes(selection, drives)
            _warn_of_tests_within(selection, drives)
        sequences = [sequence for drive in drives for sequence in kitti_raw.read_drive(root, drive)]
    elif dataset == cityscapes.FOLDER:
        cities = _cities(root, name)
        sequences = [sequence for split, city in cities for sequence in cityscapes.read_city(root, split, city)]
    else:
        names = _odometry_names(root, name)
        if for_training:
            _warn_of_tests_within(selection, [splits.ODOMETRY_DRIVES[n] for n in names if n in splits.ODOMETRY_DRIVES])
        sequences = [
            kitti_odometry.read_sequence(root, n, camera) for n in names for camera in kitti_odometry.list_cameras(root, n)
        ]
    sequences = [sequence.part(frames) for sequence in sequences]
    if name in _WHOLE_SPLITS or dataset == cityscapes.FOLDER:
        return _leave_out_short(selection, sequences)
    return [require_snippets(sequence) for sequence in sequences]


def _raw_drives(root: pathlib.Path, name: str) -> list[str]:
    at_hand = kitti_raw.list_drives(root)
    if name in ("eigen", "eigen_val"):
        fold = [
            drive
            for drive in at_hand
            if drive not in splits.eigen_test_scenes() and splits.is_validation(drive) == (name == "eigen_val")
        ]
        if not fold:
            raise EmptySplit(
                f"selection kitti_raw:{name} is empty: none of the {len(at_hand)} drives at {root / kitti_raw.FOLDER} "
                f"is in this fold; name a drive ({_some(at_hand)}), or {kitti_raw.HOW_TO_GET}"
            )
        return fold
    if name not in at_hand:
        raise UserError(
            f"drive {name} is not at hand, looked for {kitti_raw.drive_folder(root, name)}, found {_some(at_hand)}: "
            f"{kitti_raw.HOW_TO_GET}"
        )
    kitti_raw.require_colour_frames(root, name)
    return [name]


def _odometry_names(root: pathlib.Path, name: str) -> list[str]:
    at_hand = kitti_odometry.list_sequences(root)
    wanted = splits.ODOMETRY_TRAIN if name == "train" else (name,)
    found = [known for known in at_hand if known in wanted]
    if not found:
        raise UserError(
            f"kitti_odometry:{name} is not at hand, looked in {root / kitti_odometry.FOLDER / 'sequences'}, "
            f"found {_some(at_hand)}: {kitti_odometry.HOW_TO_GET}"
        )
    return found


def _cities(root: pathlib.Path, name: str) -> list[tuple[str, str]]:
    """The selected cities with their split."""
    at_hand = [(split, city) for split in cityscapes.SPLITS for city in cityscapes.list_cities(root, split)]
    found = [(split, city) for split, city in at_hand if name == city or (name, split) == ("train", "train")]
    if not found:
        raise UserError(
            f"cityscapes:{name} is not at hand, looked in {root / cityscapes.FOLDER}/leftImg8bit_sequence, found "
            f"{_some(['/'.join(place) for place in at_hand]) or 'no city'}: {cityscapes.HOW_TO_GET}"
        )
    return found


def _refuse_test_scenes(selection: str, drives: list[str]) -> None:
    scenes = sorted(splits.eigen_test_scenes().intersection(drives))
    if scenes:
        raise UserError(
            f"{selection} is not for training: {_some(scenes)} is one of the 28 scenes of the Eigen test list; "
            "train on another drive"
        )


def _warn_of_tests_within(selection: str, drives: list[str]) -> None:
    """Warns if the raw drives that are trained on, under whatever name, are tested on under another."""
    scenes = sorted(splits.eigen_test_scenes().intersection(drives))
    if scenes:
        warnings.warn(
            f"{selection} is cut from Eigen test scenes ({_some(scenes)}): a network trained on it has seen frames of "
            "the depth test; train on kitti_raw:eigen to report depth errors",
            stacklevel=3,
        )
    poses = [name for name in splits.ODOMETRY_TEST if splits.ODOMETRY_DRIVES[name] in drives]
    if poses:
        warnings.warn(
            f"{selection} holds the drives that odometry {' and '.join(poses)} is cut from: a network trained on it has "
            "seen the pose test; train on kitti_odometry:train to report pose errors",
            stacklevel=3,
        )


def _leave_out_short(selection: str, sequences: list[Sequence]) -> list[Sequence]:
    long_enough = [sequence for sequence in sequences if sequence.snippets()]
    if not long_enough:
        raise UserError(
            f"selection {selection} holds no snippet: none of its {len(sequences)} sequences has 3 consecutive frames; "
            "widen the range or add drives"
        )
    short = len(sequences) - len(long_enough)
    if short:
        warnings.warn(
            f"{selection}: {short} of {len(sequences)} sequences have no 3 consecutive frames and are left out",
            stacklevel=3,
        )
    return long_enough


def _some(names: list[str]) -> str:
    """The names for a message, at most five of them."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
