import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.splice import GRID, draw_cut, splice, unsplice


def test_splice_by_hand():
    images = jnp.array([[1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40]]).reshape(3, 1, 4, 1)
    np.testing.assert_array_equal(splice(images, 1)[:, 0, :, 0], [[2, 3, 4, 10], [6, 7, 8, 1], [20, 30, 40, 5]])


@pytest.mark.parametrize("cut", [0, 32, 64])
def test_it_can_be_undone_at_every_scale(cut):
    images = jax.random.uniform(jax.random.key(0), (3, 64, 96, 2))
    for factor in (1, 2, 16):
        spliced = splice(images, cut)[:, ::factor, ::factor]
        np.testing.assert_array_equal(unsplice(spliced, cut // factor), images[:, ::factor, ::factor])
        np.testing.assert_array_equal(unsplice(spliced[..., 0], cut // factor), images[:, ::factor, ::factor, 0])
    assert jnp.array_equal(splice(images, cut), images) == (cut == 0)


@pytest.mark.parametrize("width", [96, 416, 100])
def test_cuts_are_drawn_everywhere_in_every_second_batch(width):
    cuts = jax.vmap(lambda i: draw_cut(jax.random.fold_in(jax.random.key(0), i), width))(jnp.arange(600))
    assert set(np.asarray(cuts)) == set(range(0, width, GRID))
    assert 0.45 < np.mean(cuts > 0) < 0.55


def test_images_too_narrow_to_cut_are_left_alone():
    assert not jax.vmap(lambda i: draw_cut(jax.random.fold_in(jax.random.key(0), i), 32))(jnp.arange(50)).any()
