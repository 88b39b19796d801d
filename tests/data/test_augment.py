import numpy as np
import pytest
import tensorflow as tf

from dopi_jax.data.augment import augment, flip_horizontally, scale_and_crop

INTRINSICS = np.array([[70.0, 0, 33], [0, 60, 14], [0, 0, 1]], np.float32)
SIZE = (32, 80)


def position_image():
    """Three copies of an image whose colour is its pixel's (x, y, 1)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    return np.repeat(np.stack([x, y, np.ones_like(x)], axis=-1)[None], 3, axis=0)


def test_flip_by_hand():
    images, intrinsics = flip_horizontally(tf.constant([[[[1.0] * 3, [2.0] * 3, [5.0] * 3]]]), tf.constant(INTRINSICS))
    np.testing.assert_array_equal(images[0, 0, :, 0], [5, 2, 1])
    np.testing.assert_array_equal(intrinsics, [[70, 0, 2 - 33], [0, 60, 14], [0, 0, 1]])


def test_flipping_twice_changes_nothing():
    images, intrinsics = flip_horizontally(*flip_horizontally(position_image(), tf.constant(INTRINSICS)))
    np.testing.assert_array_equal(images, position_image())
    np.testing.assert_array_equal(intrinsics, INTRINSICS)


def test_scale_and_crop_by_hand():
    """Twice as large, cropped from (30, 10): output (x', y') shows input ((x' + 30) / 2, (y' + 10) / 2)."""
    scale, offset = tf.constant([2.0, 2.0]), tf.constant([30.0, 10.0])
    images, intrinsics = scale_and_crop(position_image(), tf.constant(INTRINSICS), scale, offset)
    np.testing.assert_allclose(images[0, 0, 0], [15, 5, 1], atol=1e-5)
    np.testing.assert_allclose(images[0, 7, 3], [16.5, 8.5, 1], atol=1e-5)
    np.testing.assert_allclose(intrinsics, [[140, 0, 36], [0, 120, 18], [0, 0, 1]])


def test_unit_scale_is_the_identity():
    images, intrinsics = scale_and_crop(position_image(), tf.constant(INTRINSICS), tf.ones(2), tf.zeros(2))
    np.testing.assert_array_equal(images, position_image())
    np.testing.assert_array_equal(intrinsics, INTRINSICS)


@pytest.mark.parametrize("index", range(12))
def test_a_point_projects_to_where_its_content_went(index):
    """The colour under the new projection of a 3-D point is the position of its old projection, in every frame.

    A flip mirrors the world: the point seen at (x, y) has the opposite X.
    """
    images, intrinsics = augment(position_image(), tf.constant(INTRINSICS), tf.constant([5, index], tf.int64))
    images, intrinsics = images.numpy(), intrinsics.numpy().astype(np.float64)
    assert images.shape == (3, *SIZE, 3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    points = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T
    if images[0, 0, 0, 0] > images[0, 0, -1, 0]:
        points[..., 0] *= -1
    old = points @ INTRINSICS.T.astype(np.float64)
    for image in images:
        np.testing.assert_allclose(image, old / old[..., 2:], atol=2e-4)


def test_draws_cover_the_stated_ranges():
    """Both flips; scales of both axes over 1..1.1, independent; offsets never leave the image."""
    results = [augment(position_image(), tf.constant(INTRINSICS), tf.constant([0, i], tf.int64)) for i in range(200)]
    intrinsics = np.stack([result[1] for result in results])
    scales = np.stack([intrinsics[:, 0, 0] / 70, intrinsics[:, 1, 1] / 60])
    assert scales.min() >= 1 and scales.max() <= 1.1 + 1e-6
    assert np.all(scales.min(axis=1) < 1.01) and np.all(scales.max(axis=1) > 1.09)
    assert abs(np.corrcoef(scales)[0, 1]) < 0.2
    flipped = np.array([result[0][0, 0, 0, 0] > result[0][0, 0, -1, 0] for result in results])
    assert 70 < flipped.sum() < 130
    offsets = scales[1] * 14 - intrinsics[:, 1, 2]
    np.testing.assert_allclose(offsets, np.round(offsets), atol=1e-4)
    assert set(np.round(offsets)) == {0, 1, 2, 3}


def test_seed_decides_everything():
    def corner(*seed):
        return augment(position_image(), tf.constant(INTRINSICS), tf.constant(seed, tf.int64))[1].numpy()

    np.testing.assert_array_equal(corner(1, 2), corner(1, 2))
    assert not np.array_equal(corner(1, 2), corner(1, 3))
    assert not np.array_equal(corner(1, 2), corner(2, 2))
