"""Occlusion by consistency of depths or flows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W = 8, 40
K = jnp.array([[20.0, 0.0, 19.5], [0.0, 20.0, 3.5], [0.0, 0.0, 1.0]])


def block_before_wall(left, right, block=5.0, wall=20.0):
    """Depth of a wall with a block before the columns left ... right - 1."""
    return jnp.full((H, W), wall).at[:, left:right].set(block)


def to_the_left(by):
    return geometry.pose_from_vector(jnp.array([-by, 0.0, 0.0, 0.0, 0.0, 0.0]))


def test_depth_comparison_hides_what_comes_to_lie_behind_the_block():
    """The block at 5 m moves 4 px to the left, the wall at 20 m 1 px."""
    masks = geometry.depth_comparison_masks(block_before_wall(20, 26), block_before_wall(16, 22), K, to_the_left(1.0))
    hidden = np.flatnonzero(~masks.blank[4])
    # The block's left edge lies between columns 15 and 16 there: the wall's columns 17 to 19 land on 16 to 18.
    assert hidden.tolist() == [17, 18, 19]
    assert np.flatnonzero(~masks.edge[4]).tolist() == [0]
    assert masks.overlap.all()
    np.testing.assert_array_equal(masks.visible, masks.edge & masks.blank)


def test_depth_comparison_counts_the_share_of_the_weight_that_is_nearer():
    """The wall moves by a fraction of a pixel, so that its last column before the block lies between wall and block."""
    for by, is_hidden in ((0.65, False), (0.75, True)):
        pose = geometry.pose_from_vector(jnp.array([by, 0.0, 0.0, 0.0, 0.0, 0.0]))  # so many px to the right at 20 m
        masks = geometry.depth_comparison_masks(jnp.full((H, W), 20.0), block_before_wall(20, 26), K, pose)
        assert bool(~masks.blank[4, 19]) == is_hidden
        assert not masks.blank[4, 20:25].any() and masks.blank[4, :19].all()


def test_depth_comparison_draws_no_stripes_where_a_surface_shrinks():
    """Driving backwards everything shrinks; the paper's rule lets neighbours on one slope hide each other."""
    horizon = -20.0
    ground = jnp.broadcast_to(400.0 / (jnp.arange(64.0)[:, None] - horizon), (64, W))  # 20 m to 5 m, the same in both views
    camera = jnp.array([[20.0, 0.0, 19.5], [0.0, 20.0, horizon], [0.0, 0.0, 1.0]])
    pose = geometry.pose_from_vector(jnp.array([0.0, 0.0, 6.0, 0.0, 0.0, 0.0]))
    literal = geometry.occlusion_masks(ground, ground, camera, pose)
    compared = geometry.depth_comparison_masks(ground, ground, camera, pose)
    assert (~literal.overlap & literal.edge).mean() > 0.1
    assert compared.blank.all()


def test_depth_comparison_is_tolerant_as_told_and_unknown_depth_hides_nothing():
    wall = jnp.full((H, W), 10.0)
    for nearer, tolerance, hidden in ((9.8, 0.05, False), (9.8, 0.01, True), (8.0, 0.05, True)):
        masks = geometry.depth_comparison_masks(wall, jnp.full((H, W), nearer), K, jnp.eye(4), tolerance=tolerance)
        assert bool(masks.blank.any()) != hidden
    for unknown in (jnp.nan, 0.0, -1.0, jnp.inf):
        assert geometry.depth_comparison_masks(wall, jnp.full((H, W), unknown), K, jnp.eye(4)).visible.all()
        assert not geometry.depth_comparison_masks(jnp.full((H, W), unknown), wall, K, jnp.eye(4)).edge.any()


def test_depth_comparison_carries_no_gradient():
    def total(depth, other, pose):
        masks = geometry.depth_comparison_masks(depth, other, K, pose)
        return jnp.sum(jnp.where(masks.visible, 1.0, 0.0))

    gradients = jax.grad(total, argnums=(0, 1, 2))(block_before_wall(20, 26), block_before_wall(16, 22), to_the_left(1.0))
    assert all(not np.any(g) for g in gradients)


