"""Conversion of camera poses from and to the conventions of other programs.

Here, as in OpenCV, a camera looks along +z with x to the right and y down, and an absolute pose is `camera_from_world`. The
motion between two views is `compose_poses(source_from_world, invert_pose(target_from_world))`.

Pixel centres differ too: where the upper left one is (0.5, 0.5), as in COLMAP and in NeRF's files, the principal point is
half a pixel larger, and `crop_intrinsics(K, 0.5, 0.5)` gives this library's.
"""

from typing import Literal

import chex
import jax.numpy as jnp

from dopi_jax.errors import UserError
from dopi_jax.geometry.arrays import as_float
from dopi_jax.geometry.pose import invert_pose, matrix_from_quaternion, pose_of, quaternion_from_matrix

Convention = Literal["opencv", "colmap", "opengl", "nerf"]


def pose_from_convention(stored: chex.Array, convention: Convention) -> chex.Array:
    """Returns a camera's pose from the form in which another program stores it.

    World coordinates stay as they are; only the camera's axes change, and the direction in which the matrix maps.

    Args:
      stored: What the program stores: "opencv", [4, 4] from world to camera, x right, y down, z forward; "colmap", [7], a
        line of images.txt: the quaternion (qw, qx, qy, qz) from world to camera, then the translation (tx, ty, tz), with
        OpenCV's axes; "opengl", the view matrix [4, 4] from world to camera, x right, y up, z backward; "nerf", the
        `transform_matrix` [4, 4] of transforms.json (Blender, instant-ngp) from camera to world with OpenGL's axes.
      convention: "opencv", "colmap", "opengl" or "nerf".

    Returns:
      `camera_from_world` [4, 4].

    Raises:
      UserError: The convention has another name.

    Examples:
      Blender's camera without rotation, 5 above the origin, looks down: the origin lies 5 in front of it.

      >>> stored = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]]
      >>> pose = geometry.pose_from_convention(stored, "nerf")
      >>> geometry.transform_points(pose, jnp.zeros(3)).tolist()
      [0.0, 0.0, 5.0]
    """
    stored = as_float(stored)
    chex.assert_shape(stored, (7,) if _check_convention(convention) == "colmap" else (4, 4))
    if convention == "colmap":
        return pose_of(matrix_from_quaternion(stored[:4]), stored[4:])
    if convention == "nerf":
        stored = invert_pose(stored)
    return stored if convention == "opencv" else _with_axes_turned(stored)


def pose_to_convention(camera_from_world: chex.Array, convention: Convention) -> chex.Array:
    """Returns a camera's pose in the form in which another program stores it: the inverse of `pose_from_convention`.

    Args:
      camera_from_world: Pose [4, 4].
      convention: "opencv", "colmap", "opengl" or "nerf", as in `pose_from_convention`.

    Returns:
      Array [4, 4], or [7] for "colmap", with qw >= 0.

    Raises:
      UserError: The convention has another name.

    Examples:
      >>> geometry.pose_to_convention(geometry.pose_from_vector([1, 2, 3, 0, 0, 0]), "colmap").tolist()
      [1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]
    """
    camera_from_world = as_float(camera_from_world)
    chex.assert_shape(camera_from_world, (4, 4))
    if _check_convention(convention) == "colmap":
        return jnp.concatenate([quaternion_from_matrix(camera_from_world[:3, :3]), camera_from_world[:3, 3]])
    stored = camera_from_world if convention == "opencv" else _with_axes_turned(camera_from_world)
    return invert_pose(stored) if convention == "nerf" else stored


def _with_axes_turned(pose: chex.Array) -> chex.Array:
    """Half a turn about x: between a camera that looks along +z with y down and one along -z with y up."""
    return pose * jnp.array([1.0, -1.0, -1.0, 1.0], pose.dtype)[:, None]


def _check_convention(convention: str) -> str:
    if convention not in ("opencv", "colmap", "opengl", "nerf"):
        raise UserError(f"convention is {convention!r}: expected 'opencv', 'colmap', 'opengl' or 'nerf'")
    return convention
