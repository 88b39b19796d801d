"""What a camera's rays hit first: ground, boxes or sky. Float64, and no mask of `dopi_jax.geometry` takes part."""

import dataclasses

import numpy as np

from dopi_jax.synthetic.scene import Boxes

GROUND, SKY = -1, -2
_NEAR = 0.05  # metres; nothing is seen nearer than this
_BOX_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera in the world.

    Attributes:
      K: Intrinsics [3, 3].
      world_from_camera: Pose [4, 4].
      height: Rows of its image.
      width: Columns of its image.
    """

    K: np.ndarray
    world_from_camera: np.ndarray
    height: int
    width: int

    @property
    def position(self) -> np.ndarray:
        """Where it is, [3]."""
        return self.world_from_camera[:3, 3]

    def directions(self, pixels: np.ndarray) -> np.ndarray:
        """Rays [N, 3] in the world through pixels [N, 2], 1 m deep: a multiple of one is as deep as the factor."""
        rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(self.K).T
        return rays @ self.world_from_camera[:3, :3].T

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, 2] and depths [N] of points [N, 3]; a direction counts as a point infinitely far away if w is 0."""
        in_camera = (points - self.position) @ self.world_from_camera[:3, :3]
        return self.project_direction(in_camera)

    def project_direction(self, in_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, 2] and depths [N] of positions [N, 3] in the camera's own axes."""
        z = in_camera[:, 2]
        homogeneous = in_camera @ self.K.T
        return homogeneous[:, :2] / np.where(np.abs(z) < 1e-9, 1e-9, z)[:, None], z


@dataclasses.dataclass(frozen=True)
class Hits:
    """What rays meet first.

    Attributes:
      depth: [N] in metres along the camera's axis, inf in the sky.
      surface: int [N]: the index of a box, `GROUND` or `SKY`.
    """

    depth: np.ndarray
    surface: np.ndarray


def cast(boxes: Boxes, time: float, camera: Camera, pixels: np.ndarray) -> Hits:
    """Follows the rays through pixels to the first surface.

    Args:
      boxes: The scene's boxes.
      time: In frames.
      camera: The camera.
      pixels: Positions [N, 2] in its image, of any spacing.

    Returns:
      `Hits`.
    """
    directions = camera.directions(pixels)
    downwards = directions[:, 1] > 1e-9
    ground_depth = -camera.position[1] / np.where(downwards, directions[:, 1], 1.0)
    depth = np.where(downwards, ground_depth, np.inf)
    surface = np.where(downwards, GROUND, SKY)
    centres = boxes.centre_at(time)
    for index, centre in enumerate(centres):
        window = _screen_window(boxes, index, centre, camera)
        if window is None:
            continue
        (left, top), (right, bottom) = window
        x, y = pixels[:, 0], pixels[:, 1]
        rays = np.nonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))[0]
        if not len(rays):
            continue
        enter = _enter_box(boxes.half[index], boxes.yaw[index], camera.position - centre, directions[rays])
        nearer = enter < depth[rays]
        depth[rays[nearer]] = enter[nearer]
        surface[rays[nearer]] = index
    return Hits(depth, surface)


def to_box_axes(vectors: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Turns vectors [N, 3] from the world's axes to those of boxes with these yaws, scalar or [N]."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=-1)


def _enter_box(half: np.ndarray, yaw: float, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Where rays [N, 3] from an origin relative to the box's centre enter it, as a factor of the ray; inf if never."""
    start = to_box_axes(origin, yaw)
    rays = to_box_axes(directions, yaw)
    rays = np.where(np.abs(rays) < 1e-12, 1e-12, rays)
    first, second = (-half - start) / rays, (half - start) / rays
    enter = np.max(np.minimum(first, second), axis=-1)
    leave = np.min(np.maximum(first, second), axis=-1)
    return np.where((enter <= leave) & (enter > _NEAR), enter, np.inf)


def _screen_window(boxes: Boxes, index: int, centre: np.ndarray, camera: Camera):
    """The pixels ((left, top), (right, bottom)) that can see a box; None if it is behind the camera."""
    signs = np.array([[(corner >> axis & 1) * 2 - 1 for axis in range(3)] for corner in range(8)])
    offsets = to_box_axes(signs * boxes.half[index], -boxes.yaw[index])
    corners = (centre + offsets - camera.position) @ camera.world_from_camera[:3, :3]
    z = corners[:, 2]
    points = corners[z > _NEAR]
    # Where an edge passes the camera, its visible part starts at the near plane.
    a, b = corners[_BOX_EDGES[:, 0]], corners[_BOX_EDGES[:, 1]]
    crossing = (a[:, 2] > _NEAR) != (b[:, 2] > _NEAR)
    if crossing.any():
        a, b = a[crossing], b[crossing]
        share = (_NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
        points = np.concatenate([points, a + share[:, None] * (b - a)])
    if not len(points):
        return None
    pixels, _ = camera.project_direction(points)
    return pixels.min(axis=0) - 1, pixels.max(axis=0) + 1
