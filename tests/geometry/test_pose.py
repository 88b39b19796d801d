import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dopi_jax import geometry
from dopi_jax.errors import UserError

ROTATIONS = ["euler", "quaternion", "so3"]
VECTORS = np.array([
    [0, 0, 0, 0, 0, 0],
    [1, -2, 3, 0.1, -0.2, 0.3],
    [0, 0, 1, 1e-5, -2e-5, 3e-5],
    [0.5, 0, 0, 0.008, 0.004, -0.003],
    [0, 1, 0, 0.9, 0.7, -1.2],
    [0, 1, 0, 1.5, -1.2, 1.4],
], np.float32)  # fmt: skip


def reference(vector, rotation):
    if rotation == "euler":
        return Rotation.from_euler("XYZ", vector[3:]).as_matrix()
    if rotation == "quaternion":
        return Rotation.from_quat([*vector[3:], 1.0]).as_matrix()
    return Rotation.from_rotvec(vector[3:]).as_matrix()


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("vector", VECTORS)
def test_agrees_with_scipy_and_back(vector, rotation):
    pose = geometry.pose_from_vector(vector, rotation)
    np.testing.assert_allclose(pose[:3, :3], reference(vector.astype(float), rotation), atol=3e-7)
    np.testing.assert_array_equal(pose[:3, 3], vector[:3])
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])
    np.testing.assert_allclose(geometry.vector_from_pose(pose, rotation), vector, atol=2e-6)


def test_euler_order_worked_example():
    """Rx(90 deg) Ry(0) Rz(90 deg) takes x to y by Rz, then y to z by Rx."""
    pose = geometry.pose_from_vector(jnp.array([0, 0, 0, jnp.pi / 2, 0, jnp.pi / 2]))
    np.testing.assert_allclose(pose[:3, :3] @ jnp.array([1.0, 0, 0]), [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("vector", VECTORS)
def test_so3_near_half_turn(vector):
    axis = np.array([0.6, -0.64, 0.48], np.float32)
    turn = np.concatenate([vector[:3], axis * 3.1]).astype(np.float32)
    np.testing.assert_allclose(geometry.vector_from_pose(geometry.pose_from_vector(turn, "so3"), "so3"), turn, atol=1e-5)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_group_axioms(rotation):
    a, b, c = (geometry.pose_from_vector(v, rotation) for v in VECTORS[[1, 3, 4]])
    np.testing.assert_allclose(geometry.compose_poses(a, geometry.invert_pose(a)), np.eye(4), atol=1e-6)
    np.testing.assert_allclose(
        geometry.compose_poses(geometry.compose_poses(a, b), c),
        geometry.compose_poses(a, geometry.compose_poses(b, c)),
        atol=1e-6,
    )


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("vector", VECTORS)
def test_jacobians_against_finite_differences(vector, rotation):
    jacobian = jax.jacobian(geometry.pose_from_vector)(vector, rotation)
    h = 1e-6
    reference_jacobian = np.zeros((3, 3, 6))
    for i in range(3, 6):
        step = np.eye(6)[i] * h
        reference_jacobian[..., i] = (reference(vector + step, rotation) - reference(vector - step, rotation)) / (2 * h)
    np.testing.assert_allclose(jacobian[:3, :3], reference_jacobian, atol=2e-6)
    # The inverse map's Jacobian undoes it.
    back = jax.jacobian(lambda v: geometry.vector_from_pose(geometry.pose_from_vector(v, rotation), rotation))(vector)
    np.testing.assert_allclose(back, np.eye(6), atol=1e-4)


def test_unknown_rotation_is_named():
    with pytest.raises(UserError, match="'axis'.*'euler', 'quaternion' or 'so3'"):
        geometry.pose_from_vector(jnp.zeros(6), "axis")


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("turn", [0.0, 0.7, -2.5])
def test_euler_at_a_quarter_turn_about_y_puts_all_into_rx(side, turn):
    """Rx(a) Ry(90) Rz(b) is Rx(a + b) Ry(90), and Rx(a) Ry(-90) Rz(b) is Rx(a - b) Ry(-90)."""
    vector = jnp.array([1, 2, 3, 0.4, side * np.pi / 2, turn], jnp.float32)
    pose = geometry.pose_from_vector(vector)
    found = geometry.vector_from_pose(pose)
    np.testing.assert_allclose(found[3:], [0.4 + side * turn, side * np.pi / 2, 0], atol=1e-6)
    np.testing.assert_allclose(geometry.pose_from_vector(found), pose, atol=1e-6)
    for jacobian in (jax.jacrev, jax.jacfwd):
        assert np.isfinite(jacobian(geometry.vector_from_pose)(pose)).all()
    exact = pose.at[0, :3].set(jnp.array([0, 0, side])).at[1:3, 2].set(0.0)  # without the rounding of cos(90 degrees)
    np.testing.assert_allclose(geometry.vector_from_pose(exact)[3:], found[3:], atol=1e-6)
    assert np.isfinite(jax.jacrev(geometry.vector_from_pose)(exact)).all()


def test_euler_close_to_a_quarter_turn_still_tells_rx_from_rz():
    vector = jnp.array([0, 0, 0, 0.4, 1.569, 0.7])
    np.testing.assert_allclose(geometry.vector_from_pose(geometry.pose_from_vector(vector)), vector, atol=2e-4)


def test_half_precision_poses_are_composed_in_float32():
    turn = geometry.pose_from_vector(jnp.array([0, 0, 0, 0.1, -0.2, 0.3])).astype(jnp.bfloat16)
    wanted = np.asarray(turn, np.float64)
    np.testing.assert_allclose(geometry.compose_poses(turn, turn), wanted @ wanted, atol=1e-6)
