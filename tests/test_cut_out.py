import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax.cut_out import cut_out, cut_out_size, draw_corner


def test_a_cut_out_by_hand():
    assert cut_out_size(192, 640) == (144, 480) and cut_out_size(40, 100) == (16, 64)
    maps = jnp.arange(2 * 22 * 44).reshape(2, 22, 44, 1)
    np.testing.assert_array_equal(cut_out(maps, jnp.array([5, 3])), maps[:, 5:21, 3:35])


def test_corners_are_drawn_everywhere_and_cut_outs_lie_inside():
    corners = jax.vmap(lambda i: draw_corner(jax.random.fold_in(jax.random.key(0), i), 32, 64))(jnp.arange(2000))
    assert set(np.asarray(corners[:, 0])) == set(range(32 - 16 + 1))
    assert set(np.asarray(corners[:, 1])) == set(range(64 - 48 + 1))
