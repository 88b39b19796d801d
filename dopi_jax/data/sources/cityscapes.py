"""Cityscapes video of the left camera in its official layout.

<root>/cityscapes/leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png      (val/ and test/ likewise)
<root>/cityscapes/camera/train/aachen/aachen_000000_000019_camera.json         (of the one annotated frame in 30)
<root>/cityscapes/vehicle_sequence/train/aachen/aachen_000000_000000_vehicle.json             (need not be there)

A file's name is its city, recording and frame. As in the published code, only the top three quarters of the rows are used,
because the bonnet is below them, and neighbours are two frames apart, because the video has 17 frames a second: a clip
gives two sequences, of its frames 0, 2, 4 ... and 1, 3, 5 ...
"""

import json
import math
import pathlib
import re
import warnings

import numpy as np

from dopi_jax.data.footage import Footage
from dopi_jax.data.intrinsics import intrinsics_of_stored
from dopi_jax.data.snippets import Sequence, frame_files, frame_size, ignored_files
from dopi_jax.data.sources.choice import Choice, some
from dopi_jax.errors import UserError

FOLDER = "cityscapes"
SPLITS = ("train", "val", "test")
HOW_TO_GET = (
    "get leftImg8bit_sequence_trainvaltest.zip, camera_trainvaltest.zip and the package vehicle_sequence "
    "from https://www.cityscapes-dataset.com/downloads and unpack them into one folder"
)

_FRAMES, _CAMERAS, _VEHICLES = "leftImg8bit_sequence", "camera", "vehicle_sequence"
# (height, width) of the official frames, which a camera file does not say. It belongs to them if its focal length is about
# that of the official cameras, 2262 to 2270 pixels; a calibration of any other is taken to be that of the frames.
_OFFICIAL_SIZE, _OFFICIAL_FOCAL = (1024, 2048), (2200, 2350)
_KEPT_ROWS = 0.75
_STEP = 2  # frames
# Speeds (m/s) are added up over the frames of a sequence. The frame at which the sum's norm exceeds the threshold is kept
# and the sum starts again at 0. The published code adds each speed to all three components of a vector, so its norm is
# sqrt(3) times the sum, and a frame is kept as soon as the sum exceeds 2 / sqrt(3) = 1.155 m/s: above 4.2 km/h that is
# every frame, at a standstill none, and in between one for each 0.14 m or so (1.155 m/s at 8.5 frames a second), which
# have gaps between them that no snippet straddles.
_SPEED_COMPONENTS = 3
_SPEED_THRESHOLD = 2.0


def items(root: pathlib.Path) -> list[str]:
    """Lists the cities at hand with their split, such as train/aachen.

    Args:
      root: the data root.
    """
    folders = [path for split in SPLITS for path in sorted((root / FOLDER / _FRAMES / split).glob("[!.]*"))]
    return [f"{path.parent.name}/{path.name}" for path in folders if path.is_dir()]


def choose(name: str, at_hand: list[str], where: str) -> Choice:
    """Returns the cities that a selection names: "train" for all of the training split, or a city of any split.

    Args:
      name: "train" or a city.
      at_hand: the cities to choose from, with their splits.
      where: where they lie, for messages.

    Raises:
      UserError: none of them is at hand.
    """
    found = [item for item in at_hand if name == item.partition("/")[2] or (name == "train" and item.startswith("train/"))]
    if not found:
        raise UserError(
            f"{FOLDER}:{name} is not at hand, looked for {FOLDER}/{_FRAMES}/train/aachen and so on in {where}, found "
            f"{some(at_hand) or 'no city'}: {HOW_TO_GET}"
        )
    return Choice(found, whole=True)


def check_training(_selection: str, _cities: list[str]) -> None:
    """Does nothing: no test of this project uses Cityscapes."""


