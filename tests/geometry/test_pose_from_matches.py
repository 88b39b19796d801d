"""Motion from matched points of a made-up scene whose motion and depth are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W, N = 192, 640, 300
K = jnp.array([[360.0, 0.3, 310.0], [0.0, 365.0, 90.0], [0.0, 0.0, 1.0]])
fit = jax.jit(geometry.pose_from_matches)


def scene(seed, vector=None, noise=0.0):
    """Points of a scene 4 to 60 lengths of the motion away, where they are in both images, and the motion."""
    rng = np.random.default_rng(seed)
    target = rng.uniform([0, 0], [W, H], (N, 2)).astype(np.float32)
    depth = np.exp(rng.uniform(np.log(4), np.log(60), N)).astype(np.float32)
    if vector is None:
        vector = rng.normal(size=6) * [0.1, 0.05, 0.1, 0.01, 0.03, 0.01] - [0, 0, 1.0, 0, 0, 0]
    pose = geometry.pose_from_vector(jnp.asarray(vector, jnp.float32), "so3")
    rays = np.concatenate([target, np.ones((N, 1), np.float32)], axis=1) @ np.linalg.inv(K).T
    source, _ = geometry.project(geometry.transform_points(pose, jnp.asarray(rays * depth[:, None])), K)
    return target, np.array(source) + rng.normal(size=(N, 2)) * noise, depth, pose


def errors(motion, pose):
    """Of the rotation and of the direction, in degrees."""
    between = geometry.compose_poses(motion.source_from_target, geometry.invert_pose(pose))
    direction, truth = motion.source_from_target[:3, 3], pose[:3, 3] / jnp.linalg.norm(pose[:3, 3])
    angle = jnp.arctan2(jnp.linalg.norm(jnp.cross(direction, truth)), direction @ truth)
    return np.degrees(np.linalg.norm(geometry.vector_from_pose(between, "so3")[3:])), np.degrees(float(angle))


@pytest.mark.parametrize(
    "vector",
    [
        (0, 0, -1, 0, 0, 0),
        (0, 0, 1, 0, 0, 0),
        (1, 0, 0, 0, 0, 0),
        (-0.8, 0.1, 0.6, 0.02, -0.05, 0.03),
        (0.1, -1, 0, 0.1, 0.1, -0.1),
    ],
    ids=["forwards", "backwards", "to the left", "by hand", "large turn"],
)
def test_exact_matches_give_the_exact_motion_and_depth(vector):
    target, source, depth, pose = scene(0, vector)
    motion = fit(target, source, K)
    turn, aside = errors(motion, pose)
    assert turn < 0.01 and aside < 0.05
    length = np.linalg.norm(vector[:3])
    clear = np.asarray(motion.parallax) > 3
    assert clear.sum() > N / 4
    np.testing.assert_allclose(motion.depth[clear], depth[clear] / length, rtol=0.02)
    np.testing.assert_allclose(motion.support, 1.0, atol=1e-3)


def test_parallax_by_hand():
    """A camera that moves 1 to the right sees a point at depth 10 move by f / 10 to the left; a turn adds none."""
    square = jnp.array([[360.0, 0, 310], [0, 360.0, 90], [0, 0, 1]])
    target = np.tile(np.float32([[310, 90], [250, 60], [380, 120], [200, 100]]), (10, 1))
    depth = np.tile(np.float32([10, 20, 5, 8]), 10)
    source = target - np.stack([360 / depth, 0 * depth], axis=1)
    motion = fit(target, source, square)
    np.testing.assert_allclose(motion.source_from_target[:3, 3], [-1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(motion.depth, depth, rtol=5e-3)
    # The central ray (0, 0, 1) and the one to where the point went, (-0.1, 0, 1), have a cross product of length 0.1.
    np.testing.assert_allclose(motion.parallax[0], 36.0, rtol=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_a_third_of_the_matches_may_be_wrong(seed):
    target, source, _, pose = scene(seed, noise=0.1)
    rng = np.random.default_rng(10 + seed)
    wrong = rng.random(N) < 0.3
    source[wrong] += rng.uniform(-20, 20, (wrong.sum(), 2))
    motion = fit(target, source, K)
    turn, aside = errors(motion, pose)
    assert turn < 0.05 and aside < 1.0
    assert np.median(motion.support[~wrong]) > 0.8 and np.median(motion.support[wrong]) < 0.05


def test_something_large_may_move_by_itself():
    target, source, _, pose = scene(5, noise=0.1)
    moves = (target[:, 0] > 400) & (target[:, 1] > 60)
    assert moves.mean() > 0.2
    source[moves] += [3.0, 3.0]
    turn, aside = errors(fit(target, source, K), pose)
    assert turn < 0.05 and aside < 1.0


def test_matches_without_weight_or_that_are_not_finite_count_nothing():
    target, source, _, _ = scene(2, noise=0.1)
    wanted = fit(target[:200], source[:200], K)
    source[200:250] += 7.0
    source[250:] = np.nan
    weights = np.where(np.arange(N) < 200, 1.0, 0.0).astype(np.float32)
    motion = fit(target, source, K, weights)
    np.testing.assert_allclose(motion.source_from_target, wanted.source_from_target, atol=1e-4)
    np.testing.assert_array_equal(motion.support[200:], 0.0)
    assert all(np.isfinite(leaf).all() for leaf in motion)


def test_a_camera_that_only_turns_shows_no_parallax():
    target, source, _, pose = scene(3, (0, 0, 0, 0.01, 0.03, -0.02))
    motion = fit(target, source, K)
    turn = geometry.compose_poses(motion.source_from_target, geometry.invert_pose(pose))
    assert np.degrees(np.linalg.norm(geometry.vector_from_pose(turn, "so3")[3:])) < 0.02
    assert np.max(motion.parallax) < 0.2


def test_swapped_images_give_the_inverse_motion():
    target, source, _, _ = scene(4)
    there, back = fit(target, source, K).source_from_target, fit(source, target, K).source_from_target
    between = geometry.compose_poses(there, back)
    np.testing.assert_allclose(between[:3, :3], np.eye(3), atol=1e-4)
    np.testing.assert_allclose(between[:3, 3], 0.0, atol=2e-3)


def test_the_slope_agrees_with_differences():
    target, source, _, _ = scene(6, noise=0.2)
    target, source = jnp.asarray(target[:60]), jnp.asarray(source[:60])

    def sideways(f):
        return fit(target, source, K.at[0, 0].multiply(f)).source_from_target[0, 3]

    step = 1e-2
    difference = (sideways(1 + step) - sideways(1 - step)) / (2 * step)
    np.testing.assert_allclose(jax.jacfwd(sideways)(1.0), difference, rtol=0.05, atol=1e-3)


def test_the_source_may_be_another_camera():
    target, _, depth, pose = scene(7)
    source_K = jnp.array([[500.0, 0.0, 250.0], [0.0, 480.0, 200.0], [0.0, 0.0, 1.0]])
    rays = np.concatenate([target, np.ones((N, 1), np.float32)], axis=1) @ np.linalg.inv(K).T
    points = geometry.transform_points(pose, jnp.asarray(rays * depth[:, None]))
    source, _ = geometry.project(points, source_K)
    motion = jax.jit(lambda *points: geometry.pose_from_matches(*points, K, source_K=source_K))(target, source)
    turn, aside = errors(motion, pose)
    assert turn < 0.01 and aside < 0.05
