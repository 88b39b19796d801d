"""Rigid transforms: vectors to 4x4 matrices and back, inverse and composition.

Functions that divide by an angle or take the root of a sum of squares choose a safe argument *before* the division and
the value *after* it: `where` alone would keep the value finite but let NaN through in the gradient.
"""

from typing import Literal

import chex
import jax.numpy as jnp

from dopi_jax.errors import UserError
from dopi_jax.geometry.arrays import as_float

Rotation = Literal["euler", "quaternion", "so3"]

_SMALL_SQUARED_ANGLE = 1e-4
"""Below this, series of second order are exact to float32 (the next term is of the order 1e-10)."""

_SMALL_SQUARED_COSINE = 1e-12
"""Below this of ry, float32 rounding alone decides how a turn is split between rx and rz."""


def pose_from_vector(vector: chex.Array, rotation: Rotation = "euler") -> chex.Array:
    """Returns the rigid transform of a pose vector (tx, ty, tz, rx, ry, rz).

    Args:
      vector: Pose vector [6]: translation in the unit of depth, then three rotation parameters.
      rotation: What the parameters are: "euler", angles in radians with R = Rx(rx) Ry(ry) Rz(rz); "quaternion", the
        vector part v of the unnormalised quaternion (1, v); "so3", axis times angle in radians.

    Returns:
      Transform [4, 4].

    Raises:
      UserError: The rotation has another name.

    Examples:
      A quarter turn to the right, in place: what was on the right comes to lie ahead.

      >>> pose = geometry.pose_from_vector([0, 0, 0, 0, -jnp.pi / 2, 0])
      >>> [round(value, 3) + 0.0 for value in geometry.transform_points(pose, [1, 0, 0]).tolist()]
      [0.0, 0.0, 1.0]
    """
    vector = as_float(vector)
    chex.assert_shape(vector, (6,))
    make = {"euler": _matrix_from_euler, "quaternion": _matrix_from_quaternion_vector, "so3": _matrix_from_so3}
    matrix = make[_check_rotation(rotation)](vector[3:])
    return pose_of(matrix, vector[:3])


def vector_from_pose(pose: chex.Array, rotation: Rotation = "euler") -> chex.Array:
    """Returns the pose vector of a rigid transform: the inverse of `pose_from_vector`.

    Args:
      pose: Transform [4, 4].
      rotation: As in `pose_from_vector`. Euler angles have |ry| <= pi/2; at pi/2 itself, where rx and rz turn about one
        axis, rz is 0. Quaternion vectors exist for angles below pi, so3 vectors are the shortest.

    Returns:
      Pose vector [6].

    Raises:
      UserError: The rotation has another name.

    Examples:
      >>> pose = geometry.pose_from_vector([1, 2, 3, 0, 0.25, 0], "so3")
      >>> [round(value, 3) + 0.0 for value in geometry.vector_from_pose(pose, "so3").tolist()]
      [1.0, 2.0, 3.0, 0.0, 0.25, 0.0]
    """
    pose = as_float(pose)
    chex.assert_shape(pose, (4, 4))
    take = {"euler": _euler_from_matrix, "quaternion": _quaternion_vector_from_matrix, "so3": _so3_from_matrix}
    return jnp.concatenate([pose[:3, 3], take[_check_rotation(rotation)](pose[:3, :3])])


def invert_pose(pose: chex.Array) -> chex.Array:
    """Returns the inverse of a rigid transform: [R^T | -R^T t], so `a_from_b` for `b_from_a`.

    Args:
      pose: Transform [4, 4].

    Returns:
      Transform [4, 4].

    Examples:
      >>> geometry.invert_pose(geometry.pose_from_vector([1, 2, 3, 0, 0, 0]))[:3, 3].tolist()
      [-1.0, -2.0, -3.0]
    """
    pose = as_float(pose)
    chex.assert_shape(pose, (4, 4))
    back = pose[:3, :3].T
    return pose_of(back, -jnp.matmul(back, pose[:3, 3], precision="highest"))


def compose_poses(c_from_b: chex.Array, b_from_a: chex.Array) -> chex.Array:
    """Returns the transform that does `b_from_a` first, then `c_from_b`: their matrix product.

    Args:
      c_from_b: Transform [4, 4].
      b_from_a: Transform [4, 4].

    Returns:
      Transform [4, 4] `c_from_a`.

    Examples:
      >>> step = geometry.pose_from_vector([0, 0, -1, 0, 0, 0])
      >>> geometry.compose_poses(step, step)[:3, 3].tolist()
      [0.0, 0.0, -2.0]
    """
    c_from_b, b_from_a = as_float(c_from_b, b_from_a)
    chex.assert_shape([c_from_b, b_from_a], (4, 4))
    return jnp.matmul(c_from_b, b_from_a, precision="highest")


