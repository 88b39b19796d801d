"""Motion from depth and flow on a drawn road whose motion is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W = 48, 156
K = jnp.array([[90.0, 0.5, 76.0], [0.0, 92.0, 22.0], [0.0, 0.0, 1.0]])
fit = jax.jit(geometry.pose_from_flow)
START = geometry.pose_from_vector(jnp.array([0.0, 0.0, -0.8, 0.0, 0.0, 0.0]))


def scene(seed):
    """Depth of a road between walls with boxes on it, and the motion of a car in a tenth of a second."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:H, :W]
    road = np.where(y > 23, 1.65 * 92 / np.maximum(y - 22, 1), 60.0)
    depth = np.minimum(road, np.clip(6 * 90 / (np.abs(x - 76) + 1), 4, 60))
    for _ in range(8):
        left, top = rng.integers(0, W - 22), rng.integers(8, 30)
        box = np.s_[top : top + 15, left : left + 20]
        depth[box] = np.minimum(depth[box], rng.uniform(5, 40))
    vector = rng.normal(size=6) * [0.05, 0.03, 0.1, 0.004, 0.02, 0.002] - [0, 0, 1.0, 0, 0, 0]
    return jnp.asarray(depth, jnp.float32), geometry.pose_from_vector(jnp.asarray(vector, jnp.float32)), rng


def errors(pose, truth):
    """Of the rotation in degrees, and of the translation relative to its length."""
    off = geometry.vector_from_pose(geometry.compose_poses(geometry.invert_pose(truth), pose), "so3")
    turn, shift = jnp.linalg.norm(off[3:]), jnp.linalg.norm(pose[:3, 3] - truth[:3, 3])
    return float(jnp.degrees(turn)), float(shift / jnp.linalg.norm(truth[:3, 3]))


def test_exact_flow_gives_the_exact_motion():
    depth, truth, _ = scene(0)
    np.testing.assert_allclose(fit(depth, geometry.rigid_flow(depth, K, truth), K), truth, atol=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_third_of_the_flow_may_be_wrong(seed):
    depth, truth, rng = scene(seed)
    flow = np.array(geometry.rigid_flow(depth, K, truth)) + rng.normal(size=(H, W, 2)) * 0.1
    wrong = rng.random((H, W)) < 0.3
    flow[wrong] += rng.uniform(-8, 8, (wrong.sum(), 2))
    turn, shift = errors(fit(depth, flow, K), truth)
    assert turn < 0.05 and shift < 0.03


def test_something_large_may_move_by_itself():
    depth, truth, _ = scene(1)
    flow = geometry.rigid_flow(depth, K, truth).at[10:40, 20:80].add(jnp.array([2.0, 0.5]))  # 24 % of the image
    turn, shift = errors(fit(depth, flow, K), truth)
    assert turn < 0.05 and shift < 0.03


def test_weights_say_what_can_be_trusted():
    depth, truth, rng = scene(3)
    flow = np.array(geometry.rigid_flow(depth, K, truth))
    wrong = rng.random((H, W)) < 0.8
    flow[wrong] += rng.uniform(-8, 8, (wrong.sum(), 2))
    turn, shift = errors(fit(depth, flow, K, jnp.where(wrong, 0.02, 1.0)), truth)
    assert turn < 0.05 and shift < 0.03


def test_unusable_pixels_are_left_out():
    depth, truth, _ = scene(2)
    flow = geometry.rigid_flow(depth, K, truth)
    depth = depth.at[:5].set(jnp.inf).at[5:8].set(0.0).at[8:10].set(jnp.nan)
    flow = flow.at[40:].set(jnp.nan)
    np.testing.assert_allclose(fit(depth, flow, K), truth, atol=2e-3)


def test_nonsense_gives_the_start():
    depth, _, rng = scene(4)
    nonsense = jnp.asarray(rng.uniform(-30, 30, (H, W, 2)), jnp.float32)
    for flow in (nonsense, jnp.full((H, W, 2), jnp.nan)):
        np.testing.assert_array_equal(fit(depth, flow, K, None, START), START)


def test_a_prior_holds_what_depth_cannot_tell():
    """Depth that is wrong on one side looks like sideways motion."""
    depth, truth, _ = scene(5)
    flow = geometry.rigid_flow(depth, K, truth)
    skewed = depth * jnp.linspace(0.8, 1.25, W)
    free = fit(skewed, flow, K, None, START)
    held = jax.jit(lambda *a: geometry.pose_from_flow(*a, None, START, prior=jnp.array([30.0, 30, 0, 0, 0, 0])))(
        skewed, flow, K
    )
    sideways = abs(float(truth[0, 3]))
    assert abs(float(free[0, 3] - truth[0, 3])) > 2 * sideways
    assert abs(float(held[0, 3])) < 0.3 * abs(float(free[0, 3]))


def test_the_unit_of_depth_is_the_unit_of_translation():
    depth, truth, _ = scene(6)
    flow = geometry.rigid_flow(depth, K, truth)
    one, small = fit(depth, flow, K), fit(depth / 50, flow, K)
    np.testing.assert_allclose(one[:3, :3], small[:3, :3], atol=2e-5)
    np.testing.assert_allclose(one[:3, 3] / 50, small[:3, 3], atol=2e-4)


@pytest.mark.parametrize("of", ["depth", "flow"])
def test_gradient_agrees_with_differences(of):
    depth, truth, _ = scene(7)
    inputs = {"depth": depth, "flow": geometry.rigid_flow(depth, K, truth)}
    direction = {"depth": 0.05 * depth * (jnp.arange(W) > 70), "flow": jnp.ones((H, W, 2))}[of]

    @jax.jit
    def forward(amount):
        moved = inputs | {of: inputs[of] + amount * direction}
        return geometry.pose_from_flow(moved["depth"], moved["flow"], K)[2, 3]

    slope, step = jax.grad(forward)(0.0), 0.02
    difference = (forward(step) - forward(-step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=0.05, atol=1e-3)


def test_the_source_may_be_another_camera():
    source_K = jnp.array([[120.0, 0.0, 90.0], [0.0, 118.0, 30.0], [0.0, 0.0, 1.0]])
    depth, truth, _ = scene(8)
    flow = geometry.rigid_flow(depth, K, truth, source_K=source_K)
    found = jax.jit(lambda *views: geometry.pose_from_flow(*views, source_K=source_K))(depth, flow, K)
    np.testing.assert_allclose(found, truth, atol=5e-4)
