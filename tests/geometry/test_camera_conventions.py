"""Poses of other programs: a point that all of them place alike."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dopi_jax import geometry
from dopi_jax.errors import UserError

CONVENTIONS = ["opencv", "colmap", "opengl", "nerf"]
POSES = [geometry.pose_from_vector(jnp.array(v)) for v in ([0.0] * 6, [1.0, -2, 3, 0.4, -0.9, 2.5], [0, 0, 5, jnp.pi, 0, 0])]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("pose", POSES)
def test_there_and_back(convention, pose):
    stored = geometry.pose_to_convention(pose, convention)
    np.testing.assert_allclose(geometry.pose_from_convention(stored, convention), pose, atol=2e-6)


def test_colmap_has_w_first_and_world_to_camera():
    turn = Rotation.from_rotvec([0.2, -0.4, 0.1])
    x, y, z, w = turn.as_quat()
    pose = geometry.pose_from_convention([2 * w, 2 * x, 2 * y, 2 * z, 1, 2, 3], "colmap")  # of any length
    np.testing.assert_allclose(pose[:3, :3], turn.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(pose[:3, 3], [1, 2, 3])


def test_the_view_matrix_of_opengl_has_y_up_and_looks_backward():
    """A point 4 ahead, 1 to the right and 2 up of a camera at the origin."""
    pose = geometry.pose_from_convention(np.eye(4), "opengl")
    np.testing.assert_allclose(geometry.transform_points(pose, [1, 2, -4]), [1, -2, 4])


def test_a_nerf_matrix_holds_where_the_camera_stands():
    """A camera at (3, 0, 0) that looks along -x of the world, z of the world being up, as in Blender's scenes."""
    stored = np.array([[0, 0, 1, 3], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])  # columns: right = y, up = z, back = x
    pose = geometry.pose_from_convention(stored, "nerf")
    np.testing.assert_allclose(geometry.transform_points(pose, [0, 0, 0]), [0, 0, 3], atol=1e-6)
    np.testing.assert_allclose(geometry.transform_points(pose, [0, 1, 0.5]), [1, -0.5, 3], atol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_motion_between_two_views_is_the_same_in_all(convention):
    poses = [geometry.pose_from_convention(geometry.pose_to_convention(p, convention), convention) for p in POSES[:2]]
    moved = geometry.compose_poses(poses[1], geometry.invert_pose(poses[0]))
    np.testing.assert_allclose(moved, POSES[1], atol=2e-6)


def test_another_name_is_told():
    with pytest.raises(UserError, match="convention is 'unity': expected 'opencv', 'colmap', 'opengl' or 'nerf'"):
        geometry.pose_from_convention(np.eye(4), "unity")
