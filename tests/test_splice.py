import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.splice import COLUMNS, draw_cut, splice, unsplice


def test_splice_by_hand():
    images = jnp.array([[1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40]]).reshape(3, 1, 4, 1)
    np.testing.assert_array_equal(splice(images, 1)[:, 0, :, 0], [[2, 3, 4, 10], [6, 7, 8, 1], [20, 30, 40, 5]])


@pytest.mark.parametrize("cut", [0, 32, 64])
def test_it_can_be_undone_at_every_scale(cut):
    images = jax.random.uniform(jax.random.key(0), (3, 8, 96, 2))
    for factor in (1, 2, 8):
        maps = images[:, ::factor, ::factor]
        np.testing.assert_array_equal(unsplice(splice(images, cut)[:, ::factor, ::factor], cut // factor), maps)
    if not cut:
        np.testing.assert_array_equal(splice(images, cut), images)


@pytest.mark.parametrize("width", [96, 416, 100])
def test_cuts_are_drawn_everywhere_and_every_second_time(width):
    cuts = np.asarray(jax.vmap(lambda i: draw_cut(jax.random.fold_in(jax.random.key(0), i), width))(jnp.arange(400)))
    assert set(cuts) == set(range(0, width, COLUMNS))
    parts = len(set(cuts))
    assert 400 * (0.4 + 0.4 / parts) < (cuts == 0).sum() < 400 * (0.6 + 0.6 / parts)
