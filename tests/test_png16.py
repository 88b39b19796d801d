import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dopi_jax.errors import UserError
from dopi_jax.png16 import decode_png16, encode_png16


def random_pixels(shape=(7, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 2**16, (*shape, 3)).astype(np.uint16)


def png(pixels, filters, depth=16, colour=2, interlaced=0):
    """Encodes pixels one byte at a time, as the PNG specification says, with the given filter for each row."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").tobytes()
    stride, stored = 6 * width, bytearray()
    for y in range(height):
        stored.append(filters[y])
        for i in range(stride):
            left = rows[y * stride + i - 6] if i >= 6 else 0
            above = rows[(y - 1) * stride + i] if y else 0
            corner = rows[(y - 1) * stride + i - 6] if y and i >= 6 else 0
            estimate = left + above - corner
            paeth = min((left, above, corner), key=lambda neighbour: abs(estimate - neighbour))
            prediction = (0, left, above, (left + above) // 2, paeth)[filters[y]]
            stored.append((rows[y * stride + i] - prediction) % 256)
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    compressed = zlib.compress(bytes(stored))
    half = len(compressed) // 2
    for kind, content in (
        (b"IHDR", header), (b"tIME", b"1234567"), (b"IDAT", compressed[:half]), (b"IDAT", compressed[half:]), (b"IEND", b"")
    ):  # fmt: skip
        data += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data


@pytest.mark.parametrize("filters", [*([kind] * 7 for kind in range(5)), [4, 3, 2, 1, 0, 4, 3], [3, 4, 1, 4, 2, 3, 0]])
def test_every_filter_is_undone(filters):
    pixels = random_pixels()
    np.testing.assert_array_equal(decode_png16(png(pixels, filters), "map"), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (40, 30)])
def test_round_trip(shape):
    pixels = random_pixels(shape)
    decoded = decode_png16(encode_png16(pixels), "map")
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)


def test_other_programs_read_what_is_written(tmp_path):
    pixels = random_pixels((20, 30))
    (tmp_path / "map.png").write_bytes(encode_png16(pixels))
    with Image.open(tmp_path / "map.png") as upper_bits:  # Pillow checks the file but keeps the upper bits only
        np.testing.assert_array_equal(np.asarray(upper_bits), pixels >> 8)


def test_tensorflow_agrees():
    tf = pytest.importorskip("tensorflow")
    smooth = np.cumsum(np.cumsum(random_pixels((40, 30)), 0), 1).astype(np.uint16)
    for pixels in (random_pixels((40, 30)), smooth):
        decoded = tf.io.decode_png(encode_png16(pixels), dtype=tf.uint16).numpy()
        np.testing.assert_array_equal(decoded, pixels)
        np.testing.assert_array_equal(decode_png16(tf.io.encode_png(pixels).numpy(), "map"), pixels)


def test_tensorflow_agrees_on_a_kitti_map(shared):
    tf = pytest.importorskip("tensorflow")
    data = (shared / "data/kitti_flow_2015/training/flow_occ/000010_10.png").read_bytes()
    np.testing.assert_array_equal(decode_png16(data, "map"), tf.io.decode_png(data, dtype=tf.uint16).numpy())


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"depth": 8}, "8-bit RGB"),
        ({"colour": 0}, "16-bit grey"),
        ({"colour": 6}, "16-bit RGB and alpha"),
        ({"interlaced": 1}, "16-bit RGB, interlaced"),
    ],
)
def test_other_kinds_of_png_are_told(form, found):
    with pytest.raises(UserError, match=f"^flow map x is a PNG with {found}: expected 16-bit RGB"):
        decode_png16(png(random_pixels(), [0] * 7, **form), "flow map x")


def test_what_is_no_png_is_told():
    with pytest.raises(UserError, match="^flow map x is not a PNG file"):
        decode_png16(b"PIEH", "flow map x")


def test_damage_is_told():
    whole = png(random_pixels((12, 10)), [4] * 12)
    for length in range(8, len(whole), 7):
        with pytest.raises(UserError, match="^flow map x is a damaged PNG file"):
            decode_png16(whole[:length], "flow map x")
    changed = bytearray(whole)
    changed[-40] ^= 1
    with pytest.raises(UserError, match="damaged PNG file .wrong checksum"):
        decode_png16(bytes(changed), "flow map x")
    with pytest.raises(UserError, match="unknown filter 5"):
        decode_png16(with_filter_5(random_pixels()), "flow map x")


def with_filter_5(pixels):
    stored = b"".join(b"\x05" + row.astype(">u2").tobytes() for row in pixels)
    content = zlib.compress(stored)
    data = png(pixels, [0] * len(pixels))
    start = data.index(b"IDAT") - 4
    idat = struct.pack(">I", len(content)) + b"IDAT" + content + struct.pack(">I", zlib.crc32(b"IDAT" + content))
    return data[:start] + idat + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
