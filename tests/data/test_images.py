import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from dopi_jax.data.images import image_size, read_image, require_size
from dopi_jax.errors import UserError


def test_reads_rgb_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)
    assert image_size(tmp_path / "a.png") == (5, 7)


def test_grey_is_repeated(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))


COLOURS = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]


def mode_of(path):
    with Image.open(path) as stored:
        return stored.mode


def in_grey(pixels):
    return np.repeat(pixels[..., None], 3, axis=2)


def test_16_bit_grey_is_rounded_to_8(tmp_path):
    """65535 is white: 257 steps of 16 bits are one of 8. Pillow by itself makes all above 255 white."""
    pixels = np.array([[0, 128, 129, 257, 300], [32768, 65535, 65280, 65407, 12345]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert mode_of(tmp_path / "deep.png") == "I;16"
    np.testing.assert_array_equal(
        read_image(tmp_path / "deep.png"), in_grey(np.array([[0, 0, 1, 1, 1], [128, 255, 254, 255, 48]]))
    )


@pytest.mark.filterwarnings("error")
def test_palettes_give_their_colours(tmp_path):
    colours = np.array([[9, 8, 7], [250, 0, 0], [3, 200, 4]], np.uint8)
    indices = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png")
    image.save(tmp_path / "transparent.png", transparency=bytes([255, 0, 128]))
    image.save(tmp_path / "one.png", transparency=1)
    for name in ("palette", "transparent", "one"):
        assert mode_of(tmp_path / f"{name}.png") == "P"
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png"), colours[indices])


def test_transparency_is_left_out(tmp_path):
    alpha = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    Image.fromarray(np.concatenate([COLOURS, alpha], axis=2)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([GREY[..., None], alpha], axis=2)).save(tmp_path / "la.png")
    assert [mode_of(tmp_path / f"{name}.png") for name in ("rgba", "la")] == ["RGBA", "LA"]
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), COLOURS)
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), in_grey(GREY))


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "bits.png")
    assert mode_of(tmp_path / "bits.png") == "1"
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), in_grey(255 * (GREY > 100)))


def test_printing_colours_come_out_as_colours(tmp_path):
    """Cyan ink leaves green and blue; no ink is white."""
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, 16:, 0] = 255
    Image.fromarray(inks, mode="CMYK").save(tmp_path / "inks.jpg", quality=95)
    pixels = read_image(tmp_path / "inks.jpg").astype(int)
    np.testing.assert_allclose(pixels[8, [4, 27]], [[255, 255, 255], [0, 255, 255]], atol=6)


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_are_turned_as_a_viewer_turns_them(tmp_path, suffix, orientation):
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(COLOURS).save(path, exif=exif_of(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, upright)
    assert image_size(path) == pixels.shape[:2] == ((5, 7) if orientation < 5 else (7, 5))
    assert read_image(path, (6, 4)).shape == (6, 4, 3)


def test_the_top_of_a_photograph_taken_upright_is_where_the_sky_is(tmp_path):
    """Orientation 6: the camera was turned, and row 0 is at the visual right."""
    lying = np.zeros((16, 32, 3), np.uint8)
    lying[:, :16] = 255
    Image.fromarray(lying).save(tmp_path / "photo.jpg", exif=exif_of(6), quality=95)
    photo = read_image(tmp_path / "photo.jpg")
    assert photo.shape == (32, 16, 3) and photo[:15].min() > 240 and photo[17:].max() < 15


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_data_that_cannot_be_read_turns_nothing(tmp_path):
    for name, exif in (("junk", b"Exif\0\0junk"), ("nine", exif_of(9).tobytes()), ("short", b"Exif\0\0MM\0*\0\0\0\10\0")):
        Image.fromarray(COLOURS).save(tmp_path / f"{name}.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png"), COLOURS)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_of_32_bits_are_refused(tmp_path, mode):
    Image.fromarray(GREY).convert(mode).save(tmp_path / "deep.tif")
    with pytest.raises(
        UserError, match=r"image .*deep\.tif has one number of 32 bits a pixel, expected grey or colour of 8"
    ):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp"])
def test_animations_are_refused(tmp_path, suffix):
    path = tmp_path / f"moving{suffix}"
    first, second = (Image.fromarray(pixels) for pixels in (COLOURS, 255 - COLOURS))
    first.save(path, save_all=True, append_images=[second])
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=rf"image .*moving\{suffix} holds 2 pictures, expected one: save each as a file"):
            read(path)


def test_the_first_picture_of_a_photograph_with_a_preview_counts(tmp_path):
    """Many phones write JPEG files with a second, smaller picture behind the first."""
    path = tmp_path / "phone.jpg"
    scene = Image.new("RGB", (32, 16), (200, 100, 50))
    scene.save(path, format="MPO", save_all=True, append_images=[scene.resize((8, 4))])
    assert Image.open(path).format == "MPO"
    assert image_size(path) == (16, 32)
    np.testing.assert_allclose(read_image(path)[3, 3].astype(int), [200, 100, 50], atol=3)


def test_a_picture_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    Image.fromarray(COLOURS).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 17)
    for read in (read_image, image_size):
        with pytest.raises(
            UserError, match=r"image .*large\.png has more than 34 pixels, more than a frame of a camera has"
        ):
            read(tmp_path / "large.png")


class InMemory:
    """A frame of a prepared set, as far as reading it goes."""

    def open(self, mode):
        assert mode == "rb"
        buffer = io.BytesIO()
        Image.fromarray(COLOURS).save(buffer, "PNG")
        return io.BytesIO(buffer.getvalue())

    def __str__(self):
        return "frame 7 of set"


def test_anything_that_opens_is_read(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    for source in (InMemory(), tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(read_image(source), COLOURS)
        assert image_size(source) == (5, 7)
    with pytest.raises(UserError, match="image frame 7 of set has 7x5 pixels .*, expected 8x5 as the other frames"):
        require_size(InMemory(), (5, 8))
    require_size(InMemory(), (5, 7))
    with pytest.raises(UserError, match=r"has 7x5 pixels \(width x height\), expected 8x5"):
        read_image(InMemory(), (2, 2), 1.0, (5, 8))
    np.testing.assert_array_equal(read_image(InMemory(), None, 1.0, (5, 7)), COLOURS)


def test_shrinking_averages_all_pixels(tmp_path):
    """Antialiased: single bright columns survive halving as a mean, where plain bilinear sampling would alias."""
    stripes = np.zeros((8, 64, 3), np.uint8)
    stripes[:, ::4] = 200
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    small = read_image(tmp_path / "stripes.png", (2, 8))
    assert small.shape == (2, 8, 3) and small.dtype == np.uint8
    np.testing.assert_allclose(small[:, 1:-1], 50, atol=2)


def test_real_frame_equals_pillow(shared):
    path = shared / "data/kitti_odometry/sequences/03/image_0/000000.jpg"
    assert image_size(path) == (375, 1242)
    expected = np.array(Image.open(path).convert("RGB").resize((832, 256), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(read_image(path, (256, 832)), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_truncated_file_is_named(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(UserError, match=f"cut{suffix} cannot be read"):
        read_image(cut)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "page.png").write_text("<html>not found</html>")
    for read in (read_image, image_size):
        with pytest.raises(
            UserError, match=r"image .*page\.png cannot be read \(not a picture of a known format\): the file is"
        ):
            read(tmp_path / "page.png")
    with pytest.raises(UserError, match=r"cannot be read \(.*Is a directory"):
        read_image(tmp_path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.png does not exist"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(UserError, match="gone.png does not exist"):
        image_size(tmp_path / "gone.png")
