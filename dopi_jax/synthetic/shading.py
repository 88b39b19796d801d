"""The colour of what a ray hits: paint, texture, windows, lane marks, and the light on each side of a box."""

import dataclasses

import numpy as np

from dopi_jax.synthetic.raycast import GROUND, SKY, Camera, Hits, to_box_axes
from dopi_jax.synthetic.scene import ROAD_HALF_WIDTH, SIDEWALK_WIDTH, Boxes
from dopi_jax.synthetic.textures import fractal_noise, stripes

_SUN = np.array([0.45, -0.8, -0.4], np.float32) / np.linalg.norm([0.45, -0.8, -0.4]).astype(np.float32)
_AMBIENT = 0.45
_STOREY = 3.0  # metres
_DASH, _DASH_PERIOD = 3.0, 9.0  # metres
_HAZE_DISTANCE = 220.0  # metres
_HAZE, _BLUE, _GREEN, _REFLECTION = np.float32(
    [[0.62, 0.68, 0.75], [0.35, 0.5, 0.8], [0.7, 1.1, 0.5], [0.10, 0.12, 0.16]]
)[..., None]
# Brightness and contrast of road and sidewalk, and of what lies beyond.
_PAVING, _PAVING_CONTRAST = np.float32([[0.13, 0.33], [0.28, 0.28]])
_LAWN, _LAWN_CONTRAST = np.float32([0.2, 0.5])


def shade(boxes: Boxes, time: float, camera: Camera, pixels: np.ndarray, hits: Hits, seed: int) -> np.ndarray:
    """Returns the light that comes back along rays.

    Args:
      boxes: The scene's boxes.
      time: In frames.
      camera: The camera.
      pixels: Positions [N, 2].
      hits: What the rays through them hit, of shape [N].
      seed: Of the street's textures.

    Returns:
      float32 [N, 3], linear RGB, about 0 to 1.
    """
    # Single precision is finer than any texture, a tenth of a millimetre at the end of a street.
    boxes = Boxes(*(np.float32(x) if x.dtype == np.float64 else x for x in dataclasses.astuple(boxes)))
    rays = np.float32(camera.directions(pixels))
    depth = np.float32(np.where(np.isfinite(hits.depth), hits.depth, 1.0))
    points = np.float32(camera.position)[:, None] + depth * rays
    spacing = np.float32(1 / camera.K[0, 0])  # of the rays, in metres at 1 m
    light = np.empty((3, len(pixels)), np.float32)

    of = np.nonzero(hits.surface == SKY)[0]
    light[:, of] = _sky(rays[:, of], spacing, seed)

    of = np.nonzero(hits.surface == GROUND)[0]
    # Seen at a slant a pixel is long: the geometric mean of its sides, or far asphalt would have no texture at all.
    footprint = depth[of] * spacing / np.sqrt(np.clip(rays[1, of], 1e-3, None))
    light[:, of] = _ground(points[::2, of], footprint, seed)

    of = np.nonzero(hits.surface > GROUND)[0]
    surface, face = hits.surface[of], hits.face[of].astype(np.intp)
    local = to_box_axes(points[:, of] - np.float32(boxes.centre_at(time)).T[:, surface], boxes.yaw[surface])
    normals = to_box_axes(np.eye(3, dtype=np.float32)[:, face] * np.sign(local), -boxes.yaw[surface])
    facing = -np.sum(rays[:, of] * normals, axis=0) / np.linalg.norm(rays[:, of], axis=0)
    footprint = depth[of] * spacing / np.sqrt(np.clip(facing, 0.05, 1))
    light[:, of] = _box(boxes, surface, face, local, normals, footprint, seed)

    haze = np.where(np.isfinite(hits.depth), 1 - np.exp(-depth / _HAZE_DISTANCE), np.float32(0))
    return (light * (1 - haze) + haze * _HAZE).T


def _sky(rays: np.ndarray, spacing: float, seed: int) -> np.ndarray:
    elevation = np.arctan2(-rays[1], np.hypot(rays[0], rays[2]))
    azimuth = np.arctan2(rays[0], rays[2])
    clouds = fractal_noise(azimuth, 3 * elevation, seed + 5, np.full_like(azimuth, spacing), coarsest=0.5)
    share = np.clip(elevation * 1.6, 0, 1)
    return (1 - share) * _HAZE + share * _BLUE + 0.06 * clouds


def _ground(points: np.ndarray, footprint: np.ndarray, seed: int) -> np.ndarray:
    x, z = points
    road = np.abs(x) < ROAD_HALF_WIDTH
    sidewalk = ~road & (np.abs(x) < ROAD_HALF_WIDTH + SIDEWALK_WIDTH)
    kinds = [road, sidewalk]
    noise = fractal_noise(x, z, seed + np.select(kinds, [1, 2], 3), footprint, coarsest=8.0)
    brightness = np.select(kinds, _PAVING, _LAWN) * (1 + np.select(kinds, _PAVING_CONTRAST, _LAWN_CONTRAST) * noise)
    light = brightness * np.where(road | sidewalk, np.float32(1), _GREEN)
    dashes = stripes(z % _DASH_PERIOD, _DASH_PERIOD / 2, _DASH, footprint) * stripes(x, 0.0, 0.16, footprint)
    edges = stripes(np.abs(x), ROAD_HALF_WIDTH - 2.2, 0.12, footprint)
    kerb = stripes(np.abs(x), ROAD_HALF_WIDTH, 0.15, footprint)
    paint = np.clip(dashes + edges, 0, 1)
    light = light * (1 - paint) + paint * 0.6
    return light * (1 - 0.6 * kerb)


def _box(
    boxes: Boxes,
    surface: np.ndarray,
    face: np.ndarray,
    local: np.ndarray,
    normals: np.ndarray,
    footprint: np.ndarray,
    seed: int,
) -> np.ndarray:
    half_height = boxes.half[surface, 1]
    # The two coordinates that run along the face; on sides v is the height.
    u = np.where(face == 0, local[2], local[0])
    v = np.where(face == 1, local[2], local[1])
    noise = fractal_noise(u, v, seed + 11 + 7 * surface + 3 * face, footprint, coarsest=4.0)
    colour = boxes.colour.T[:, surface] * (1 + boxes.contrast[surface] * noise)
    glass = boxes.windows[surface] & (face != 1)
    columns = stripes(u % _STOREY, _STOREY / 2, 1.3, footprint)
    rows = stripes((v - half_height) % _STOREY, _STOREY / 2, 1.5, footprint)
    pane = glass * columns * rows
    colour = colour * (1 - pane) + pane * _REFLECTION * (1 + 0.4 * noise)
    direct = np.clip(_SUN @ normals, 0, None)
    return colour * (_AMBIENT + 0.75 * direct)
