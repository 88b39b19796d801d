"""What a camera's rays hit first: ground, boxes or sky. Float64, and no mask of `dopi_jax.geometry` takes part."""

import dataclasses
from collections.abc import Callable

import numpy as np

from dopi_jax.synthetic.scene import Boxes

GROUND, SKY = -1, -2
_NEAR = 0.05  # metres; nothing is seen nearer than this
_SIGNS = np.array([[(corner >> axis & 1) * 2 - 1 for axis in range(3)] for corner in range(8)])
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])


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

    @property
    def world_from_pixel(self) -> np.ndarray:
        """What turns (x, y, 1) of a pixel into its ray, [3, 3]."""
        return self.world_from_camera[:3, :3] @ np.linalg.inv(self.K)

    def directions(self, pixels: np.ndarray) -> np.ndarray:
        """Rays [3, N] in the world through pixels [N, 2], 1 m deep: a multiple of one is as deep as the factor."""
        return self.world_from_pixel @ np.stack([pixels[:, 0], pixels[:, 1], np.ones(len(pixels))])

    def project(self, in_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2] and depths [...] of positions [..., 3] in the camera's own axes."""
        z = in_camera[..., 2]
        homogeneous = in_camera @ self.K.T
        return homogeneous[..., :2] / np.where(np.abs(z) < 1e-9, 1e-9, z)[..., None], z


@dataclasses.dataclass(frozen=True)
class Hits:
    """What rays meet first; the arrays have the shape of the rays.

    Attributes:
      depth: In metres along the camera's axis, inf in the sky.
      surface: int, the index of a box, `GROUND` or `SKY`.
      face: int, the axis of the box, 0 to 2, that its face is normal to; 0 for ground and sky.
    """

    depth: np.ndarray
    surface: np.ndarray
    face: np.ndarray


def cast(boxes: Boxes, time: float, camera: Camera, pixels: np.ndarray) -> Hits:
    """Follows the rays through pixels to the first surface.

    Args:
      boxes: The scene's boxes.
      time: In frames.
      camera: The camera.
      pixels: Positions [N, 2] in its image, of any spacing.

    Returns:
      `Hits` of shape [N].
    """
    x, y = pixels[:, 0], pixels[:, 1]

    def within(left, top, right, bottom):
        rays = np.nonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))[0]
        return rays, x[rays], y[rays]

    return _follow(boxes, time, camera, x, y, within)


def cast_grid(boxes: Boxes, time: float, camera: Camera, columns: np.ndarray, rows: np.ndarray) -> Hits:
    """Follows the rays through all points of a grid, much faster than `cast` of the same points.

    Args:
      boxes: The scene's boxes.
      time: In frames.
      camera: The camera.
      columns: Positions [W] in its image, ascending.
      rows: Positions [H], ascending.

    Returns:
      `Hits` of shape [H, W].
    """

    def within(left, top, right, bottom):
        i, j = slice(*np.searchsorted(rows, (top, bottom))), slice(*np.searchsorted(columns, (left, right)))
        return (i, j), columns[j], rows[i, None]

    return _follow(boxes, time, camera, columns, rows[:, None], within)


def grid_points(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the positions [H * W, 2] of a grid, row by row."""
    x, y = np.meshgrid(columns, rows)
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)


def to_box_axes(vectors: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Turns vectors [3, ...] from the world's axes to those of boxes with these yaws, broadcast against [...]."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors
    return np.stack(np.broadcast_arrays(cosine * x - sine * z, y, sine * x + cosine * z))


def _follow(boxes: Boxes, time: float, camera: Camera, x: np.ndarray, y: np.ndarray, within: Callable) -> Hits:
    """Hits of the rays through pixels, x and y of which broadcast.

    Of those in a window (left, top, right, bottom) of the image, `within` gives the index, x and y.
    """
    world_from_pixel = camera.world_from_pixel
    down = _linear(world_from_pixel[1], x, y)
    downwards = down > 1e-9
    depth = np.where(downwards, -camera.position[1] / np.where(downwards, down, 1.0), np.inf)
    surface = np.where(downwards, GROUND, SKY)
    face = np.zeros(surface.shape, np.int8)
    centres = boxes.centre_at(time)
    starts = to_box_axes((camera.position - centres).T, boxes.yaw)
    box_from_pixel = to_box_axes(world_from_pixel[..., None], boxes.yaw)
    for index, nearest, window in _in_view(boxes, centres, camera):
        rays, x_there, y_there = within(*window)
        # From near to far, so that most of what is hidden need not be looked at ray by ray.
        depth_there = depth[rays]
        if not depth_there.size or depth_there.max() <= nearest:
            continue
        enter, axis = _enter_box(boxes.half[index], starts[:, index], box_from_pixel[..., index], x_there, y_there)
        nearer = enter < depth_there
        depth[rays] = np.where(nearer, enter, depth_there)
        surface[rays] = np.where(nearer, index, surface[rays])
        face[rays] = np.where(nearer, axis, face[rays])
    return Hits(depth, surface, face)


def _linear(row: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return row[0] * x + (row[1] * y + row[2])


def _enter_box(half: np.ndarray, start: np.ndarray, box_from_pixel: np.ndarray, x: np.ndarray, y: np.ndarray):
    """Where rays from `start`, in the box's axes, enter it, as a factor of the ray (inf if never), and across which axis."""
    enter, leave, axis = -np.inf, np.inf, np.int8(0)
    for number in range(3):
        ray = _linear(box_from_pixel[number], x, y)
        inverse = 1 / np.where(np.abs(ray) < 1e-12, 1e-12, ray)
        middle, reach = -start[number] * inverse, half[number] * np.abs(inverse)
        into = middle - reach
        axis = np.where(into > enter, np.int8(number), axis)
        enter, leave = np.maximum(enter, into), np.minimum(leave, middle + reach)
    return np.where((enter <= leave) & (enter > _NEAR), enter, np.inf), axis


def _in_view(boxes: Boxes, centres: np.ndarray, camera: Camera) -> list[tuple[int, float, np.ndarray]]:
    """Index, smallest depth and window (left, top, right, bottom) of the boxes that the image may show, from near to far."""
    offsets = to_box_axes(np.moveaxis(_SIGNS * boxes.half[:, None], -1, 0), -boxes.yaw[:, None])
    corners = (centres[:, None] + np.moveaxis(offsets, 0, -1) - camera.position) @ camera.world_from_camera[:3, :3]
    # Where an edge passes the camera, its visible part starts at the near plane.
    a, b = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    crossing = (a[..., 2] > _NEAR) != (b[..., 2] > _NEAR)
    share = (_NEAR - a[..., 2]) / np.where(crossing, b[..., 2] - a[..., 2], 1.0)
    points = np.concatenate([corners, a + share[..., None] * (b - a)], axis=1)
    ahead = np.concatenate([corners[..., 2] > _NEAR, crossing], axis=1)
    pixels, z = camera.project(points)
    first = np.min(np.where(ahead[..., None], pixels, np.inf), axis=1) - 1
    last = np.max(np.where(ahead[..., None], pixels, -np.inf), axis=1) + 1
    nearest = np.min(np.where(ahead, z, np.inf), axis=1)
    seen = np.all((last > 0) & (first < (camera.width - 1, camera.height - 1)), axis=-1)
    windows = np.concatenate([first, last], axis=-1)
    return [(index, nearest[index], windows[index]) for index in np.argsort(nearest) if seen[index]]
