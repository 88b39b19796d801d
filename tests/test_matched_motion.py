"""Motion fitted to matched points, in the unit of a depth map."""

import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry
from dopi_jax.objectives.matched_motion import follow_matches, match_motion

H, W, N = 64, 208, 150
K = jnp.array([[120.0, 0, 104], [0, 120.0, 32], [0, 0, 1]])
MOTION = geometry.pose_from_vector(jnp.array([0.02, 0.0, -0.5, 0.0, 0.02, 0.0]))
OTHERWISE = geometry.pose_from_vector(jnp.array([0.3, 0.0, 0.0, 0.0, 0.0, 0.1]))
fit = jax.jit(match_motion)


def scene():
    """A depth map of a road between walls, and exact matches of some of its pixels."""
    y, x = np.mgrid[:H, :W]
    depth = np.minimum(1.65 * 120 / np.maximum(y - 31, 1), 6 * 120 / (np.abs(x - 104) + 1)).clip(3, 40).astype(np.float32)
    chosen = np.random.default_rng(0).choice(H * W, N, replace=False)
    target = np.stack([chosen % W, chosen // W], axis=1).astype(np.float32)
    flow = np.array(geometry.rigid_flow(jnp.asarray(depth), K, MOTION)).reshape(-1, 2)[chosen]
    return depth, np.concatenate([target, target + flow], axis=1)


def test_the_motion_has_the_unit_of_depth():
    depth, matches = scene()
    for unit in (1.0, 0.1):
        view = fit(unit * depth, matches, K, OTHERWISE)
        assert view.is_reliable
        np.testing.assert_allclose(view.source_from_target[:3, :3], MOTION[:3, :3], atol=1e-3)
        np.testing.assert_allclose(view.source_from_target[:3, 3], unit * MOTION[:3, 3], atol=0.01 * unit)
        assert view.depth_error < 0.02


def test_the_depth_error_is_that_of_log_depth_up_to_a_factor():
    depth, matches = scene()
    factor = np.where(np.arange(W) < 104, 1.0, 1.5).astype(np.float32)
    view = fit(depth * factor, matches, K, OTHERWISE)
    # Half the points are log(1.5) / 2 below the mean of the logarithm and half above it.
    np.testing.assert_allclose(view.depth_error, np.log(1.5) / 2, atol=0.03)
    slope = jax.grad(lambda d: match_motion(d, matches, K, OTHERWISE).depth_error)(depth * factor)
    assert np.sum(slope[:, :104]) < 0 < np.sum(slope[:, 104:])  # downhill: the near side further, the far side nearer
    assert np.isfinite(slope).all() and np.count_nonzero(slope) > N / 2


def test_too_few_matches_leave_the_pose_that_was_given():
    depth, matches = scene()
    matches[12:] = np.nan
    view = fit(depth, matches, K, OTHERWISE)
    assert not view.is_reliable and view.depth_error == 0
    np.testing.assert_array_equal(view.source_from_target, OTHERWISE)


def test_without_parallax_the_rotation_alone_follows_the_matches():
    depth, matches = scene()
    turn = geometry.pose_from_vector(jnp.array([0.0, 0.0, 0.0, 0.0, 0.03, 0.0]))
    flow = np.array(geometry.rigid_flow(jnp.asarray(depth), K, turn))
    x, y = matches[:, :2].astype(int).T
    matches[:, 2:] = matches[:, :2] + flow[y, x]
    view = fit(depth, matches, K, OTHERWISE)
    assert not view.is_reliable and view.depth_error == 0
    np.testing.assert_allclose(view.source_from_target[:3, :3], turn[:3, :3], atol=1e-3)
    np.testing.assert_array_equal(view.source_from_target[:3, 3], OTHERWISE[:3, 3])


def test_a_followed_pose_keeps_the_length_of_the_network():
    depth, matches = scene()
    view = fit(depth, matches, K, OTHERWISE)
    pose, difference = follow_matches(OTHERWISE, view)
    np.testing.assert_allclose(pose[:3, :3], MOTION[:3, :3], atol=1e-3)
    np.testing.assert_allclose(pose[:3, 3], 0.3 * MOTION[:3, 3] / np.linalg.norm(MOTION[:3, 3]), atol=5e-3)
    # The direction is (1, 0, 0) instead of (0.04, 0, -1), the rotation off by about (0, -0.02, 0.1) radians.
    np.testing.assert_allclose(difference, (0.96 + 1.0 + 0.2 + 1.0) / 6, atol=0.02)
    slope = jax.grad(lambda p: jnp.linalg.norm(follow_matches(p, view)[0][:3, 3]))(OTHERWISE)
    np.testing.assert_allclose(slope[:3, 3], [1, 0, 0], atol=1e-3)


def test_where_points_say_too_little_the_network_is_left_alone():
    depth, matches = scene()
    view = fit(depth, matches[:5], K, OTHERWISE)
    pose, difference = follow_matches(OTHERWISE, view)
    np.testing.assert_array_equal(pose, OTHERWISE)
    assert difference == 0


def test_gradients_are_finite_where_the_network_sees_no_motion():
    view = fit(*scene(), K, jnp.eye(4))
    for output in (0, 1):
        slope = jax.grad(lambda pose, k=output: jnp.sum(follow_matches(pose, view)[k]))(jnp.eye(4))
        assert np.isfinite(slope).all()
