"""16-bit RGB PNG, the container of KITTI's flow maps, decoded and encoded with zlib and numpy alone.

Pillow, which reads every other picture here, silently keeps the upper 8 bits of each channel of such a file: flow rounded
to 4 pixels. TensorFlow's decoder is right but evaluation has no other use for TensorFlow; OpenCV is right and large. The
format itself is small. What takes time is undoing the filters: every byte is stored as its difference from a prediction
made of the bytes to its left, above, and above left, so a pixel can be restored only after these three. They all lie on the
two diagonals before the pixel's own: `_unfilter` restores one diagonal of the image at a time, which takes about 0.2 seconds
a KITTI frame.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from dopi_jax.errors import UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
_RGB = 2
_LEFT, _LAST_FILTER = 1, 4  # 0 none, 1 left, 2 above, 3 average, 4 Paeth


def decode_png16(data: bytes, name: str) -> np.ndarray:
    """Decodes a PNG of 16 bits a channel.

    Args:
      data: the contents of a PNG file, RGB, not interlaced.
      name: what to call it in messages.

    Returns:
      uint16 [height, width, 3].

    Raises:
      UserError: it is no PNG, one of another kind, or a damaged one.
    """
    if not data.startswith(_SIGNATURE):
        raise UserError(f"{name} is not a PNG file: expected a PNG with 16-bit RGB")
    try:
        chunks = list(_chunks(data))
        width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
        _check_form(form, name)
        stored = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
        rows = np.frombuffer(stored, np.uint8).reshape(height, 1 + 6 * width)
        pixels = _unfilter(rows[:, 0], rows[:, 1:].reshape(height, width, 6))
    except (struct.error, zlib.error, ValueError) as error:
        raise UserError(f"{name} is a damaged PNG file ({error}): copy or download it again") from error
    return pixels.view(">u2").astype(np.uint16)


def encode_png16(pixels: np.ndarray) -> bytes:
    """Encodes uint16 [height, width, 3] as the contents of a PNG file."""
    height, width, _ = pixels.shape
    rows = np.ascontiguousarray(pixels, ">u2").view(np.uint8).reshape(height, width, 6)
    filtered = rows.copy()
    filtered[:, 1:] -= rows[:, :-1]  # modulo 256, as the format wants it
    stored = np.concatenate([np.full((height, 1), _LEFT, np.uint8), filtered.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, _RGB, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(stored.tobytes())), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The file's chunks up to the last, each a kind and its content; ValueError if one is not as it was written."""
    position, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if checksum != zlib.crc32(kind + content):
            raise ValueError(f"wrong checksum at byte {position}")
        yield kind, content
        position += 12 + length


def _check_form(form: list[int], name: str) -> None:
    depth, colour, _, _, interlaced = form
    if (depth, colour, interlaced) != (16, _RGB, 0):
        found = f"{depth}-bit {_COLOUR_TYPES.get(colour, 'unknown')}{', interlaced' if interlaced else ''}"
        raise UserError(
            f"{name} is a PNG with {found}: expected 16-bit RGB; programs that convert pictures drop the lower bits, so use "
            "the original file"
        )


def _unfilter(filters: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Adds to every byte its prediction, modulo 256.

    Args:
      filters: uint8 [H], how each row was predicted.
      stored: uint8 [H, W, 6], the differences.

    Returns:
      uint8 [H, W, 6].
    """
    if filters.max(initial=0) > _LAST_FILTER:
        raise ValueError(f"a row has the unknown filter {filters.max()}")
    height, width, _ = stored.shape
    y, x = np.mgrid[:height, :width]
    # Pixel (y, x) lies on diagonal x + y + 2; two diagonals and one row of zeros in front stand for what is outside. Left of
    # the image all predictions are 0, so the zeros there survive the loop; what it writes right of it is never used.
    diagonals = np.zeros((height + width + 1, height + 1, 6), np.int16)
    diagonals[x + y + 2, y + 1] = stored
    rows = filters[:, None]
    for diagonal in range(2, height + width + 1):
        left, above = diagonals[diagonal - 1, 1:], diagonals[diagonal - 1, :-1]
        above_left = diagonals[diagonal - 2, :-1]
        choices = (0, left, above, (left + above) >> 1, _paeth(left, above, above_left))
        current = diagonals[diagonal, 1:]
        current += np.choose(rows, choices)
        current &= 255
    return diagonals[x + y + 2, y + 1].astype(np.uint8)


def _paeth(left: np.ndarray, above: np.ndarray, above_left: np.ndarray) -> np.ndarray:
    """Whichever of the three is nearest to left + above - above_left; the former in this order if two are."""
    to_left, to_above = np.abs(above - above_left), np.abs(left - above_left)
    to_above_left = np.abs(left + above - 2 * above_left)
    nearest_above = np.where(to_above <= to_above_left, above, above_left)
    return np.where((to_left <= to_above) & (to_left <= to_above_left), left, nearest_above)
