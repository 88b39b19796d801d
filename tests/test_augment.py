import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.augment import Transform, draw_transform, jitter_colours, network_batch, transform_snippet

K = np.array([[70.0, 0, 33], [0, 60, 14], [0, 0, 1]], np.float32)
SIZE = (32, 80)

draw = jax.jit(lambda seed, index: draw_transform(0, index, *SIZE), static_argnums=0)
transform_jit = jax.jit(transform_snippet)


def position_frames():
    """Three copies of an image whose colour is its pixel's (x, y, 1)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    return np.repeat(np.stack([x, y, np.ones_like(x)], axis=-1)[None], 3, axis=0)


def transform(flip=False, scale=(1.0, 1.0), offset=(0.0, 0.0)):
    return Transform(jnp.array(flip), jnp.array(scale), jnp.array(offset))


def test_flip_by_hand():
    frames, intrinsics = transform_snippet(np.array([[[[1] * 3, [2] * 3, [5] * 3]]], np.uint8), K, transform(flip=True))
    np.testing.assert_array_equal(frames[0, 0, :, 0], [5, 2, 1])
    np.testing.assert_array_equal(intrinsics, [[70, 0, 2 - 33], [0, 60, 14], [0, 0, 1]])


def test_flipping_twice_changes_nothing():
    frames, intrinsics = transform_snippet(*transform_snippet(position_frames(), K, transform(True)), transform(True))
    np.testing.assert_array_equal(frames, position_frames())
    np.testing.assert_array_equal(intrinsics, K)


def test_scale_and_crop_by_hand():
    """Twice as large, cropped from (30, 10): output (x', y') shows input ((x' + 30) / 2, (y' + 10) / 2)."""
    moved = transform(scale=(2.0, 2.0), offset=(30.0, 10.0))
    frames, intrinsics = transform_snippet(position_frames(), K, moved)
    np.testing.assert_allclose(frames[0, 0, 0], [15, 5, 1], atol=1e-5)
    np.testing.assert_allclose(frames[0, 7, 3], [16.5, 8.5, 1], atol=1e-5)
    np.testing.assert_allclose(intrinsics, [[140, 0, 36], [0, 120, 18], [0, 0, 1]])


def test_unit_scale_is_the_identity_and_bytes_stay_bytes():
    noise = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)
    frames, intrinsics = transform_snippet(noise, K, transform())
    np.testing.assert_array_equal(frames, noise)
    np.testing.assert_array_equal(intrinsics, K)


@pytest.mark.parametrize("index", range(12))
def test_a_point_projects_to_where_its_content_went(index):
    """The colour under the new projection of a 3-D point is the position of its old projection, in every frame.

    A flip mirrors the world: the point seen at (x, y) has the opposite X.
    """
    frames, intrinsics = jax.device_get(transform_jit(position_frames(), K, draw(5, index)))
    intrinsics = intrinsics.astype(np.float64)
    assert frames.shape == (3, *SIZE, 3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    points = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T
    if frames[0, 0, 0, 0] > frames[0, 0, -1, 0]:
        points[..., 0] *= -1
    old = points @ K.T.astype(np.float64)
    for frame in frames:
        np.testing.assert_allclose(frame, old / old[..., 2:], atol=2e-4)


def test_draws_cover_the_stated_ranges():
    """Both flips; scales of both axes over 1..1.1, independent; offsets never leave the image."""
    drawn = jax.device_get(jax.vmap(lambda index: draw_transform(0, index, *SIZE))(jnp.arange(400)))
    assert drawn.scale.min() >= 1 and drawn.scale.max() <= 1.1 + 1e-6
    assert np.all(drawn.scale.min(axis=0) < 1.01) and np.all(drawn.scale.max(axis=0) > 1.09)
    assert abs(np.corrcoef(drawn.scale.T)[0, 1]) < 0.2
    assert 160 < drawn.flip.sum() < 240
    np.testing.assert_array_equal(drawn.offset, np.round(drawn.offset))
    assert np.all(drawn.offset <= (drawn.scale - 1) * [SIZE[1] - 1, SIZE[0] - 1])
    assert set(drawn.offset[:, 1]) == {0, 1, 2, 3}


def test_seed_and_index_decide_everything():
    def scale(seed, index):
        return np.asarray(draw_transform(seed, index, *SIZE).scale)

    np.testing.assert_array_equal(scale(1, 2), scale(1, 2))
    assert not np.array_equal(scale(1, 2), scale(1, 3))
    assert not np.array_equal(scale(1, 2), scale(2, 2))


def test_batch_by_hand():
    """Frames t-1, t, t+1 become target t and sources (t-1, t+1); 0, 127.5 and 255 become -1, 0 and 1."""
    frames = np.broadcast_to(np.array([0, 255, 51], np.uint8)[None, :, None, None, None], (2, 3, 4, 6, 3))
    batch = network_batch({"frames": frames, "intrinsics": np.stack([K, K]), "index": np.array([0, 1], np.uint32)})
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "target": ((2, 4, 6, 3), np.float32),
        "sources": ((2, 2, 4, 6, 3), np.float32),
        "intrinsics": ((2, 3, 3), np.float32),
    }
    np.testing.assert_array_equal(batch["target"], 1)
    np.testing.assert_array_equal(batch["sources"][:, 0], -1)
    np.testing.assert_allclose(batch["sources"][:, 1], -0.6, rtol=1e-6)


def test_samples_of_a_batch_are_augmented_as_alone():
    frames = np.random.default_rng(0).integers(0, 256, (3, 3, *SIZE, 3), np.uint8)
    batch = {"frames": frames, "intrinsics": np.stack([K] * 3), "index": np.array([7, 8, 7], np.uint32)}
    together = network_batch(batch, augment=True, seed=3)
    alone, _ = transform_snippet(frames[1], K, draw_transform(3, 8, *SIZE))
    np.testing.assert_allclose(together["target"][1], alone[1] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(together["intrinsics"][0], together["intrinsics"][2])
    assert not np.array_equal(together["intrinsics"][0], together["intrinsics"][1])


def test_jitter_changes_all_frames_alike_and_only_every_second_sample():
    images = jnp.tile(jnp.linspace(-0.6, 0.6, 12).reshape(1, 2, 2, 3), (3, 1, 1, 1))
    jittered = jax.jit(jax.vmap(lambda index: jitter_colours(images, 0, index, 0.3)))(jnp.arange(200))
    np.testing.assert_array_equal(jittered[:, 0], jittered[:, 2])
    changed = np.abs(jittered - images).max(axis=(1, 2, 3, 4)) > 1e-5
    assert 70 < changed.sum() < 130
    assert np.abs(jittered).max() <= 1
    # On grey images saturation does nothing, and a change of contrast leaves the mean: what is left is brightness.
    grey = jnp.full((3, 4, 4, 3), -0.5)
    light = (jax.vmap(lambda index: jitter_colours(grey, 0, index, 0.3))(jnp.arange(200)) + 1) / 2
    factors = light[:, 0, 0, 0, 0] / 0.25
    assert 0.7 <= factors.min() < 0.75 and 1.25 < factors.max() <= 1.3


@pytest.mark.slow
def test_the_networks_see_other_colours_than_the_losses_compare():
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, *SIZE, 3), dtype=np.uint8)
    batch = {"frames": frames, "intrinsics": np.stack([K] * 4), "index": np.arange(4, dtype=np.uint32)}
    plain = network_batch(batch, augment=True)
    jittered = network_batch(batch, augment=True, colour_jitter=0.2)
    for name in plain:
        np.testing.assert_array_equal(jittered[name], plain[name])
    assert set(jittered) - set(plain) == {"seen_target", "seen_sources"}
    assert jittered["seen_sources"].shape == plain["sources"].shape
    assert np.abs(jittered["seen_target"] - plain["target"]).max() > 0.01
    assert set(network_batch(batch, colour_jitter=0.2)) == set(plain)  # as in validation
    strongly = network_batch(batch, augment=True, strong=True)
    assert set(strongly) == set(jittered)
    assert np.abs(strongly["seen_target"] - plain["target"]).max() > 0.05
    np.testing.assert_array_equal(strongly["target"], plain["target"])
