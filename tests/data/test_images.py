import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.images import image_size, read_image
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


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.png does not exist"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(UserError, match="gone.png does not exist"):
        image_size(tmp_path / "gone.png")
