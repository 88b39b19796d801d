import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.splice import GRID, Cut, draw_cut, splice, unsplice


def test_splice_at_a_column_by_hand():
    images = jnp.array([[1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40]]).reshape(3, 1, 4, 1)
    np.testing.assert_array_equal(splice(images, Cut(0, 1))[:, 0, :, 0], [[2, 3, 4, 10], [6, 7, 8, 1], [20, 30, 40, 5]])


def test_splice_at_a_row_by_hand():
    images = jnp.array([[1, 2, 3], [4, 5, 6]]).reshape(2, 3, 1, 1)
    np.testing.assert_array_equal(splice(images, Cut(2, 0))[:, :, 0, 0], [[3, 4, 5], [6, 1, 2]])


@pytest.mark.parametrize("cut", [(0, 0), (0, 32), (32, 0), (32, 64)])
def test_it_can_be_undone_at_every_scale(cut):
    images = jax.random.uniform(jax.random.key(0), (3, 64, 96, 2))
    for factor in (1, 2, 16):
        spliced = splice(images, Cut(*cut))[:, ::factor, ::factor]
        np.testing.assert_array_equal(unsplice(spliced, Cut(*cut), factor), images[:, ::factor, ::factor])
    np.testing.assert_array_equal(jnp.array_equal(splice(images, Cut(*cut)), images), cut == (0, 0))


@pytest.mark.parametrize("width", [96, 416, 100])
def test_cuts_are_drawn_everywhere_and_not_always(width):
    cuts = jax.vmap(lambda i: draw_cut(jax.random.fold_in(jax.random.key(0), i), 64, width))(jnp.arange(600))
    assert set(np.asarray(cuts.column)) == set(range(0, width, GRID))
    assert set(np.asarray(cuts.row)) == {0, 32}
    assert 0.2 < np.mean(cuts.row > 0) < 0.3
    assert 0.45 < np.mean(cuts.column > 0) < 0.55


def test_images_too_small_to_cut_are_left_alone():
    cuts = jax.vmap(lambda i: draw_cut(jax.random.fold_in(jax.random.key(0), i), 32, 32))(jnp.arange(50))
    assert not np.any(cuts)
