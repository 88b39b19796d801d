"""The inputs of `predict`: an image, a folder of images, a video, a sequence of KITTI; frames and camera of each."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dopi_jax.data.footage import Footage, find_calibration
from dopi_jax.data.images import image_size, read_image
from dopi_jax.data.recording import Calibration
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.data.snippets import Frame, Sequence
from dopi_jax.data.sources import images, kitti_odometry, kitti_raw, video
from dopi_jax.data.video_frames import unpack
from dopi_jax.errors import UserError


class Input(NamedTuple):
    """Frames of one camera, in the order of time.

    Attributes:
      name: For people.
      frames: Image files, or what opens like one.
      names: Of the files that are made of each frame, without suffix.
      calibration: The camera, in pixels of the frames as they are read.
      size: (height, width) of the frames in pixels.
      times: In seconds, of each frame; empty if not known.
      numbers: Of the frames in their data set; empty for one's own footage.
    """

    name: str
    frames: tuple[Frame, ...]
    names: tuple[str, ...]
    calibration: Calibration
    size: tuple[int, int]
    times: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def frame_rate(self) -> float:
        """Frames a second; 0 if not known."""
        return 1 / (self.times[1] - self.times[0]) if len(self.times) > 1 else 0.0

    def read(self) -> Iterator[np.ndarray]:
        """Yields the frames, uint8 [H, W, 3].

        Raises:
          UserError: One cannot be read, or has another size.
        """
        return (read_image(frame, stored_size=self.size) for frame in self.frames)


def open_input(what: str, source: str, footage: Footage) -> Input:
    """Returns the frames that a user points at.

    Args:
      what: An image, a folder of images, a video, the folder of a KITTI drive or sequence in its data set, or a selection
        such as "kitti_odometry:03[:100]".
      source: Data root, for a selection.
      footage: What is known of the camera of one's own footage.

    Raises:
      UserError: It is none of these, cannot be read, or the camera is wrong.
    """
    path = pathlib.Path(what).expanduser()
    if not path.exists():
        if ":" in what:
            roots = find_data_roots(source, "--source")
            return _of_sequence(select_sequences(roots, what)[0], *roots)
        raise UserError(f"{what} does not exist: give an image, a folder of images, a video, or a selection")
    if path.is_dir():
        return _of_kitti(path) or _of_folder(path, footage)
    if path.suffix.lower() in images.SUFFIXES:
        size = image_size(path)
        return Input(path.name, (path,), (path.stem,), find_calibration(footage, size, beside=path.parent, frame=path), size)
    if path.suffix.lower() in video.SUFFIXES:
        return _of_video(path, footage)
    known = ", ".join((*images.SUFFIXES, *video.SUFFIXES))
    raise UserError(f"{what} is no image and no video by its name: expected one of {known}, or a folder of images")


def _of_folder(folder: pathlib.Path, footage: Footage) -> Input:
    frames = images.list_frames(folder)
    if not frames:
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and images.list_frames(path)]
        hint = f", but {inside[0]} has: name it" if inside else f" ({', '.join(images.SUFFIXES)})"
        raise UserError(f"the folder {folder} has no images{hint}")
    size = image_size(frames[0])
    calibration = find_calibration(footage, size, beside=folder, frame=frames[0])
    return Input(folder.resolve().name, frames, tuple(frame.stem for frame in frames), calibration, size)


def _of_video(path: pathlib.Path, footage: Footage) -> Input:
    unpacked = unpack(path)
    frames = images.list_frames(unpacked.folder)
    size = image_size(frames[0])
    calibration = find_calibration(footage, size, beside=path.parent, recorded_size=unpacked.recorded_size)
    rate = unpacked.frame_rate
    times = tuple(index / rate for index in range(len(frames))) if rate else ()
    return Input(path.name, frames, tuple(frame.stem for frame in frames), calibration, size, times)


def _of_kitti(folder: pathlib.Path) -> Input | None:
    """The first colour camera of a drive or sequence, where the folder is one."""
    folder = folder.resolve()
    above = [parent.name for parent in folder.parents]
    if above[:2] == ["sequences", kitti_odometry.FOLDER]:
        sequence = kitti_odometry.read(folder.parents[2], folder.name)[0]
        origin = kitti_odometry.FOLDER, folder.name
        return _of_sequence(dataclasses.replace(sequence, origin=origin), folder.parents[2])
    if above[1:2] == [kitti_raw.FOLDER] and folder.name.endswith("_sync"):
        drive = folder.name.removesuffix("_sync")
        sequence = kitti_raw.read(folder.parents[2], drive)[0]
        return _of_sequence(dataclasses.replace(sequence, origin=(kitti_raw.FOLDER, drive)), folder.parents[2])
    return None


def _of_sequence(sequence: Sequence, *roots: pathlib.Path) -> Input:
    dataset, item = sequence.origin
    read_times = {kitti_odometry.FOLDER: kitti_odometry.read_times, kitti_raw.FOLDER: kitti_raw.read_times}.get(dataset)
    times = read_times(item, *roots) if read_times else None
    known = times is not None and len(times) > max(sequence.numbers)
    return Input(
        sequence.name,
        sequence.frames,
        tuple(f"{number:010d}" for number in sequence.numbers),
        Calibration(sequence.intrinsics, "from the data set"),
        sequence.image_size,
        tuple(times[list(sequence.numbers)].tolist()) if known else (),
        sequence.numbers,
    )
