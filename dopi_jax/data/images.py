"""Reading frames with Pillow, as the published code does."""

import contextlib
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import IO, Protocol

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from dopi_jax.errors import UserError

# Pillow reports a damaged file by any of these, depending on where in the file the damage is.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)

# How to turn a picture upright, by the orientation that its EXIF data says.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


class Openable(Protocol):
    """Anything that opens like a `pathlib.Path`; `str()` gives its name for messages."""

    def open(self, mode: str) -> IO[bytes]:
        """Opens it; mode is "rb"."""


Source = str | os.PathLike | Openable


def read_image(
    source: Source,
    size: tuple[int, int] | None = None,
    kept_rows: float = 1.0,
    stored_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Reads a frame as RGB, upright, resized on request by Pillow's antialiased bilinear filter.

    Args:
      source: an image file. Grey is repeated to three channels, 16 bits are rounded to 8, transparency is left out, and
        the frame is turned as its EXIF data says.
      size: (height, width) in pixels to resize to; None keeps the stored size.
      kept_rows: share of the stored rows, from the top, that is used, in (0, 1]; with None as size, in whole rows.
      stored_size: (height, width) in pixels that the frame is to have as it is stored; None takes any.

    Returns:
      uint8 [height, width, 3] in 0..255.

    Raises:
      UserError: the file is missing, truncated, not an image or too large a one, or holds several, or has another size.
    """
    with _opened(source) as stored:
        orientation = _orientation(stored)
        if stored_size is not None:
            _compare_sizes(source, _upright_size(stored, orientation), stored_size)
        image = _as_rgb(stored, source)
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        rows = kept_rows * image.height
        if size is None:
            image = image.crop((0, 0, image.width, round(rows)))
        elif (*size, rows) != (image.height, image.width, image.height):
            # The filter looks at the first rows below the box, too: as if the whole image were resized and then cut.
            image = image.resize(size[::-1], Image.Resampling.BILINEAR, box=(0, 0, image.width, rows))
        return np.asarray(image)


def image_size(source: Source) -> tuple[int, int]:
    """Reads the (height, width) in pixels of a frame as `read_image` returns it, from the header, without decoding it.

    Args:
      source: an image file.

    Raises:
      UserError: the file is missing, not an image or too large a one, or holds several.
    """
    with _opened(source) as stored:
        return _upright_size(stored, _orientation(stored))


def require_size(source: Source, size: tuple[int, int]) -> None:
    """Refuses a frame of another size than the rest of its sequence, which has one camera for all frames.

    Args:
      source: an image file.
      size: (height, width) in pixels that it is to have as it is stored.

    Raises:
      UserError: it has another, or cannot be read.
    """
    _compare_sizes(source, image_size(source), size)


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """Opens an image and reads its header; an error there or inside the context becomes a `UserError`."""
    opener = pathlib.Path(source) if isinstance(source, str | os.PathLike) else source
    try:
        with opener.open("rb") as file, Image.open(file) as stored:
            # A photograph with a smaller copy or depth beside it (MPO) shows the same scene in all of its pictures.
            if getattr(stored, "is_animated", False) and stored.format != "MPO":
                raise UserError(
                    f"image {source} holds {stored.n_frames} pictures, expected one: save each as a file of its own, or "
                    "give the recording as a video"
                )
            yield stored
    except FileNotFoundError as error:
        raise UserError(f"image {source} does not exist: restore it, or select other frames") from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"image {source} has more than {2 * Image.MAX_IMAGE_PIXELS} pixels, more than a frame of a camera has: "
            "make it smaller"
        ) from error
    except _DAMAGED as error:
        known = not isinstance(error, UnidentifiedImageError)
        reason = error if known else "not a picture of a known format"
        raise UserError(
            f"image {source} cannot be read ({reason}): the file is damaged; copy or download it again"
        ) from error


def _compare_sizes(source: Source, found: tuple[int, int], expected: tuple[int, int]) -> None:
    if found != expected:
        raise UserError(
            f"image {source} has {found[1]}x{found[0]} pixels (width x height), expected {expected[1]}x{expected[0]} as the "
            "other frames of its sequence: keep frames of different sizes in different sequences"
        )


def _upright_size(stored: Image.Image, orientation: int) -> tuple[int, int]:
    return (stored.width, stored.height) if orientation in _ON_ITS_SIDE else (stored.height, stored.width)


def _as_rgb(stored: Image.Image, source: Source) -> Image.Image:
    if stored.mode.startswith("I;16"):  # Pillow would clip at 255
        return Image.fromarray(np.rint(np.asarray(stored) / 257).astype(np.uint8)).convert("RGB")
    if stored.mode in ("I", "F"):
        raise UserError(
            f"image {source} has one number of 32 bits a pixel, expected grey or colour of 8 or 16 bits: convert it"
        )
    if stored.mode == "P":  # of whose transparent colours Pillow warns on the direct way
        return stored.convert("RGBA").convert("RGB")
    return stored if stored.mode == "RGB" else stored.convert("RGB")


def _orientation(stored: Image.Image) -> int:
    """1 for upright, else a key of `_UPRIGHT` if it is known; EXIF data that cannot be read says nothing."""
    if "exif" not in stored.info:
        return 1
    exif = Image.Exif()
    with contextlib.suppress(*_DAMAGED):
        exif.load(stored.info["exif"])
        return exif.get(ExifTags.Base.Orientation, 1)
    return 1


def snippet_input(frames: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns snippets of a video as the networks take them.

    Args:
      frames: uint8 [N, H, W, 3], in the order of time.
      targets: places [M] of the targets; at both ends the frame itself stands for the one that is missing.

    Returns:
      Targets [M, H, W, 3] and sources [M, 2, H, W, 3] (t-1, t+1), float32 in [-1, 1].
    """
    around = np.clip(np.asarray(targets)[:, None] + np.array([-1, 1]), 0, len(frames) - 1)
    return network_input(frames[targets]), network_input(frames[around])


def network_input(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 images of any shape as the networks take them: float32 in [-1, 1]."""
    return pixels / np.float32(127.5) - 1
