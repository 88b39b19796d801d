"""What stands and moves on the street: boxes on a ground plane, drawn from a seed.

World: x to the right, y down, z along the street, in metres; the ground is y = 0. Time is in frames.
"""

import dataclasses

import numpy as np

ROAD_HALF_WIDTH = 5.5  # two lanes and a row of parked cars on each side
SIDEWALK_WIDTH = 2.5
LANE_CENTRE = 1.6  # of our lane; the oncoming one lies at its negative
_AHEAD = 130.0  # how far the street goes on beyond the last frame


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Boxes that turn about the vertical axis and move at constant velocity.

    Attributes:
      centre: [N, 3] at time 0.
      half: Half of the sides [N, 3] along the box's own axes.
      yaw: [N], radians about y; 0 lines the box up with the world.
      velocity: [N, 3] in metres a frame, 0 for what stands.
      colour: [N, 3], linear RGB in [0, 1].
      contrast: [N], of the texture.
      windows: boolean [N], whether sides have rows of windows.
    """

    centre: np.ndarray
    half: np.ndarray
    yaw: np.ndarray
    velocity: np.ndarray
    colour: np.ndarray
    contrast: np.ndarray
    windows: np.ndarray

    @property
    def moving(self) -> np.ndarray:
        """Boolean [N]."""
        return np.any(self.velocity != 0, axis=-1)

    def centre_at(self, time: float) -> np.ndarray:
        """Centres [N, 3] at a time."""
        return self.centre + time * self.velocity


class _Builder:
    """Collects boxes that stand on the ground."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self._rows: list[tuple] = []

    def add(self, x, z, size, colour, *, bottom=0.0, yaw=0.0, velocity=(0.0, 0.0), contrast=0.35, windows=False) -> None:
        """Adds a box of size (width, height, length) whose underside is `bottom` above the ground."""
        width, height, length = size
        centre = (x, -bottom - height / 2, z)
        half = (width / 2, height / 2, length / 2)
        self._rows.append((centre, half, yaw, (velocity[0], 0.0, velocity[1]), colour, contrast, windows))

    def boxes(self) -> Boxes:
        columns = [np.asarray(column) for column in zip(*self._rows, strict=True)]
        return Boxes(*columns)

    def grey(self, low: float, high: float, tint: float = 0.15) -> np.ndarray:
        """A random colour, not far from grey."""
        return np.clip(self.rng.uniform(low, high) * (1 + tint * self.rng.uniform(-1, 1, 3)), 0.02, 1)


def make_boxes(seed: int, length: float, frames: int, movers: int | None = None) -> Boxes:
    """Returns the boxes of a street.

    Args:
      seed: Each is another street.
      length: How far the camera drives, in metres.
      frames: For how many frames; movers keep out of the camera's way for so long.
      movers: Number of moving cars and pedestrians; drawn from 0 to 3 if None.

    Returns:
      `Boxes`.
    """
    build = _Builder(np.random.default_rng((seed, 1)))
    end = length + _AHEAD
    for side in (-1, 1):
        _houses(build, side, end)
        _parked_cars(build, side, end)
        _poles_and_trees(build, side, end)
    count = build.rng.integers(0, 4) if movers is None else movers
    for index in range(count):
        _mover(build, index, length / max(frames - 1, 1), frames)
    return build.boxes()


def _houses(build: _Builder, side: int, end: float) -> None:
    rng = build.rng
    front = ROAD_HALF_WIDTH + SIDEWALK_WIDTH
    z = rng.uniform(-25, -10)
    while z < end:
        length, depth, height = rng.uniform(7, 18), 9.0, rng.uniform(4.5, 13)
        setback = rng.choice([0.0, rng.uniform(0.5, 4.0)])
        size = (depth, height, length)
        build.add(side * (front + setback + depth / 2), z + length / 2, size, build.grey(0.25, 0.75), windows=True)
        z += length + rng.choice([0.0, rng.uniform(1.5, 8)])
    # What closes the view at the end of the street.
    build.add(side * 12.0, end + 8, (24.0, rng.uniform(6, 12), 8.0), build.grey(0.3, 0.6), windows=True)


