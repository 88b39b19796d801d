"""A drive through a procedural street: images, and everything about them that a real recording hides."""

import dataclasses

import numpy as np

from dopi_jax.synthetic.raycast import GROUND, SKY, Camera, Hits, cast, cast_grid, grid_points
from dopi_jax.synthetic.scene import LANE_CENTRE, Boxes, make_boxes
from dopi_jax.synthetic.shading import shade

CAMERA_HEIGHT = 1.65  # metres, as on KITTI's car
_CAMERA_AHEAD_OF_AXLE = 1.7  # metres
# KITTI's camera 2 of 2011_09_26, at its image size.
_KITTI_SIZE = (375, 1242)
_KITTI_K = np.array([[721.5377, 0.0, 609.5593], [0.0, 721.5377, 172.8540], [0.0, 0.0, 1.0]])

VISIBLE, OUT_OF_VIEW, HIDDEN_BY_STATIC, HIDDEN_BY_MOVER = range(4)


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image and its truth.

    Attributes:
      image: uint8 [H, W, 3].
      depth: [H, W] in metres, inf in the sky.
      world_from_camera: Pose [4, 4].
      moving: boolean [H, W], pixels of what moves by itself.
    """

    image: np.ndarray
    depth: np.ndarray
    world_from_camera: np.ndarray
    moving: np.ndarray


@dataclasses.dataclass(frozen=True)
class PairTruth:
    """How the pixels of one frame move to another.

    Attributes:
      flow: [H, W, 2] in pixels, what moves by itself included; the sky moves as what is infinitely far away.
      rigid_flow: [H, W, 2], as if nothing but the camera moved.
      visibility: uint8 [H, W]: `VISIBLE` in the other frame, `OUT_OF_VIEW`, `HIDDEN_BY_STATIC` or `HIDDEN_BY_MOVER`.
      moving: boolean [H, W], pixels of what moves by itself.
    """

    flow: np.ndarray
    rigid_flow: np.ndarray
    visibility: np.ndarray
    moving: np.ndarray


class Street:
    """A drive of some frames; the seed decides everything.

    Frames are drawn on demand and do not depend on the order in which they are asked for.
    """

    def __init__(
        self,
        seed: int,
        frames: int,
        height: int = 128,
        width: int = 416,
        *,
        movers: int | None = None,
        illumination: float = 0.0,
        noise: float = 0.0,
    ):
        """Draws the street and the drive.

        Args:
          seed: Each is another street.
          frames: Length of the drive.
          height: Rows of the images.
          width: Columns of the images.
          movers: Number of moving cars and pedestrians; drawn from 0 to 3 if None.
          illumination: Standard deviation of the logarithm of each frame's exposure.
          noise: Standard deviation of the sensor's noise in grey levels of 255.
        """
        self.seed, self.frames, self.height, self.width = seed, frames, height, width
        self.illumination, self.noise = illumination, noise
        self.K = _scaled_intrinsics(height, width)
        self._pixels = grid_points(np.arange(width), np.arange(height))
        self.poses = _drive(seed, frames)
        self.boxes: Boxes = make_boxes(seed, float(self.poses[-1, 2, 3]), frames, movers)

    def camera(self, frame: int) -> Camera:
        """Returns the camera of a frame."""
        return Camera(self.K, self.poses[frame], self.height, self.width)

    def frame(self, number: int) -> Frame:
        """Returns an image, averaged over 2x2 rays a pixel, and its truth at the pixel centres.

        A texture is filtered for the size of a pixel when it is looked up: where the four rays meet the same face as the
        one through the centre, that one's colour stands for theirs.

        Args:
          number: From 0 to `frames` - 1.

        Returns:
          A `Frame`.
        """
        camera, hits = self.camera(number), self._hits(number)
        light = shade(self.boxes, number, camera, self._pixels, _flat(hits), self.seed)
        columns, rows = (np.add.outer(np.arange(n), [-0.25, 0.25]).ravel() for n in (self.width, self.height))
        fine = cast_grid(self.boxes, number, camera, columns, rows)
        surface, face = (x.repeat(2, axis=0).repeat(2, axis=1) for x in (hits.surface, hits.face))
        row, column = np.nonzero((fine.surface != surface) | (fine.face != face))
        of_other = Hits(*(x[row, column] for x in (fine.depth, fine.surface, fine.face)))
        other = shade(self.boxes, number, camera, np.column_stack([columns[column], rows[row]]), of_other, self.seed)
        pixel = row // 2 * self.width + column // 2
        np.add.at(light, pixel, (other - light[pixel]) / 4)

        rng = np.random.default_rng((self.seed, 2, number))
        light = light * np.float32(np.exp(self.illumination * rng.standard_normal()))
        levels = 255 * np.clip(light, 0, 1) ** np.float32(1 / 2.2)
        if self.noise:
            levels = levels + self.noise * rng.standard_normal(levels.shape)
        return Frame(
            np.rint(np.clip(levels, 0, 255)).astype(np.uint8).reshape(self.height, self.width, 3),
            hits.depth,
            self.poses[number],
            self._moving(hits.surface),
        )

    def frame_depth(self, number: int) -> np.ndarray:
        """Returns the depth [H, W] of a frame in metres, inf in the sky, without drawing its image."""
        return self._hits(number).depth

    def pair(self, target: int, source: int) -> PairTruth:
        """Returns how the pixels of the target frame move to the source frame.

        Args:
          target: Number of the frame.
          source: Number of the other frame.

        Returns:
          A `PairTruth`; visibility is decided by rays cast from the source camera.
        """
        here, there, hits = self.camera(target), self.camera(source), _flat(self._hits(target))
        pixels = self._pixels
        in_sky = hits.surface == SKY
        rays = here.directions(pixels).T
        points = here.position + np.where(in_sky, 1.0, hits.depth)[:, None] * rays
        moving = self._moving(hits.surface)
        moved = points.copy()
        moved[moving] += (source - target) * self.boxes.velocity[hits.surface[moving]]

        flow, depth = self._positions(there, moved, rays, in_sky)
        rigid, _ = self._positions(there, points, rays, in_sky)
        inside = (depth > 0) & np.all((flow >= 0) & (flow <= (self.width - 1, self.height - 1)), axis=-1)
        visibility = np.where(inside, VISIBLE, OUT_OF_VIEW).astype(np.uint8)
        first = cast(self.boxes, source, there, flow[inside])
        expected = np.where(in_sky, np.inf, depth)[inside]
        # Rounding moves a depth by about 1e-12 of it.
        hidden = first.depth < (1 - 1e-6) * np.minimum(expected, 1e9)
        by_mover = self._moving(first.surface)
        visibility[np.nonzero(inside)[0][hidden]] = np.where(by_mover, HIDDEN_BY_MOVER, HIDDEN_BY_STATIC)[hidden]
        shape = self.height, self.width
        return PairTruth(
            (flow - pixels).reshape(*shape, 2),
            (rigid - pixels).reshape(*shape, 2),
            visibility.reshape(shape),
            moving.reshape(shape),
        )

    def source_from_target(self, target: int, source: int) -> np.ndarray:
        """Returns the pose [4, 4] that maps points from the target camera to the source camera."""
        return np.linalg.inv(self.poses[source]) @ self.poses[target]

    def _hits(self, frame: int) -> Hits:
        return cast_grid(self.boxes, frame, self.camera(frame), np.arange(self.width), np.arange(self.height))

    def _moving(self, surface: np.ndarray) -> np.ndarray:
        on_box = surface > GROUND
        return on_box & self.boxes.moving[np.where(on_box, surface, 0)]

    @staticmethod
    def _positions(camera: Camera, points: np.ndarray, rays: np.ndarray, in_sky: np.ndarray):
        """Pixels and depths of points, and of rays for what is infinitely far away."""
        far = rays @ camera.world_from_camera[:3, :3]
        near = (points - camera.position) @ camera.world_from_camera[:3, :3]
        return camera.project(np.where(in_sky[:, None], far, near))


def _flat(hits: Hits) -> Hits:
    return Hits(hits.depth.ravel(), hits.surface.ravel(), hits.face.ravel())


def _scaled_intrinsics(height: int, width: int) -> np.ndarray:
    """KITTI's field of view at another size, pixel centres at integers, looking straight ahead in the middle column.

    KITTI looks 11 pixels beside it, which a pose network that is not told the intrinsics takes for a motion to the side:
    3 to 6 mm a frame after 600 steps on streets.
    """
    scale_y, scale_x = height / _KITTI_SIZE[0], width / _KITTI_SIZE[1]
    K = np.diag([scale_x, scale_y, 1.0]) @ _KITTI_K
    K[0, 2] = (width - 1) / 2
    return K


def _drive(seed: int, frames: int) -> np.ndarray:
    """Poses [frames, 4, 4] of a car that keeps to its lane, weaving gently, with the pitch, roll and heave of a real one.

    It moves a little more steadily than KITTI's does on odometry sequence 03.
    """
    rng = np.random.default_rng((seed, 0))
    time = np.arange(frames)

    def wave(amplitude: float, shortest: float, longest: float, along: np.ndarray = time) -> np.ndarray:
        return amplitude * np.sin(2 * np.pi * along / rng.uniform(shortest, longest) + rng.uniform(0, 6.3))

    speed = rng.uniform(0.55, 1.1)
    z = speed * (time + wave(1.2, 30, 50))
    z -= z[0]
    x = LANE_CENTRE + wave(rng.uniform(0.25, 0.45), 38, 55, z)
    heading = np.arctan2(np.gradient(x), np.gradient(z)) if frames > 1 else np.zeros(1)
    pitch = wave(0.005, 8, 13) + wave(0.004, 17, 30)
    roll = wave(0.004, 9, 14) + wave(0.003, 20, 40)
    y = -CAMERA_HEIGHT + wave(0.012, 9, 16)
    # The axle follows the lane; the camera swings sideways ahead of it.
    x = x + _CAMERA_AHEAD_OF_AXLE * np.sin(heading)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = _turn(heading, 1) @ _turn(pitch, 0) @ _turn(roll, 2)
    poses[:, :3, 3] = np.column_stack([x, y, z])
    return poses


def _turn(angle: np.ndarray, axis: int) -> np.ndarray:
    """Rotations [N, 3, 3] about x, y or z."""
    cosine, sine = np.cos(angle), np.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.tile(np.eye(3), (len(angle), 1, 1))
    rotation[:, first, first] = rotation[:, second, second] = cosine
    rotation[:, first, second], rotation[:, second, first] = -sine, sine
    return rotation
