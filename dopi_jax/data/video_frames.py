"""Unpacks a video into a folder of JPEG frames, once.

The folder lies in ~/.cache/dopi_jax/frames, or in $DOPI_CACHE/frames, and is named after the video, its place, size and
time of change: a changed video is unpacked anew. Frames are stored upright and with square pixels.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from dopi_jax import opencv as cv2
from dopi_jax.errors import UserError

LONGEST_SIDE = 1280  # pixels of the stored frames
JPEG_QUALITY = 95

_DESCRIPTION = "video.json"


@dataclasses.dataclass(frozen=True)
class UnpackedVideo:
    """A folder of frames that were unpacked from a video.

    Attributes:
      folder: holds 000000.jpg and so on.
      recorded_size: (height, width) of the upright video in pixels; the frames may be smaller.
      frame_rate: frames a second; 0 if the file does not tell.
    """

    folder: pathlib.Path
    recorded_size: tuple[int, int]
    frame_rate: float


def unpack(video: pathlib.Path) -> UnpackedVideo:
    """Returns the frames of a video, which are unpacked if they are not at hand.

    Warns if the video ends before the length that it announces.

    Args:
      video: a file that FFmpeg reads.

    Raises:
      UserError: the file is empty, or not a video with at least three frames, or the disk is full.
    """
    folder = cache_folder(video)
    if not (folder / _DESCRIPTION).is_file():
        try:
            _unpack_into(folder, video)
        except OSError as error:
            raise UserError(
                f"the frames of {video} cannot be written to {folder.parent} ({error}): make room there, or name another "
                "folder by the environment variable DOPI_CACHE"
            ) from error
    stored = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    return UnpackedVideo(folder, tuple(stored["recorded_size"]), stored["frame_rate"])


def cache_folder(video: pathlib.Path) -> pathlib.Path:
    """Returns the folder that the frames of a video are unpacked into; it need not exist.

    Raises:
      UserError: there is no such video.
    """
    video = video.expanduser().absolute()
    try:
        state = video.stat()
    except OSError as error:
        raise UserError(f"video {video} cannot be opened ({error.strerror}): check the path") from error
    key = hashlib.sha256(f"{video}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:12]
    base = pathlib.Path(os.environ.get("DOPI_CACHE") or "~/.cache/dopi_jax").expanduser()
    return base / "frames" / f"{video.stem[:60]}-{key}"


def _unpack_into(folder: pathlib.Path, video: pathlib.Path) -> None:
    """Writes into a folder of another name first, so that what has the right name is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with _opened(video) as capture:
            description = _write_frames(capture, video, partial)
        (partial / _DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp makes it readable by its owner alone
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _opened(video: pathlib.Path) -> Iterator["cv2.VideoCapture"]:
    if video.stat().st_size == 0:
        raise UserError(f"video {video} is empty: copy or download it again")
    # Named, because the other back ends take a name with digits for a series of images.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(str(video.absolute()), cv2.CAP_FFMPEG)
    cv2.utils.logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise UserError(
                f"{video} cannot be opened as a video: expected a whole .mp4, .mov, .avi, .mkv or .webm with a picture; "
                "copy it again if it was cut off (the index of an .mp4 lies at its end)"
            )
        yield capture
    finally:
        capture.release()


def _write_frames(capture: "cv2.VideoCapture", video: pathlib.Path, folder: pathlib.Path) -> dict:
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if not 0 < announced < 1e8:  # where a file does not tell, there is any number
        announced = 0
    count, recorded_size, size = 0, None, None
    with tqdm(total=announced or None, desc=f"unpacking {video.name}", unit="frame", disable=None) as progress:
        while True:
            is_there, frame = capture.read()
            if not is_there:
                break
            if size is None:  # some streams change their size later; their frames must not
                recorded_size = frame.shape[:2]
                size = _stored_size(recorded_size, capture)
            _write_jpeg(folder / f"{count:06d}.jpg", cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA))
            count += 1
            progress.update()
    if count < 3:
        raise UserError(
            f"{video} has {count} of the 3 frames that a snippet (t-1, t, t+1) takes: use a longer video, or a whole copy"
        )
    if announced and count < announced - max(2, 0.02 * announced):
        warnings.warn(
            f"{video} announces {announced} frames but ends after {count} that can be read: these are used; copy the file "
            "again if it was cut off",
            stacklevel=5,
        )
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    return {
        "video": str(video.absolute()),
        "recorded_size": recorded_size,
        "frame_rate": frame_rate if math.isfinite(frame_rate) and 0 < frame_rate <= 1000 else 0.0,
    }


def _stored_size(size: tuple[int, int], capture: "cv2.VideoCapture") -> tuple[int, int]:
    """The size of the same picture with square pixels, no larger than need be."""
    pixel_aspect = capture.get(cv2.CAP_PROP_SAR_NUM) / (capture.get(cv2.CAP_PROP_SAR_DEN) or math.inf) or 1.0
    if round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:
        pixel_aspect = 1 / pixel_aspect
    height, width = size[0], size[1] * pixel_aspect
    zoom = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * zoom)), max(1, round(width * zoom))


def _write_jpeg(path: pathlib.Path, frame: np.ndarray) -> None:
    # Encoded in memory, since OpenCV does not tell of a full disk.
    path.write_bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
