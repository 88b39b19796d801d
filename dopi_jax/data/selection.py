"""From the words of a config to sequences: "kitti_raw:eigen", "kitti_odometry:03[:600]".

    kitti_raw:eigen                    the training drives at hand: not among the 28 Eigen test scenes, not validating
    kitti_raw:eigen_val                the validation drives at hand
    kitti_raw:2011_09_26_drive_0095    one drive
    kitti_odometry:train               the sequences 00 to 08 at hand
    kitti_odometry:03                  one sequence
    cityscapes:train                   the training cities at hand
    cityscapes:aachen                  one city, of whichever split
    images:all, video:all              one's own folders of images, one's own videos
    images:garden                      one of them, by the name of its folder or file

A range such as [:600], [540:600] or [90%:] may follow; it counts the frames of each sequence from 0, as Python slices do, or
in percent of them. Every colour camera is a sequence of its own, and so is every second frame of a clip of Cityscapes.
Frames of KITTI raw and of Cityscapes on which the car stands still are left out first.

Where a data root is a prepared set, the same words select the same frames, as far as they were prepared.
"""

import dataclasses
import os
import pathlib
import re
import warnings
from collections.abc import Sequence as ListOf

from dopi_jax.data.footage import Footage
from dopi_jax.data.snippets import Sequence, require_snippets
from dopi_jax.data.sources import SOURCES, kitti_flow, kitti_odometry, kitti_raw, prepared
from dopi_jax.data.sources.choice import NoFrames
from dopi_jax.errors import UserError

DATA_FOLDERS = (
    *(name for name in SOURCES if name not in ("images", "video")),
    *(benchmark.folder for benchmark in kitti_flow.BENCHMARKS),
)

_SELECTION = re.compile(r"(\w+):([^\[\]:]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def find_data_roots(root: str = "", option: str = "--config.data.root") -> tuple[pathlib.Path, ...]:
    """Returns the data roots.

    Args:
      root: the config's data.root, several separated by commas; if empty, the environment variable DOPI_DATA is used.
        Each is a folder with kitti_raw/ and the like, a prepared set, a folder of images or videos, or a video.
      option: of the command line that named it, for messages.

    Raises:
      UserError: neither is set, or there are no data at one of the places.
    """
    named = root or os.environ.get("DOPI_DATA", "")
    how = f"{kitti_raw.HOW_TO_GET}; for poses {kitti_odometry.HOW_TO_GET}"
    expected = ", ".join(f"{folder}/" for folder in DATA_FOLDERS)
    if not named:
        raise UserError(
            "no data folder is given: set --config.data.root or the environment variable DOPI_DATA to the folder that "
            f"has any of {expected}, to your own video or folder of images, or to a prepared set; if you have none, {how}"
        )
    whole = pathlib.Path(named).expanduser()
    roots = [whole] if whole.exists() else [pathlib.Path(part.strip()).expanduser() for part in named.split(",")]
    source = option if root else "the environment variable DOPI_DATA"
    for place in roots:
        if not place.exists():
            raise UserError(
                f"no data at {place} (from {source}): it does not exist, expected a video, a folder of images, a prepared "
                f"set, or a folder with any of {expected}; {how}"
            )
        if not _holds_data(place):
            raise UserError(
                f"no data at {place} (from {source}): it has none of {expected}, no images and no video, and is no prepared "
                f"set; {how}"
            )
    return tuple(roots)


def _holds_data(place: pathlib.Path) -> bool:
    known = any((place / name).is_dir() for name in DATA_FOLDERS) or prepared.is_prepared(place)
    return known or any(source.items(place) for source in SOURCES.values())


def select_sequences(
    roots: str | pathlib.Path | ListOf[pathlib.Path],
    selection: str,
    *,
    for_training: bool = False,
    footage: Footage | None = None,
) -> list[Sequence]:
    """Returns the sequences that a selection names; the grammar is that of this module's docstring.

    In a whole split or city, a sequence too short for a snippet is left out with a warning that counts them; one chosen
    by name is an error. A warning also tells when what is trained on would be tested on: the odometry sequences are cut
    from raw drives.

    Args:
      roots: one data root or several, from `find_data_roots`. Where several have the same item, the first one's is read.
      selection: such as "kitti_raw:eigen" or "kitti_odometry:03[:600]".
      for_training: refuse the 28 Eigen test scenes of KITTI raw.
      footage: what is known of one's own images and videos; None if nothing is.

    Returns:
      At least one sequence, each with at least one snippet.

    Raises:
      EmptySplit: nothing of a split, such as "kitti_raw:eigen" or "video:all", is at hand.
      UserError: the selection cannot be read, is not at hand, holds no snippet, or is a test scene to be trained on.
    """
    match = _SELECTION.fullmatch(selection)
    if match is None or match[1] not in SOURCES:
        raise UserError(
            f"selection {selection!r} cannot be read, expected kitti_raw:eigen, kitti_raw:eigen_val, "
            "kitti_raw:<drive>, kitti_odometry:train, kitti_odometry:<sequence>, cityscapes:train, cityscapes:<city>, "
            "images:all, images:<folder>, video:all or video:<name>, with an optional range such as [:600] or [90%:]"
        )
    dataset, name, first, last = match.groups()
    source = SOURCES[dataset]
    roots = [pathlib.Path(roots)] if isinstance(roots, str | pathlib.Path) else list(roots)
    place_of: dict[str, pathlib.Path] = {}
    for root in roots:
        for item in prepared.items(root, dataset) if prepared.is_prepared(root) else source.items(root):
            place_of.setdefault(item, root)
    choice = source.choose(name, list(place_of), ", ".join(map(str, roots)))
    if for_training:
        source.check_training(selection, choice.items)
    sequences = []
    for item in choice.items:
        root = place_of[item]
        try:
            is_prepared = prepared.is_prepared(root)
            whole = prepared.read(root, dataset, item) if is_prepared else source.read(root, item, footage or Footage())
        except NoFrames:
            if not choice.whole:
                raise
            continue
        for sequence in whole:
            part = sequence.part(_places(first, last, sequence.whole_length or len(sequence)))
            sequences.append(dataclasses.replace(part, origin=(dataset, item)))
    if choice.whole:
        return _leave_out_short(selection, sequences)
    return [require_snippets(sequence) for sequence in sequences]


def _places(first: str | None, last: str | None, length: int) -> range:
    """The places of a sequence of this length that a range's ends stand for."""

    def place(end: str | None) -> int | None:
        if end is None:
            return None
        return length * int(end[:-1]) // 100 if end.endswith("%") else int(end)

    return range(length)[place(first) : place(last)]


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
