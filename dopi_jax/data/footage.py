"""Own footage as sequences: options, the camera's intrinsics from the first source that has them, shots and stride."""

import dataclasses
import pathlib
import struct

import numpy as np
from PIL import Image

from dopi_jax.data.intrinsics import GUESSED_FIELD_OF_VIEW, intrinsics_from_field_of_view, scale_rows
from dopi_jax.data.recording import Calibration, Recording
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.survey import LONGEST_STRIDE, survey
from dopi_jax.errors import UserError

INTRINSICS_FILE = "intrinsics.txt"  # beside the frames or the video

_FULL_FRAME_WIDTH = 36.0  # millimetres, of the film that equivalent focal lengths are for
_EXIF, _FOCAL_LENGTH_IN_35MM = 0x8769, 0xA405
_FOCAL_RANGE = (0.05, 20.0)  # times the longer side: fields of view of 169 and 3 degrees
HOW_TO_GIVE = (
    "give them by --config.data.intrinsics=fx,fy,cx,cy in pixels, a file intrinsics.txt with these four numbers beside the "
    "frames, or --config.data.field_of_view in degrees; or let the focal length be learnt, --config.data.intrinsics=learned"
)


@dataclasses.dataclass(frozen=True)
class Footage:
    """How one's own footage is read.

    Attributes:
      intrinsics: "fx,fy,cx,cy" in pixels of the frames or the video, or a file with these; "" if not known.
      field_of_view: horizontal, in degrees; 0 if not known.
      stride: frames from one frame of a snippet to the next; 0 chooses it by how much moves.
      by_flags: these come from a command's own flags, such as --field-of-view, and not from a config.
    """

    intrinsics: str = ""
    field_of_view: float = 0.0
    stride: int = 0
    by_flags: bool = False

    def __post_init__(self):
        by_name = {name: self.named(name) for name in ("intrinsics", "field_of_view", "stride")}
        if self.field_of_view and not 5 <= self.field_of_view <= 165:
            raise UserError(
                f"{by_name['field_of_view']} is {self.field_of_view:g}: expected degrees between 5 and 165, across the "
                "width of the frames, or 0 if it is not known"
            )
        if self.field_of_view and self.intrinsics:
            raise UserError(
                f"{by_name['intrinsics']} is {self.intrinsics!r} and {by_name['field_of_view']} {self.field_of_view:g}: "
                "expected one of them, leave the other one out"
            )
        if not 0 <= self.stride <= 100:
            raise UserError(
                f"{by_name['stride']} is {self.stride}: expected a number of frames such as 1 to {LONGEST_STRIDE}, or 0 to "
                "choose it by how much moves"
            )

    def named(self, option: str) -> str:
        """Returns how the user knows an option, for messages."""
        return f"--{option.replace('_', '-')}" if self.by_flags else f"config.data.{option}"


def find_calibration(
    footage: Footage,
    size: tuple[int, int],
    *,
    beside: pathlib.Path,
    frame: pathlib.Path | None = None,
    recorded_size: tuple[int, int] | None = None,
) -> Calibration:
    """Finds the intrinsics of one's own footage, by the first of these that is there.

    The option `intrinsics`, the option `field_of_view`, the file intrinsics.txt, the focal length that a photo's EXIF
    data has, a guess. Pixels are square and the principal point is the centre where only an angle or a focal length is
    known.

    Args:
      footage: the options.
      size: (height, width) of the stored frames in pixels.
      beside: the folder that may hold intrinsics.txt.
      frame: an image that may have EXIF data.
      recorded_size: (height, width) that given intrinsics are for, if the stored frames were made smaller.

    Raises:
      UserError: what is given is no camera of such frames.
    """
    given_for = recorded_size or size
    beside_frames = beside / INTRINSICS_FILE
    if footage.intrinsics:
        intrinsics, how = _given(footage.intrinsics, footage.named("intrinsics"), given_for)
    elif footage.field_of_view:
        intrinsics = intrinsics_from_field_of_view(footage.field_of_view, size)
        return Calibration(intrinsics, f"from {footage.named('field_of_view')}={footage.field_of_view:g}")
    elif beside_frames.is_file():
        intrinsics, how = _read_file(beside_frames, given_for), f"from {beside_frames}"
    else:
        return _from_exif(frame, size) or _guess(size)
    return Calibration(scale_rows(intrinsics, size[0] / given_for[0], size[1] / given_for[1]), how)