def read(root: pathlib.Path, item: str, _footage: Footage | None = None) -> list[Sequence]:
    """Reads the clips of a city, each as two sequences of every second frame, without those on which the car stands still.

    A clip ends where a frame number is missing. Warns if the speeds are not at hand; then no frame is left out.

    Args:
      root: the data root.
      item: split and city, such as train/aachen.

    Returns:
      Two sequences a clip, named <city>_<recording>_<first frame of the clip>_0 and _1; where the car stands, a sequence
      may be left without frames.

    Raises:
      UserError: the city's frames, or a recording's camera file or a frame's vehicle file are missing or damaged.
    """
    split, city = item.split("/")
    folder = _folder(root, _FRAMES, split, city)
    recordings = _by_recording(frame_files(folder), city, "leftImg8bit")
    if not recordings:
        ignored = ignored_files(folder, f"{city}_000000_000000_leftImg8bit.png")
        raise UserError(f"city {city} has no frames, looked in {folder}{ignored}: {HOW_TO_GET}")
    camera_files = _folder(root, _CAMERAS, split, city).glob("*.json")
    cameras = _by_recording({path.stem: path for path in camera_files}, city, "camera")
    knows_speeds = (root / FOLDER / _VEHICLES).is_dir()
    if not knows_speeds:
        warnings.warn(
            f"{root / FOLDER / _VEHICLES} does not exist: frames on which the car stands still, of which nothing can be "
            "learnt, are not left out; get the package vehicle_sequence from https://www.cityscapes-dataset.com/downloads",
            stacklevel=2,
        )
    sequences = []
    for recording, frames in recordings.items():
        if recording not in cameras:
            raise UserError(
                f"recording {city}_{recording:06d} has no camera file, looked for "
                f"{_folder(root, _CAMERAS, split, city)}/{city}_{recording:06d}_*_camera.json: {HOW_TO_GET}"
            )
        for clip in _split_at_gaps(list(frames)):
            size = frame_size(frames[number] for number in clip)
            intrinsics = _read_intrinsics(_nearest(cameras[recording], clip), size)
            for phase in range(_STEP):
                kept = clip[phase::_STEP]
                if knows_speeds:
                    kept = _moving(kept, [_read_speed(root, split, city, recording, number) for number in kept])
                sequence = Sequence(
                    name=f"{city}_{recording:06d}_{clip[0]:06d}_{phase}",
                    frames=tuple(frames[number] for number in kept),
                    numbers=tuple(kept),
                    intrinsics=intrinsics,
                    image_size=size,
                    kept_rows=_KEPT_ROWS,
                    step=_STEP,
                )
                sequences.append(sequence)
    return sequences


def _folder(root: pathlib.Path, package: str, split: str, city: str) -> pathlib.Path:
    return root / FOLDER / package / split / city


def _by_recording(files: dict[str, pathlib.Path], city: str, kind: str) -> dict[int, dict[int, pathlib.Path]]:
    """Recording -> frame number -> file, both rising, of files by name without suffix; other names are left out."""
    pattern = re.compile(rf"{re.escape(city)}_(\d+)_(\d+)_{kind}")
    matches = [(pattern.fullmatch(name), path) for name, path in files.items()]
    found: dict[int, dict[int, pathlib.Path]] = {}
    for recording, number, path in sorted((int(match[1]), int(match[2]), path) for match, path in matches if match):
        found.setdefault(recording, {})[number] = path
    return found


def _split_at_gaps(numbers: list[int]) -> list[list[int]]:
    """Runs of consecutive numbers."""
    starts = [index for index, number in enumerate(numbers) if index == 0 or number != numbers[index - 1] + 1]
    return [numbers[start:end] for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True)]


def _moving(numbers: list[int], speeds: list[float]) -> list[int]:
    """The frame numbers at which the car has moved far enough since the last of them."""
    kept, total = [], 0.0
    for number, speed in zip(numbers, speeds, strict=True):
        total += speed
        if math.sqrt(_SPEED_COMPONENTS) * abs(total) > _SPEED_THRESHOLD:
            kept.append(number)
            total = 0.0
    return kept


def _nearest(files: dict[int, pathlib.Path], clip: list[int]) -> pathlib.Path:
    """The file of a recording whose frame number is nearest to the clip's middle; of two the earlier."""
    middle = (clip[0] + clip[-1]) / 2
    return files[min(files, key=lambda number: abs(number - middle))]


def _read_intrinsics(path: pathlib.Path, size: tuple[int, int]) -> np.ndarray:
    """K of a camera file, float64 [3, 3] in pixels of stored frames of (height, width)."""
    camera = _read_json(path)
    fx, fy, u0, v0 = (_number(camera, path, "intrinsic", key) for key in ("fx", "fy", "u0", "v0"))
    intrinsics = np.array([[fx, 0.0, u0], [0.0, fy, v0], [0.0, 0.0, 1.0]])
    calibrated = _OFFICIAL_SIZE if _OFFICIAL_FOCAL[0] < fx < _OFFICIAL_FOCAL[1] else None
    return intrinsics_of_stored(intrinsics, calibrated, size, path, "intrinsic")


def _read_speed(root: pathlib.Path, split: str, city: str, recording: int, number: int) -> float:
    """The car's speed at a frame in m/s."""
    path = _folder(root, _VEHICLES, split, city) / f"{city}_{recording:06d}_{number:06d}_vehicle.json"
    return _number(_read_json(path), path, "speed")


def _read_json(path: pathlib.Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist, expected one for each frame: {HOW_TO_GET}") from error
    except (OSError, ValueError) as error:  # ValueError: neither text nor JSON
        raise UserError(f"{path} cannot be read as JSON ({error}): unpack or download it again") from error


def _number(content: object, path: pathlib.Path, *keys: str) -> float:
    """The finite number that JSON has under nested keys."""
    value = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        found = "nothing" if value is None else repr(value)
        raise UserError(f"{path} has {found} as {'.'.join(keys)}, expected a number: use the official file of this frame")
    return float(value)
