"""Sequences of numbered frames, and the snippets of three consecutive frames that training takes from them."""

import dataclasses
import pathlib
from collections.abc import Container, Iterable
from typing import NamedTuple

import numpy as np

from dopi_jax.data.images import Openable, image_size
from dopi_jax.data.intrinsics import scale_rows
from dopi_jax.data.recording import Recording
from dopi_jax.errors import UserError

# Official sets come as .png; .jpg copies save two thirds of the disk. Where both are there, the original is used.
FRAME_SUFFIXES = (".png", ".jpg", ".jpeg")  # in lower or upper case


Frame = Openable
"""An image file, or what opens like one."""


class Snippet(NamedTuple):
    """Three consecutive frames (t-1, t, t+1) of one camera: the training sample (D30).

    Attributes:
      previous: frame t-1.
      target: frame t.
      next: frame t+1.
      intrinsics: float64 [3, 3] in pixels of the stored frames.
      image_size: (height, width) of the stored frames in pixels.
      kept_rows: share of the stored rows, from the top, that is used, in (0, 1].
    """

    previous: Frame
    target: Frame
    next: Frame
    intrinsics: np.ndarray
    image_size: tuple[int, int]
    kept_rows: float = 1.0

    @property
    def frames(self) -> tuple[Frame, Frame, Frame]:
        """The three frames in the order of time."""
        return self.previous, self.target, self.next

    def intrinsics_at(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the intrinsics in pixels of the frames' kept rows resized to (height, width), float64 [3, 3]."""
        return _resized_intrinsics(self, size)


@dataclasses.dataclass(frozen=True, eq=False)
class Sequence:
    """The frames of one camera on one drive, in the order of time.

    Attributes:
      name: for people, such as 2011_09_26_drive_0095_02.
      frames: image files, or what opens like one.
      numbers: frame numbers, rising; a gap means that frames in between were left out.
      intrinsics: float64 [3, 3] in pixels of the stored frames.
      image_size: (height, width) of the stored frames in pixels.
      kept_rows: share of the stored rows, from the top, that is used, in (0, 1]; what lies below shows the car itself.
      step: how much higher the number of the next frame of a snippet is.
      places: where in the whole sequence each frame stands, counted from 0; empty if this is the whole sequence.
      whole_length: how many frames the whole sequence has; 0 if this is it.
      origin: data set and item that a selection found it by, such as ("kitti_raw", "2011_09_26_drive_0095").
      recording: what a look at one's own footage has shown; None for the frames of a data set.
      standing: how many frames were left out because the car stands still on them.
    """

    name: str
    frames: tuple[Frame, ...]
    numbers: tuple[int, ...]
    intrinsics: np.ndarray
    image_size: tuple[int, int]
    kept_rows: float = 1.0
    step: int = 1
    places: tuple[int, ...] = ()
    whole_length: int = 0
    origin: tuple[str, str] = ("", "")
    recording: Recording | None = None
    standing: int = 0

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, places: Container[int]) -> "Sequence":
        """Returns the frames at these places of the whole sequence (not frame numbers), as far as they are here."""
        own = self.places or range(len(self))
        kept = [index for index, place in enumerate(own) if place in places]
        return dataclasses.replace(
            self.piece(kept), places=tuple(own[index] for index in kept), whole_length=self.whole_length or len(self)
        )

    def without(self, standing: frozenset[int]) -> "Sequence":
        """Returns the sequence without the frames of these numbers, on which the car stands still."""
        kept = [index for index, number in enumerate(self.numbers) if number not in standing]
        return dataclasses.replace(self.piece(kept), standing=self.standing + len(self) - len(kept))

    def piece(self, indices: Iterable[int]) -> "Sequence":
        """Returns some of the frames, by their index here, as a whole sequence of its own."""
        indices = list(indices)
        return dataclasses.replace(
            self,
            frames=tuple(self.frames[index] for index in indices),
            numbers=tuple(self.numbers[index] for index in indices),
        )

    def intrinsics_at(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the intrinsics in pixels of the frames' kept rows resized to (height, width), float64 [3, 3]."""
        return _resized_intrinsics(self, size)

    def snippets(self) -> list[Snippet]:
        """Returns a snippet for every frame that has both neighbours, the frames numbered `step` less and more."""
        frames = dict(zip(self.numbers, self.frames, strict=True))
        return [
            Snippet(frames[n - self.step], frame, frames[n + self.step], self.intrinsics, self.image_size, self.kept_rows)
            for n, frame in frames.items()
            if n - self.step in frames and n + self.step in frames
        ]


def _resized_intrinsics(of: Snippet | Sequence, size: tuple[int, int]) -> np.ndarray:
    # Rows are cut at the bottom, which moves no pixel: only the zoom depends on it.
    return scale_rows(of.intrinsics, size[0] / (of.kept_rows * of.image_size[0]), size[1] / of.image_size[1])


def count_snippets(sequences: list[Sequence]) -> int:
    """Returns how many snippets the sequences hold together."""
    return sum(len(sequence.snippets()) for sequence in sequences)


def require_snippets(sequence: Sequence) -> Sequence:
    """Returns the sequence if it holds a snippet.

    Raises:
      UserError: fewer than three frames, or no three of them consecutive.
    """
    if sequence.standing and not sequence.frames:
        raise UserError(
            f"sequence {sequence.name} has no frame to learn from: the car stands still on all of its {sequence.standing}, "
            "by the list of static frames; select another drive"
        )
    beside = f" beside {sequence.standing} on which the car stands still" if sequence.standing else ""
    if len(sequence) < 3:
        raise UserError(
            f"sequence {sequence.name} has {len(sequence)} frames{beside}, expected at least 3 for a snippet (t-1, t, t+1): "
            "select more frames"
        )
    if not sequence.snippets():
        raise UserError(
            f"sequence {sequence.name} has {len(sequence)} frames{beside} but no 3 of them have "
            "consecutive numbers, expected at least one snippet (t-1, t, t+1): select other frames"
        )
    return sequence


def frame_size(frames: Iterable[pathlib.Path]) -> tuple[int, int]:
    """Reads the (height, width) in pixels of the frames of a sequence, from the first and the last.

    Args:
      frames: image files, at least one; those that cannot be read are passed over, up to all but one.

    Raises:
      UserError: the first and the last have different sizes, or none can be read.
    """
    frames = list(frames)
    first, size = _first_readable(frames)
    last, other = _first_readable(frames[::-1])
    if other != size:
        raise UserError(
            f"frames of one sequence have different sizes (width x height), {first} {size[1]}x{size[0]} pixels and {last} "
            f"{other[1]}x{other[0]}, expected one, for which one camera stands: put them into different sequences"
        )
    return size


def _first_readable(frames: list[pathlib.Path]) -> tuple[pathlib.Path, tuple[int, int]]:
    """The first frame whose header can be read, and its size."""
    errors = []
    for path in frames:
        try:
            return path, image_size(path)
        except UserError as error:
            errors.append(error)
    raise errors[0]


def frame_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Lists the frames of a folder by name without suffix, rising; where there are several, the original.

    A hidden file is none: macOS leaves one, such as ._0000000000.png, beside each that it copies to other file systems.

    Args:
      folder: holds frames; it need not exist.

    Returns:
      Name without suffix -> file.
    """
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    frames = [path for path in paths if path.suffix.lower() in FRAME_SUFFIXES]
    # The preferred one comes last, and so stays.
    frames.sort(key=lambda path: (path.stem, -FRAME_SUFFIXES.index(path.suffix.lower()), path.name))
    return {path.stem: path for path in frames}


def numbered_frames(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Lists the frames of a folder by number, rising; files whose name is no number are left out.

    Args:
      folder: holds files such as 0000000000.png; it need not exist.

    Returns:
      Frame number -> file.
    """
    frames = frame_files(folder)
    return dict(sorted((int(name), path) for name, path in frames.items() if name.isdecimal()))


def ignored_files(folder: pathlib.Path, example: str) -> str:
    """Says for a message why a folder has no frames although it has files; "" if it has none.

    Args:
      folder: where frames were looked for; it need not exist.
      example: the name of a frame.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if not names:
        return ""
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"; the files in {folder} ({some}) are no frames by their names, expected such as {example} with one of "
        f"{', '.join(FRAME_SUFFIXES)}"
    )
