"""Read one frame, with Pillow, as the lineage of this method does."""

import pathlib

import numpy as np
from PIL import Image

from dopi_jax.errors import UserError

# Pillow reports a damaged file by any of these, depending on where in the file the damage is.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError)


def read_image(path: str | pathlib.Path, size: tuple[int, int] | None = None, kept_rows: float = 1.0) -> np.ndarray:
    """Reads a frame as RGB, resized on request by Pillow's antialiased bilinear filter.

    Args:
      path: an image file; grey is repeated to three channels.
      size: (height, width) in pixels to resize to; None keeps the stored size.
      kept_rows: share of the stored rows, from the top, that is used, in (0, 1]; with None as size, in whole rows.

    Returns:
      uint8 [height, width, 3] in 0..255.

    Raises:
      UserError: the file is missing, truncated or not an image.
    """
    try:
        with Image.open(path.open('rb') if hasattr(path,'open') else path) as stored:
            image = stored.convert("RGB")
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    rows = kept_rows * image.height
    if size is None:
        image = image.crop((0, 0, image.width, round(rows)))
    elif (*size, rows) != (image.height, image.width, image.height):
        # The filter looks at the first rows below the box, too: as if the whole image were resized and then cut.
        image = image.resize(size[::-1], Image.Resampling.BILINEAR, box=(0, 0, image.width, rows))
    return np.array(image)


def image_size(path: str | pathlib.Path) -> tuple[int, int]:
    """Reads the (height, width) of a frame in pixels from its header, without decoding it.

    Args:
      path: an image file.

    Raises:
      UserError: the file is missing or not an image.
    """
    try:
        with Image.open(path.open('rb') if hasattr(path,'open') else path) as stored:
            return stored.height, stored.width
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | pathlib.Path, error: Exception) -> UserError:
    if not pathlib.Path(path).exists():
        return UserError(f"image {path} does not exist: restore it, or select other frames")
    return UserError(f"image {path} cannot be read ({error}): the file is damaged; copy or download it again")


def network_input(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 images of any shape as the networks take them: float32 in [-1, 1]."""
    return pixels / np.float32(127.5) - 1
