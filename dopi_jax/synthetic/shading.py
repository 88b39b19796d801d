"""The colour of what a ray hits: paint, texture, windows, lane marks, and the light on each side of a box."""

import numpy as np

from dopi_jax.synthetic.raycast import GROUND, SKY, Camera, Hits, to_box_axes
from dopi_jax.synthetic.scene import ROAD_HALF_WIDTH, SIDEWALK_WIDTH, Boxes
from dopi_jax.synthetic.textures import fractal_noise, stripes

_SUN = np.array([0.45, -0.8, -0.4]) / np.linalg.norm([0.45, -0.8, -0.4])
_AMBIENT = 0.45
_STOREY = 3.0  # metres
_DASH, _DASH_PERIOD = 3.0, 9.0  # metres
_HAZE = np.array([0.62, 0.68, 0.75])
_HAZE_DISTANCE = 220.0  # metres


def shade(boxes: Boxes, time: float, camera: Camera, pixels: np.ndarray, hits: Hits, seed: int) -> np.ndarray:
    """Returns the light that comes back along rays.

    Args:
      boxes: The scene's boxes.
      time: In frames.
      camera: The camera.
      pixels: Positions [N, 2].
      hits: What the rays through them hit.
      seed: Of the street's textures.

    Returns:
      Linear RGB [N, 3], about 0 to 1.
    """
    rays = camera.directions(pixels)
    light = np.empty((len(pixels), 3))
    spacing = 0.5 / camera.K[0, 0]  # of the four rays of a pixel, in metres at 1 m
    for of_surface, colours in (
        (hits.surface == SKY, _sky),
        (hits.surface == GROUND, _ground),
        (hits.surface > GROUND, _boxes),
    ):
        if of_surface.any():
            depth, surface = hits.depth[of_surface], hits.surface[of_surface]
            rays_there = rays[of_surface]
            points = camera.position + np.where(np.isfinite(depth), depth, 1.0)[:, None] * rays_there
            light[of_surface] = colours(boxes, time, points, rays_there, depth, surface, spacing, seed)
    haze = np.where(np.isfinite(hits.depth), 1 - np.exp(-np.minimum(hits.depth, 1e4) / _HAZE_DISTANCE), 0.0)[:, None]
    return light * (1 - haze) + haze * _HAZE


def _sky(_boxes, _time, _points, rays, _depth, _surface, spacing, seed) -> np.ndarray:
    elevation = np.arctan2(-rays[:, 1], np.hypot(rays[:, 0], rays[:, 2]))
    azimuth = np.arctan2(rays[:, 0], rays[:, 2])
    clouds = fractal_noise(azimuth, 3 * elevation, seed + 5, np.full(len(rays), spacing), coarsest=0.5)
    blue = np.array([0.35, 0.5, 0.8])
    share = np.clip(elevation * 1.6, 0, 1)[:, None]
    return (1 - share) * _HAZE + share * blue + 0.06 * clouds[:, None]


def _ground(_boxes, _time, points, rays, depth, _surface, spacing, seed) -> np.ndarray:
    x, z = points[:, 0], points[:, 2]
    # Seen at a slant a pixel is long: the geometric mean of its sides, or far asphalt would have no texture at all.
    footprint = depth * spacing / np.sqrt(np.clip(rays[:, 1], 1e-3, None))
    road = np.abs(x) < ROAD_HALF_WIDTH
    sidewalk = ~road & (np.abs(x) < ROAD_HALF_WIDTH + SIDEWALK_WIDTH)
    kinds = [road, sidewalk]
    noise = fractal_noise(x, z, seed + np.select(kinds, [1, 2], 3), footprint, coarsest=8.0)
    brightness = np.select(kinds, [0.13, 0.33], 0.2) * (1 + np.select(kinds, [0.28, 0.28], 0.5) * noise)
    light = brightness[:, None] * np.where((road | sidewalk)[:, None], 1.0, np.array([0.7, 1.1, 0.5]))
    dashes = stripes(z % _DASH_PERIOD, _DASH_PERIOD / 2, _DASH, footprint) * stripes(x, 0.0, 0.16, footprint)
    edges = stripes(np.abs(x), ROAD_HALF_WIDTH - 2.2, 0.12, footprint)
    kerb = stripes(np.abs(x), ROAD_HALF_WIDTH, 0.15, footprint)
    paint = np.clip(dashes + edges, 0, 1)[:, None]
    light = light * (1 - paint) + paint * 0.6
    return light * (1 - 0.6 * kerb[:, None])


def _boxes(boxes, time, points, rays, depth, surface, spacing, seed) -> np.ndarray:
    yaw, half = boxes.yaw[surface], boxes.half[surface]
    local = to_box_axes(points - boxes.centre_at(time)[surface], yaw)
    face = np.argmax(np.abs(local) / half, axis=-1)
    sign = np.sign(np.take_along_axis(local, face[:, None], 1)[:, 0])
    normals = to_box_axes(np.eye(3)[face] * sign[:, None], -yaw)
    facing = np.clip(-np.sum(rays * normals, axis=-1) / np.linalg.norm(rays, axis=-1), 0.05, 1)
    footprint = depth * spacing / np.sqrt(facing)
    # The two coordinates that run along the face; on sides v is the height.
    u = np.where(face == 0, local[:, 2], local[:, 0])
    v = np.where(face == 1, local[:, 2], local[:, 1])
    noise = fractal_noise(u, v, seed + 11 + 7 * surface + 3 * face, footprint, coarsest=4.0)
    colour = boxes.colour[surface] * (1 + boxes.contrast[surface] * noise)[:, None]
    glass = boxes.windows[surface] & (face != 1)
    columns = stripes(u % _STOREY, _STOREY / 2, 1.3, footprint)
    rows = stripes((v - half[:, 1]) % _STOREY, _STOREY / 2, 1.5, footprint)
    pane = (glass * columns * rows)[:, None]
    reflection = np.array([0.10, 0.12, 0.16]) * (1 + 0.4 * noise)[:, None]
    colour = colour * (1 - pane) + pane * reflection
    direct = np.clip(normals @ _SUN, 0, None)
    return colour * (_AMBIENT + 0.75 * direct)[:, None]
