"""Cityscapes video: snippets of 30 frames of two training cities and one that validates.

<folder>/leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png          (frames 0 to 29)
<folder>/camera/train/aachen/aachen_000000_000019_camera.json                            (of one frame in 30, as there)
<folder>/vehicle_sequence/train/aachen/aachen_000000_000000_vehicle.json                 (speed and yaw rate alone)

The street has no bonnet: the image goes on down to its last row, and readers leave out what they leave out of the real one.
"""

import json
import pathlib

import numpy as np
from PIL import Image
from tqdm import tqdm

from dopi_jax.errors import UserError
from dopi_jax.synthetic.layouts import rig
from dopi_jax.synthetic.layouts.streets import make_street, write_frames
from dopi_jax.synthetic.street import CAMERA_HEIGHT, Street

TRAINING_CITIES = ("aachen", "bochum")
VALIDATION_CITY = "lindau"
FRAME_RATE = 17.0  # Hz

_SNIPPET = 30  # frames
_ANNOTATED = 19  # the frame of a snippet that has a camera file
_FEWEST = _SNIPPET * (1 + len(TRAINING_CITIES))
_SPACING = 100  # from the first frame of a snippet to that of the next one in the same recording
_BASELINE = 0.209313  # metres, to the right camera, whose images are not written
_CAMERA_AHEAD_OF_AXLE = 1.7  # metres


def streets(frames: int, seed: int, size: tuple[int, int]) -> dict[str, Street]:
    """Returns the street of each snippet, named train/aachen_000000_000000 and so on: a quarter of them validates.

    In aachen and lindau each snippet is a recording of its own; in bochum all are of one recording, with gaps between
    them. The real data set has cities of both kinds.

    Args:
      frames: how many all snippets have together.
      seed: each gives other streets.
      size: (height, width) of the images in pixels.

    Raises:
      UserError: there are too few frames for a snippet in each city, or the last snippet is not whole.
    """
    if frames < _FEWEST or frames % _SNIPPET:
        raise UserError(
            f"--frames is {frames}: expected a multiple of {_SNIPPET} for cityscapes, at least {_FEWEST}, a snippet of "
            f"{_SNIPPET} for each of its {1 + len(TRAINING_CITIES)} cities"
        )
    snippets = frames // _SNIPPET
    validating = max(1, snippets // 4)
    in_bochum = (snippets - validating) // 2
    in_aachen = snippets - validating - in_bochum
    names = [f"train/aachen_{number:06d}_000000" for number in range(in_aachen)]
    names += [f"train/bochum_000000_{number * _SPACING:06d}" for number in range(in_bochum)]
    names += [f"val/lindau_{number:06d}_000000" for number in range(validating)]
    return {name: make_street(f"cityscapes {name}", _SNIPPET, seed, size) for name in names}


def write(folder: pathlib.Path, streets: dict[str, Street]) -> None:
    """Writes snippets, from `streets`, into a folder that is there."""
    with tqdm(total=sum(street.frames for street in streets.values()), unit="frame") as progress:
        for name, street in streets.items():
            _write_snippet(folder, name, street, progress)


def _write_snippet(folder: pathlib.Path, name: str, street: Street, progress: tqdm) -> None:
    split, _, snippet = name.partition("/")
    city, recording, first = snippet.split("_")

    def file(package: str, number: int, kind: str) -> pathlib.Path:
        return folder / package / split / city / f"{city}_{recording}_{int(first) + number:06d}_{kind}"

    for package in ("leftImg8bit_sequence", "camera", "vehicle_sequence"):
        (folder / package / split / city).mkdir(parents=True, exist_ok=True)
    _write_json(file("camera", _ANNOTATED, "camera.json"), _camera(street))
    motions = _motions(street.poses)

    def write_frame(number: int) -> None:
        image = Image.fromarray(street.frame(number).image)
        image.save(file("leftImg8bit_sequence", number, "leftImg8bit.png"))
        _write_json(file("vehicle_sequence", number, "vehicle.json"), motions[number])

    write_frames(write_frame, street.frames, progress)


def _camera(street: Street) -> dict[str, dict[str, float]]:
    """Where the camera sits on the car (metres from the ground below the rear axle, radians), and its K in pixels."""
    return {
        "extrinsic": {
            "baseline": _BASELINE,
            "pitch": 0.0,
            "roll": 0.0,
            "x": _CAMERA_AHEAD_OF_AXLE,
            "y": 0.0,
            "yaw": 0.0,
            "z": CAMERA_HEIGHT,
        },
        "intrinsic": {
            "fx": float(street.K[0, 0]),
            "fy": float(street.K[1, 1]),
            "u0": float(street.K[0, 2]),
            "v0": float(street.K[1, 2]),
        },
    }


def _motions(world_from_camera: np.ndarray) -> list[dict[str, float]]:
    """Speed (m/s) and yaw rate (rad/s, to the left) at each of the camera poses [N, 4, 4]."""
    velocity = np.gradient(world_from_camera[:, :3, 3], 1 / FRAME_RATE, axis=0)
    ahead = world_from_camera[:, :3, 2]
    heading = np.arctan2(ahead[:, 0], ahead[:, 2])  # to the right
    turning = np.gradient(np.unwrap(heading), 1 / FRAME_RATE)
    speeds = np.linalg.norm(velocity, axis=-1).tolist()
    return [{"speed": speed, "yawRate": -rate} for speed, rate in zip(speeds, turning.tolist(), strict=True)]


def _write_json(path: pathlib.Path, content: dict) -> None:
    rig.write_lines(path, [json.dumps(content, indent=4, sort_keys=True)])