def test_forward_backward_rule():
    forward = jnp.zeros((6, 8, 2)).at[..., 0].set(2.0)
    assert geometry.forward_backward_mask(forward, -forward)[:, :6].all()
    assert not geometry.forward_backward_mask(forward, -forward)[:, 6:].any()  # leaves the image
    assert not geometry.forward_backward_mask(forward, forward).any()


def test_range_map_is_what_arrives():
    """Everything flows 1.5 px to the right: the first column gets nothing, the second a half."""
    backward = jnp.zeros((6, 8, 2)).at[..., 0].set(1.5)
    reached = geometry.range_map_mask(backward)
    np.testing.assert_array_equal(reached[2], [False, True, True, True, True, True, True, True])
    np.testing.assert_array_equal(geometry.range_map_mask(backward, threshold=0.6)[2], [False, False] + [True] * 6)
    assert geometry.range_map_mask(jnp.zeros((6, 8, 2))).all()
    assert not geometry.range_map_mask(jnp.full((6, 8, 2), jnp.nan)).any()


def test_depth_inconsistency_worked_example():
    """A wall 10 m away, seen from 2 m nearer as 8 m; the source says 6 m: 2 of 14."""
    nearer = geometry.pose_from_vector(jnp.array([0.0, 0.0, -2.0, 0.0, 0.0, 0.0]))
    got = geometry.depth_inconsistency(jnp.full((H, W), 10.0), jnp.full((H, W), 6.0), K, nearer)
    np.testing.assert_allclose(got[3:5, 10:30], 2 / 14, rtol=1e-5)
    np.testing.assert_allclose(got[0, 0], 1.0)  # leaves the image
    # (z - z') / (z + z') with z = 8 and z' = 6 grows with z by 2 z' / (z + z')^2.
    there = jnp.full((H, W), 6.0)
    slope = jax.grad(lambda d: geometry.depth_inconsistency(d, there, K, nearer)[4, 20])(jnp.full((H, W), 10.0))
    np.testing.assert_allclose(slope[4, 20], 12 / 14**2, rtol=1e-4)


@pytest.mark.parametrize("odd", [jnp.nan, jnp.inf, -jnp.inf, 0.0, -5.0, -9.99])
def test_depth_inconsistency_is_1_where_a_depth_is_none(odd):
    wall = jnp.full((H, W), 10.0)
    marred = wall.at[3, 20].set(odd)
    aside = to_the_left(0.25)  # half a pixel, so that the odd depth takes part in two pixels
    for target, source, places in ((wall, marred, [20, 21]), (marred, wall, [20])):
        got = geometry.depth_inconsistency(target, source, K, aside)
        wanted = np.zeros((H, W))
        wanted[3, places], wanted[:, 0] = 1.0, 1.0
        np.testing.assert_allclose(got, wanted, atol=1e-6)
        total = jax.jit(jax.grad(lambda *a: geometry.depth_inconsistency(*a).sum(), argnums=(0, 1, 2, 3)))
        gradients = total(target, source, K, aside)
        assert all(np.isfinite(g).all() for g in gradients)


def test_depth_inconsistency_of_inverse_depths_knows_the_sky():
    """Sky before sky agrees, sky before a wall contradicts it wholly."""
    sky, wall = jnp.zeros((H, W)), jnp.full((H, W), 0.1)
    for target, source, wanted in ((sky, sky, 0), (sky, wall, 1), (wall, sky, 1), (wall, 3 * wall, 0.5)):
        got = geometry.depth_inconsistency(target, source, K, jnp.eye(4), inverse_depth=True)
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_range_map_of_a_target_of_another_size():
    """A source of one row, each pixel of which flows one to the right and one down into a target of 3 x 5."""
    reached = geometry.range_map_mask(jnp.ones((1, 3, 2)), target_shape=(3, 5))
    np.testing.assert_array_equal(reached, [[False] * 5, [False, True, True, True, False], [False] * 5])
