"""What holds for all poses, cameras and scenes: hypothesis looks for one for which it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dopi_jax import geometry

# The same examples at every run, and no time limit: compiling takes the first one longer.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("steady")

HEIGHT, WIDTH = 12, 20
number = st.floats(-3, 3, width=32)
angle = st.floats(-3, 3, width=32)
below_a_right_angle = st.floats(-1.5, 1.5, width=32)  # of ry, beyond which Euler angles name the rotation otherwise
vectors = st.tuples(number, number, number, angle, below_a_right_angle, angle).map(np.float32)
cameras = st.builds(
    lambda fx, fy, skew, cx, cy: np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], np.float32),
    *(st.floats(5, 60), st.floats(5, 60), st.floats(-1, 1), st.floats(2, 18), st.floats(2, 10)),
)
seeds = st.integers(0, 2**31 - 1)
vector_of, pose_of = jax.jit(geometry.vector_from_pose), jax.jit(geometry.pose_from_vector)
compose, invert, transform = map(jax.jit, (geometry.compose_poses, geometry.invert_pose, geometry.transform_points))
masks_of = jax.jit(geometry.occlusion_masks)
depth_masks_of = jax.jit(geometry.depth_comparison_masks)


def depths(seed, low=1.0, high=10.0):
    return np.random.default_rng(seed).uniform(low, high, (HEIGHT, WIDTH)).astype(np.float32)


@given(vectors)
def test_a_pose_and_its_vector_name_each_other(vector):
    pose = pose_of(vector)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-5)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(pose_of(vector_of(pose)), pose, atol=2e-5)


@given(vectors)
@pytest.mark.parametrize("rotation", ["quaternion", "so3"])
def test_other_rotation_vectors_do_so_too(rotation, vector):
    pose = geometry.pose_from_vector(vector, rotation)
    again = geometry.pose_from_vector(geometry.vector_from_pose(pose, rotation), rotation)
    np.testing.assert_allclose(again, pose, atol=1e-4)


@given(vectors, vectors, vectors)
def test_poses_are_a_group(a, b, c):
    a, b, c = map(pose_of, (a, b, c))
    np.testing.assert_allclose(compose(a, compose(b, c)), compose(compose(a, b), c), atol=2e-5)
    np.testing.assert_allclose(compose(a, invert(a)), np.eye(4), atol=2e-5)
    np.testing.assert_allclose(invert(compose(a, b)), compose(invert(b), invert(a)), atol=3e-5)
    points = np.float32([[1, -2, 5], [0, 0, 0]])
    np.testing.assert_allclose(transform(compose(a, b), points), transform(a, transform(b, points)), atol=5e-5)


@given(cameras, seeds)
def test_what_is_projected_comes_from_where_it_was(K, seed):
    depth = depths(seed)
    pixels, z = geometry.project(geometry.backproject(depth, K), K)
    np.testing.assert_allclose(pixels, geometry.pixel_grid(HEIGHT, WIDTH), atol=2e-4)
    np.testing.assert_allclose(z, depth, rtol=1e-6)


@given(cameras, st.floats(0.3, 3), st.floats(0.3, 3), st.floats(0, 9), st.floats(0, 9))
def test_a_changed_image_shows_a_point_where_the_changed_camera_does(K, across, down, left, top):
    point = np.float32([[0.3, -0.2, 2.0]])
    (x, y), *_ = geometry.project(point, K)[0]
    scaled = geometry.project(point, geometry.scale_intrinsics(K, across, down))[0][0]
    np.testing.assert_allclose(scaled, [across * x, down * y], atol=1e-3)
    cropped = geometry.project(point, geometry.crop_intrinsics(K, left, top))[0][0]
    np.testing.assert_allclose(cropped, [x - left, y - top], atol=1e-3)
    np.testing.assert_allclose(geometry.flip_intrinsics(geometry.flip_intrinsics(K, WIDTH), WIDTH), K, atol=1e-4)
    there_and_back = geometry.scale_intrinsics(geometry.scale_intrinsics(K, across, down), 1 / across, 1 / down)
    np.testing.assert_allclose(there_and_back, K, rtol=1e-4, atol=1e-4)


@given(cameras, vectors, seeds, st.floats(0.1, 10))
def test_a_scene_and_a_model_of_it_look_the_same(K, vector, seed, scale):
    """Flow does not tell how large a scene is: depth and translation in another unit give the same."""
    depth, larger = depths(seed), np.float32([scale] * 3 + [1] * 3)
    flow = geometry.rigid_flow(depth, K, pose_of(0.1 * vector))
    of_model = geometry.rigid_flow(scale * depth, K, pose_of(0.1 * vector * larger))
    np.testing.assert_allclose(of_model, flow, rtol=1e-3, atol=2e-3)


@given(cameras, vectors, seeds, seeds)
def test_masks_are_whole_and_the_more_tolerant_shows_more(K, vector, seed, other):
    depth, source_depth, motion = depths(seed, 3), depths(other, 3), pose_of(0.05 * vector)
    masks = masks_of(depth, source_depth, K, motion)
    assert all(mask.dtype == bool and mask.shape == (HEIGHT, WIDTH) for mask in masks)
    assert np.all(masks.overlap | masks.edge)  # what does not land hides behind nothing
    less, more = (depth_masks_of(depth, source_depth, K, motion, tolerance=t).visible for t in (0.02, 0.3))
    assert not np.any(less & ~more)


@given(cameras, seeds)
def test_who_stands_still_sees_all_that_he_saw(K, seed):
    depth = depths(seed)
    assert np.all(masks_of(depth, depth, K, jnp.eye(4)).visible)
    assert np.all(depth_masks_of(depth, depth, K, jnp.eye(4)).visible)
    np.testing.assert_allclose(geometry.rigid_flow(depth, K, jnp.eye(4)), 0, atol=2e-4)
