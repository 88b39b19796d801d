"""Frames of a prepared set, one by one."""

import numpy as np
import pytest
from PIL import Image

from dopi_jax import opencv
from dopi_jax.data.images import read_image
from dopi_jax.data.prepare import Encoding, prepare_set
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources import prepared
from dopi_jax.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    """Five smooth pictures with a little noise, 24 x 48."""
    rng = np.random.default_rng(0)
    for number in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (3, 6, 3), np.uint8)).resize((48, 24), Image.Resampling.BICUBIC)
        coarse.save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(5)]


def prepare(pictures, out, encoding):
    sequence = Sequence("drawn", tuple(pictures), tuple(range(5)), np.eye(3), (24, 48), origin=("images", "drawn"))
    prepare_set([sequence], (24, 48), out, encoding, ["images:drawn"])
    (packed,) = prepared.read(out, "images", "drawn")
    return packed.frames


@pytest.mark.parametrize(("encoding", "off_by"), [(Encoding("png"), 1e-9), (Encoding("jpeg", 92), 10)])
def test_frames_are_as_good_as_their_encoding(pictures, tmp_path, encoding, off_by):
    for frame, picture in zip(prepare(pictures, tmp_path / "set", encoding), pictures, strict=True):
        assert np.abs(read_image(frame).astype(int) - read_image(picture)).mean() < off_by


@pytest.mark.parametrize("encoding", [Encoding("png"), Encoding("jpeg", 92), Encoding("jpeg", 60)])
def test_decoding_gives_what_reading_the_image_gives(pictures, tmp_path, monkeypatch, encoding):
    frames = prepare(pictures, tmp_path / "set", encoding)
    for frame in frames:
        np.testing.assert_array_equal(frame.decode(), read_image(frame))
    pixels = frames[0].decode()
    monkeypatch.setattr(opencv, "is_installed", lambda: False)
    monkeypatch.setattr(opencv, "imdecode", None, raising=False)
    np.testing.assert_array_equal(frames[0].decode(), pixels)


def test_a_damaged_record_is_told_and_costs_no_other(pictures, tmp_path):
    frames = prepare(pictures, tmp_path / "set", Encoding("png"))
    encoded = frames[2].open().read()
    (file,) = (tmp_path / "set").rglob("*.array_record*")
    prepared._records.cache_clear()
    stored = file.read_bytes()
    assert stored.count(encoded) == 1
    file.write_bytes(stored.replace(encoded, encoded[:100] + bytes(20) + encoded[120:]))
    told = r"frame 2 of the prepared set .*set cannot be read \(.*\): the set is damaged; copy it again, or prepare it again"
    with pytest.raises(UserError, match=told):
        read_image(frames[2])
    np.testing.assert_array_equal(read_image(frames[1]), read_image(pictures[1]))