def _parked_cars(build: _Builder, side: int, end: float) -> None:
    rng = build.rng
    z = rng.uniform(-8, 6)
    while z < end:
        if rng.random() < 0.6:
            _car(build, side * (ROAD_HALF_WIDTH - 1.1 + rng.uniform(-0.15, 0.15)), z, yaw=rng.normal(0, 0.02))
        z += rng.uniform(5.2, 11)


def _car(build: _Builder, x: float, z: float, yaw: float = 0.0, velocity: tuple[float, float] = (0.0, 0.0)) -> None:
    rng = build.rng
    width, length = rng.uniform(1.6, 1.85), rng.uniform(3.8, 4.6)
    paint = np.clip(rng.uniform(0.08, 0.8) * (1 + 0.6 * rng.uniform(-1, 1, 3)), 0.03, 0.95)
    build.add(x, z, (width, 0.7, length), paint, bottom=0.2, yaw=yaw, velocity=velocity)
    cabin = (width - 0.2, 0.6, 0.55 * length)
    build.add(x, z, cabin, 0.3 * paint + 0.05, bottom=0.9, yaw=yaw, velocity=velocity, contrast=0.5)


def _poles_and_trees(build: _Builder, side: int, end: float) -> None:
    rng = build.rng
    z = rng.uniform(-5, 12)
    while z < end:
        x = side * (ROAD_HALF_WIDTH + rng.uniform(0.4, 0.9))
        if rng.random() < 0.5:
            build.add(x, z, (0.22, rng.uniform(4, 6.5), 0.22), build.grey(0.15, 0.5))
        else:
            build.add(x, z, (0.35, 2.6, 0.35), np.array([0.2, 0.15, 0.1]), yaw=rng.uniform(0, 1.5))
            side_length = rng.uniform(1.6, 2.6)
            leaves = np.array([0.12, 0.3, 0.1]) * rng.uniform(0.7, 1.5)
            crown = (side_length, rng.uniform(1.8, 3.2), side_length)
            build.add(x, z, crown, leaves, bottom=2.4, yaw=rng.uniform(0, 1.5), contrast=0.6)
        z += rng.uniform(9, 24)


def _mover(build: _Builder, index: int, speed: float, frames: int) -> None:
    """A car ahead of us, an oncoming one, or a pedestrian; none comes nearer than a few metres within so many frames."""
    rng = build.rng
    kind = rng.choice(["ahead", "oncoming", "pedestrian"])
    if kind == "ahead":
        its_speed = rng.uniform(0.6, 1.3) * speed
        closest = 7 + 6 * index
        z = closest + max(0.0, (speed - its_speed) * frames) + rng.uniform(0, 14)
        _car(build, LANE_CENTRE + rng.uniform(-0.2, 0.2), z, velocity=(0.0, its_speed))
    elif kind == "oncoming":
        z = rng.uniform(15, 40 + speed * frames)
        _car(build, -LANE_CENTRE + rng.uniform(-0.2, 0.2), z, velocity=(0.0, -rng.uniform(0.5, 1.2)))
    else:
        side = rng.choice([-1, 1])
        pace = rng.uniform(0.08, 0.16)
        velocity = (0.0, rng.choice([-pace, pace])) if rng.random() < 0.5 else (-side * pace, 0.0)
        x = side * (ROAD_HALF_WIDTH + rng.uniform(-0.5, 1.8))
        clothes = np.clip(rng.uniform(0.1, 0.9, 3), 0.05, 0.9)
        z = rng.uniform(8, 20) + (speed * frames if velocity[0] else 0.0)
        build.add(x, z, (0.5, 1.75, 0.4), clothes, velocity=velocity, contrast=0.6)
