import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import strong_augment
from dopi_jax.strong_augment import change_appearance

SIZE = (32, 80)
change = jax.jit(change_appearance)
KEYS = jax.random.split(jax.random.key(0), 40)


def snippet():
    image = np.random.default_rng(0).uniform(-1, 1, (1, *SIZE, 3)).astype(np.float32)
    return jnp.repeat(image, 3, axis=0)


def test_images_stay_images_and_change_with_the_key():
    images = snippet()
    changed = [np.asarray(change(images, key)) for key in KEYS]
    for one in changed:
        assert one.shape == images.shape and one.dtype == np.float32
        assert np.abs(one).max() <= 1
    assert np.mean([np.abs(one - images).max() > 0.05 for one in changed]) > 0.9
    np.testing.assert_array_equal(change(images, KEYS[0]), changed[0])
    assert np.abs(changed[0] - changed[1]).max() > 0.05


def test_all_frames_of_a_snippet_change_alike_but_for_noise():
    apart = [np.std(np.diff(np.asarray(change(snippet(), key)), axis=0)) for key in KEYS]
    assert max(apart) <= 2 * np.sqrt(2) * strong_augment._NOISE  # images have a range of 2
    assert np.mean(np.array(apart) < 1e-6) > 0.5


def test_patches_lie_over_a_part_of_the_image(monkeypatch):
    for name in strong_augment._SHARES:
        monkeypatch.setitem(strong_augment._SHARES, name, 0.0)
    images = snippet()
    covered = np.stack([np.abs(change_appearance(images, key)[0] - images[0]).max(axis=-1) > 1e-4 for key in KEYS[:10]])
    shares = covered.mean(axis=(1, 2))
    assert shares.max() < 0.6 and np.mean(shares > 0.01) >= 0.5