def cross_matrix(v: chex.Array) -> chex.Array:
    """Returns [v]x, the matrices [..., 3, 3] whose product with a vector is the cross product of v [..., 3] and it."""
    x, y, z = jnp.moveaxis(v, -1, 0)
    zero = jnp.zeros_like(x)
    rows = (zero, -z, y), (z, zero, -x), (-y, x, zero)
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _check_rotation(rotation: str) -> str:
    if rotation not in ("euler", "quaternion", "so3"):
        raise UserError(f"rotation is {rotation!r}: expected 'euler', 'quaternion' or 'so3'")
    return rotation


def pose_of(rotation: chex.Array, translation: chex.Array) -> chex.Array:
    """Returns the transform [4, 4] of a rotation [3, 3] and a translation [3]."""
    top = jnp.concatenate([rotation, translation[:, None]], axis=1)
    return jnp.concatenate([top, jnp.array([[0.0, 0.0, 0.0, 1.0]], dtype=top.dtype)])


def _matrix_from_euler(angles: chex.Array) -> chex.Array:
    sx, sy, sz = jnp.sin(angles)
    cx, cy, cz = jnp.cos(angles)
    return jnp.array([
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ])


def _euler_from_matrix(m: chex.Array) -> chex.Array:
    # atan2 instead of arcsin for the middle angle: arcsin has an infinite slope at +-1 and is inaccurate near it.
    squared_cosine = m[0, 0] ** 2 + m[0, 1] ** 2
    is_locked = squared_cosine < _SMALL_SQUARED_COSINE
    cos_y = jnp.sqrt(jnp.maximum(squared_cosine, 1e-20))
    # Where the axes of rx and rz coincide, only their sum or difference is known: rx takes all of it.
    return jnp.stack([
        jnp.arctan2(jnp.where(is_locked, m[2, 1], -m[1, 2]), jnp.where(is_locked, m[1, 1], m[2, 2])),
        jnp.arctan2(m[0, 2], cos_y),
        jnp.arctan2(jnp.where(is_locked, 0.0, -m[0, 1]), jnp.where(is_locked, 1.0, m[0, 0])),
    ])


def _matrix_from_quaternion_vector(v: chex.Array) -> chex.Array:
    return matrix_from_quaternion(jnp.concatenate([jnp.ones_like(v[:1]), v]))


def matrix_from_quaternion(q: chex.Array) -> chex.Array:
    """Returns the rotation matrix [3, 3] of a quaternion (w, x, y, z) [4] of any length but 0."""
    w, x, y, z = q
    unnormalised = jnp.array([
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ])
    return unnormalised / (w * w + x * x + y * y + z * z)


def quaternion_from_matrix(m: chex.Array) -> chex.Array:
    """Returns the unit quaternion (w, x, y, z), w >= 0: of the four rows of 4 q q^T, the one with the largest diagonal."""
    xx, yy, zz = m[0, 0], m[1, 1], m[2, 2]
    wx, wy, wz = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    rows = jnp.array([
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ])
    row = rows[jnp.argmax(jnp.diagonal(rows))]
    q = row / jnp.sqrt(jnp.sum(row * row))
    return jnp.where(q[0] < 0, -q, q)


def _quaternion_vector_from_matrix(m: chex.Array) -> chex.Array:
    q = quaternion_from_matrix(m)
    return q[1:] / jnp.maximum(q[0], 1e-12)


def _matrix_from_so3(omega: chex.Array) -> chex.Array:
    """Rodrigues: I + sin(a)/a [w]x + (1 - cos(a))/a^2 [w]x^2 with a = |w|."""
    squared = jnp.sum(omega * omega)
    is_small = squared < _SMALL_SQUARED_ANGLE
    angle = jnp.sqrt(jnp.where(is_small, 1.0, squared))
    sine = jnp.where(is_small, 1 - squared / 6, jnp.sin(angle) / angle)
    versine = jnp.where(is_small, 0.5 - squared / 24, (1 - jnp.cos(angle)) / (angle * angle))
    cross = cross_matrix(omega)
    return jnp.eye(3, dtype=omega.dtype) + sine * cross + versine * jnp.matmul(cross, cross, precision="highest")


def _so3_from_matrix(m: chex.Array) -> chex.Array:
    q = quaternion_from_matrix(m)
    w, v = q[0], q[1:]
    squared = jnp.sum(v * v)
    is_small = squared < _SMALL_SQUARED_ANGLE
    sine = jnp.sqrt(jnp.where(is_small, 1.0, squared))
    # angle = 2 atan2(|v|, w); for a small |v| its ratio to |v| is 2/w (1 - |v|^2 / 3 w^2).
    near = 2 / jnp.where(is_small, w, 1.0)
    scale = jnp.where(is_small, near * (1 - squared * near * near / 12), 2 * jnp.arctan2(sine, w) / sine)
    return scale * v