def split_into_sequences(
    name: str,
    frames: tuple[pathlib.Path, ...],
    numbers: tuple[int, ...],
    size: tuple[int, int],
    calibration: Calibration,
    stride: int,
    frame_rate: float = 0.0,
) -> list[Sequence]:
    """Looks through a recording and returns its shots as sequences.

    Args:
      name: of the recording.
      frames: image files in the order of time.
      numbers: their numbers, rising.
      size: (height, width) of the frames in pixels.
      calibration: from `find_calibration`.
      stride: frames from one frame of a snippet to the next; 0 chooses it by how much moves.
      frame_rate: frames a second; 0 if not known.

    Returns:
      One sequence named as the recording, or where there are cuts several with the number of their first frame behind
      the name. Some may be too short for a snippet.

    Raises:
      UserError: there are fewer than three frames, or none can be read.
    """
    if len(frames) < 3:
        raise UserError(f"{name} has {len(frames)} frames, expected the 3 of a snippet (t-1, t, t+1) at least: use more")
    found = survey(frames, numbers, stride)
    recording = Recording(name, frame_rate, calibration, found)
    whole = Sequence(name, frames, numbers, calibration.intrinsics, size, step=found.stride, recording=recording)
    starts = [0, *(numbers.index(number) for number in found.cuts)]
    ends = [*starts[1:], len(frames)]
    shots = [whole.piece(range(start, end)) for start, end in zip(starts, ends, strict=True)]
    if len(shots) == 1:
        return shots
    return [dataclasses.replace(shot, name=f"{name}_{shot.numbers[0]:06d}") for shot in shots]


def _given(text: str, option: str, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    path = pathlib.Path(text).expanduser()
    if path.is_file():
        return _read_file(path, size), f"from {path}"
    numbers = _numbers(text)
    if numbers is None:
        raise UserError(
            f"{option} is {text!r}: expected fx,fy,cx,cy in pixels, such as 700,700,640,360, or a file that "
            "exists and holds these"
        )
    return _from_numbers(numbers, option, size), f"from {option}"


def _read_file(path: pathlib.Path, size: tuple[int, int]) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): write fx fy cx cy into it") from error
    numbers = _numbers(text)
    if numbers is None:
        raise UserError(f"{path} holds something else than numbers: expected fx fy cx cy in pixels, or a 3x3 matrix")
    return _from_numbers(numbers, str(path), size)


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(number) for number in text.replace(",", " ").split()]
    except ValueError:
        return None


def _from_numbers(numbers: list[float], where: str, size: tuple[int, int]) -> np.ndarray:
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    elif len(numbers) == 9:
        intrinsics = np.array(numbers).reshape(3, 3)
    else:
        raise UserError(f"{where} has {len(numbers)} numbers: expected 4 (fx fy cx cy, in pixels) or the 9 of a 3x3 matrix")
    check_plausible(intrinsics, where, size)
    return intrinsics


def check_plausible(intrinsics: np.ndarray, where: str, size: tuple[int, int]) -> None:
    """Checks that a matrix is a camera that may have taken frames of this size.

    Args:
      intrinsics: float64 [3, 3] in pixels.
      where: the file or field it comes from, for the message.
      size: (height, width) of the frames in pixels.

    Raises:
      UserError: a number is not finite, the matrix is not of this form, or focal length or principal point are absurd.
    """
    (fx, skew, cx), (zero, fy, cy), last = intrinsics
    longer = max(size)
    focal_is_right = all(_FOCAL_RANGE[0] * longer <= focal <= _FOCAL_RANGE[1] * longer for focal in (fx, fy))
    form_is_right = zero == 0 and tuple(last) == (0, 0, 1) and not abs(skew) > 0.01 * abs(fx)
    # With NaN, every comparison is false.
    if not (focal_is_right and form_is_right and 0 < cx < size[1] and 0 < cy < size[0]):
        found = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}" if form_is_right else str(intrinsics.tolist())
        raise UserError(
            f"{where} has {found}: expected focal lengths of {_FOCAL_RANGE[0] * longer:.0f} to "
            f"{_FOCAL_RANGE[1] * longer:.0f} pixels and a principal point inside the frames of {size[1]}x{size[0]} pixels "
            "(width x height), as [fx 0 cx; 0 fy cy; 0 0 1]; give them in pixels of these frames"
        )


def _from_exif(frame: pathlib.Path | None, size: tuple[int, int]) -> Calibration | None:
    if frame is None:
        return None
    try:
        with Image.open(frame) as stored:
            equivalent = float(stored.getexif().get_ifd(_EXIF).get(_FOCAL_LENGTH_IN_35MM, 0))
    except (OSError, SyntaxError, ValueError, TypeError, ArithmeticError, struct.error):  # a damaged image or EXIF data
        return None
    if not 5 <= equivalent <= 700:  # 0 stands for "not known"
        return None
    degrees = 2 * np.rad2deg(np.arctan(_FULL_FRAME_WIDTH / 2 / equivalent))
    return Calibration(
        intrinsics_from_field_of_view(degrees, size, max(size)),
        f"from the EXIF data of {frame.name}, a focal length of {equivalent:g} mm (35 mm equivalent)",
    )


def _guess(size: tuple[int, int]) -> Calibration:
    return Calibration(
        intrinsics_from_field_of_view(GUESSED_FIELD_OF_VIEW, size, max(size)),
        f"guessed: {GUESSED_FIELD_OF_VIEW:g} degrees along the longer side, as the main camera of a phone has",
        guessed=True,
    )
