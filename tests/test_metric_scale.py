import numpy as np
import pytest

from dopi_jax.metric_scale import camera_height, metres_per_unit

H, W = 96, 320
K = np.array([[180.0, 0, 160], [0, 180.0, 44], [0, 0, 1]])


def road(height, tilt=0.0, noise=0.0):
    """Depth of a road that lies so far below a camera tilted down by so many radians, and 80 where it is not seen."""
    y, x = np.mgrid[:H, :W]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(K).T
    down = rays @ [0, np.cos(tilt), np.sin(tilt)]
    depth = np.where(down > 0.01, height / np.maximum(down, 0.01), 80.0)
    return depth * np.exp(np.random.default_rng(0).normal(0, noise, (H, W)))


@pytest.mark.parametrize("tilt", [0.0, 0.1, -0.05])
def test_the_height_above_a_road_is_found(tilt):
    assert camera_height(road(1.65, tilt), K) == pytest.approx(1.65, rel=1e-6)
    assert camera_height(road(0.03, tilt, 0.02), K) == pytest.approx(0.03, rel=0.01)


def test_a_car_ahead_hides_a_part_of_it():
    depth = road(1.5)
    depth[50:80, 130:190] = 6.0
    assert camera_height(depth, K) == pytest.approx(1.5, rel=0.02)


def test_where_there_is_no_road_there_is_no_height():
    assert camera_height(np.full((H, W), 10.0), K) is None  # a wall
    assert camera_height(np.random.default_rng(0).uniform(1, 50, (H, W)), K) is None
    assert camera_height(np.full((H, W), np.nan), K) is None


def test_metres_per_unit_by_hand():
    assert metres_per_unit([0.1, None, 0.2, 0.3], 1.6) == pytest.approx(8.0)
    assert metres_per_unit([None], 1.6) is None
    assert metres_per_unit([0.1, 0.2, 0.3, 0.5], [1.0, 2.0, 0.001, 5.0]) == pytest.approx(10.0)  # where the camera stands,
    assert metres_per_unit([0.3], [0.0]) is None  # nothing is told
