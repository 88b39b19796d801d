"""Corners followed from frame to frame, as motion takes them."""

import importlib.util
import itertools

import jax
import numpy as np
import pytest

from dopi_jax import geometry, opencv
from dopi_jax.augment import Transform, transform_matches
from dopi_jax.data import tracking
from dopi_jax.data.order import GivenOrder
from dopi_jax.data.pipeline import TrainingInput, validation_batches
from dopi_jax.data.reader import SnippetReader, all_snippets
from dopi_jax.data.selection import select_sequences


@pytest.fixture
def drive(made):
    """Bands of the image move to the left by 6, 1, 4 and 2 pixels a frame."""
    return made.drive(6)


def whole(matches):
    return matches[np.isfinite(matches).all(-1)]


def test_corners_move_with_what_they_belong_to(drive):
    found = whole(tracking.match(drive[0], drive[1]))
    assert len(found) > 100
    band = found[:, 1] // 48
    for index, pace in enumerate((6, 1, 4, 2)):
        moved = np.median(found[band == index, 2:] - found[band == index, :2], axis=0)
        np.testing.assert_allclose(moved, [-pace, 0], atol=0.1)


def test_a_target_is_matched_with_both_neighbours(drive):
    to_previous, to_next = tracking.matches_around(tracking.match(*drive[:2]), tracking.match(*drive[1:3]))
    assert np.median(whole(to_previous)[:, 2] - whole(to_previous)[:, 0]) > 0.9
    assert np.median(whole(to_next)[:, 2] - whole(to_next)[:, 0]) < -0.9


def test_a_video_is_matched_in_pixels_of_any_size(drive):
    size = (96, 160)  # half of what the frames have
    found = tracking.match_snippets(np.stack(drive), size)
    assert found.shape == (4, 2, tracking.CORNERS, 4)
    inner = whole(found[2, 1])
    fast = inner[inner[:, 1] < 22]
    np.testing.assert_allclose(np.median(fast[:, 2] - fast[:, 0]), -3, atol=0.1)
    assert inner[:, 0].max() < 160 and inner[:, 1].max() < 96


def test_of_two_frames_the_second_is_matched_with_the_first(drive):
    ((to_previous, to_next),) = tracking.match_snippets(np.stack(drive[:2]), (192, 320))
    assert len(whole(to_previous)) > 100
    assert np.isnan(to_next).all()


def test_without_opencv_there_are_none_and_one_is_told(drive, monkeypatch):
    monkeypatch.setattr(opencv, "is_installed", lambda: False)
    with pytest.warns(UserWarning, match="OpenCV is not installed: motion is that of the networks"):
        assert tracking.match_snippets(np.stack(drive), (192, 320)) is None


@pytest.mark.parametrize("flip", [False, True])
def test_matches_go_where_the_image_goes(flip):
    """A point of a scene has the same place relative to the intrinsics before and after, but for the mirror."""
    K = np.array([[70.0, 0, 33], [0, 60, 14], [0, 0, 1]])
    transform = Transform(flip, np.float32([1.1, 1.05]), np.float32([4, 1]))
    moved = np.asarray(transform_matches(np.float32([[[40, 20, 44, 21]]]), transform, 80))
    K = np.asarray(geometry.flip_intrinsics(K, 80) if flip else K)
    K = np.asarray(geometry.crop_intrinsics(geometry.scale_intrinsics(K, 1.1, 1.05), 4.0, 1.0))
    want = [((33 - x) if flip else (x - 33)) / 70 for x in (40, 44)]
    np.testing.assert_allclose((moved[0, 0, ::2] - K[0, 2]) / K[0, 0], want, atol=1e-5)
    np.testing.assert_allclose((moved[0, 0, 1::2] - K[1, 2]) / K[1, 1], [6 / 60, 7 / 60], atol=1e-5)


@pytest.fixture
def sequences(made, drive, tmp_path):
    made.folder(tmp_path / "walk", drive)
    return select_sequences(tmp_path / "walk", "images:all")


@pytest.mark.parametrize("loader", ["tf.data", "Grain"])
def test_batches_have_matches_when_asked(sequences, loader, monkeypatch):
    if loader == "Grain":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        pytest.importorskip("tensorflow")
    size, settings = (96, 160), {"batch_size": 2, "seed": 3}
    asked = list(itertools.islice(TrainingInput(sequences, size=size, matches=True, **settings).batches(), 4))
    plain = list(itertools.islice(TrainingInput(sequences, size=size, **settings).batches(), 4))
    for batch, without in zip(asked, plain, strict=True):
        matches = batch.pop("matches")
        assert matches.shape == (2, 2, tracking.CORNERS, 4) and matches.dtype == np.float32
        jax.tree.map(np.testing.assert_array_equal, batch, without)
        for frames, of_sample in zip(batch["frames"], matches, strict=True):
            want = tracking.matches_around(tracking.match(*frames[:2]), tracking.match(*frames[1:]))
            np.testing.assert_array_equal(of_sample, want)
    assert "matches" in next(validation_batches(sequences, size, 2, matches=True))


def test_resident_frames_come_with_the_same_matches(sequences):
    snippets = all_snippets(sequences)
    reader = SnippetReader(snippets, (96, 160), GivenOrder(np.arange(len(snippets))), matches=True)
    resident = reader.read_all()
    assert resident.matches.shape == (len(snippets), 2, tracking.CORNERS, 4)
    for index in range(len(snippets)):
        np.testing.assert_array_equal(reader.sample(index)["matches"], resident.matches[index])
