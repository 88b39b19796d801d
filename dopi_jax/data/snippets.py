"""Sequences of numbered frames, and the snippets of three consecutive frames that training takes from them."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import IO, NamedTuple, Protocol

import numpy as np

from dopi_jax.data.calibration import scale_rows
from dopi_jax.data.recording import Recording
from dopi_jax.errors import UserError

# Official sets come as .png; .jpg copies save two thirds of the disk. Where both are there, the original is used.
FRAME_SUFFIXES = (".png", ".jpg")


class Frame(Protocol):
    """An image file, or what opens like one; its text names it in messages."""

    def open(self, mode: str) -> IO[bytes]:
        """Opens the encoded image for reading."""


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

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, places: range) -> "Sequence":
        """Returns the frames at these places of the whole sequence (not frame numbers), as far as they are here."""
        own = self.places or range(len(self))
        kept = [index for index, place in enumerate(own) if place in places]
        return dataclasses.replace(
            self.piece(kept), places=tuple(own[index] for index in kept), whole_length=self.whole_length or len(self)
        )

    def without(self, numbers: frozenset[int]) -> "Sequence":
        """Returns the sequence without the frames of these numbers; what is left counts as the whole."""
        return self.piece([index for index, number in enumerate(self.numbers) if number not in numbers])

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
    # Rows are left out at the bottom, which moves no pixel: only the zoom knows of it.
    return scale_rows(of.intrinsics, size[0] / (of.kept_rows * of.image_size[0]), size[1] / of.image_size[1])


def count_snippets(sequences: list[Sequence]) -> int:
    """Returns how many snippets the sequences hold together."""
    return sum(len(sequence.snippets()) for sequence in sequences)


def require_snippets(sequence: Sequence) -> Sequence:
    """Returns the sequence if it holds a snippet.

    Raises:
      UserError: fewer than three frames, or no three of them consecutive.
    """
    if len(sequence) < 3:
        raise UserError(
            f"sequence {sequence.name} has {len(sequence)} frames, expected at least 3 for a snippet (t-1, t, t+1): "
            "select more frames"
        )
    if not sequence.snippets():
        raise UserError(
            f"sequence {sequence.name} has {len(sequence)} frames but no 3 of them have consecutive numbers, expected "
            "at least one snippet (t-1, t, t+1): select other frames"
        )
    return sequence


def numbered_frames(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Lists the frames of a folder by number, rising; files whose name is no number are left out.

    Args:
      folder: holds files such as 0000000000.png; it need not exist.

    Returns:
      Frame number -> file.
    """
    frames: dict[int, pathlib.Path] = {}
    if not folder.is_dir():
        return frames
    for path in folder.iterdir():
        if path.suffix in FRAME_SUFFIXES and path.stem.isdecimal():
            known = frames.get(int(path.stem))
            if known is None or FRAME_SUFFIXES.index(path.suffix) < FRAME_SUFFIXES.index(known.suffix):
                frames[int(path.stem)] = path
    return dict(sorted(frames.items()))
