import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry

H, W = 7, 9
K = jnp.array([[12.0, 0.3, 4.0], [0.0, 11.0, 3.0], [0.0, 0.0, 1.0]])


def plane(normal, offset):
    """Depth of the plane n . X = offset at every pixel."""
    rays = geometry.backproject(jnp.ones((H, W)), K)
    return offset / (rays @ jnp.asarray(normal))


@pytest.mark.parametrize("normal", [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (0.0, -0.6, -0.8), (0.48, 0.6, -0.64)])
@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_a_plane_has_one_normal_in_any_unit(normal, unit):
    normals, valid = geometry.depth_normals(unit * plane(normal, -5.0), K)
    assert valid.all()
    np.testing.assert_allclose(normals, np.broadcast_to(normal, (H, W, 3)), atol=2e-4)


def test_a_depth_that_is_none_takes_its_neighbours_normals_with_it():
    depth = plane((0.0, 0.0, -1.0), -5.0)
    for odd in (jnp.nan, 0.0, -3.0, jnp.inf):
        normals, valid = geometry.depth_normals(depth.at[3, 4].set(odd), K)
        without = {(3, 4), (2, 4), (4, 4), (3, 3), (3, 5)}
        assert {tuple(place) for place in np.argwhere(~np.asarray(valid))} == without
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), valid, atol=1e-6)
        gradients = jax.grad(lambda d, K: geometry.depth_normals(d, K)[0].sum(), argnums=(0, 1))(depth.at[3, 4].set(odd), K)
        assert all(np.isfinite(g).all() for g in gradients)


def test_a_row_of_pixels_is_no_surface():
    normals, valid = geometry.depth_normals(jnp.full((1, 5), 2.0), K)
    assert not valid.any() and not np.asarray(normals).any()


def test_the_slope_of_normals_agrees_with_differences():
    depth = plane((0.48, 0.6, -0.64), -5.0)
    change = jnp.sin(jnp.arange(H * W, dtype=jnp.float32)).reshape(H, W)

    def component(amount):
        return geometry.depth_normals(depth + amount * change, K)[0][3, 4, 0]

    difference = (component(0.01) - component(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(component)(0.0), difference, rtol=0.01)


def test_a_cloud_is_in_world_coordinates_in_the_order_of_pixels():
    depth = jnp.full((H, W), 3.0).at[0, 1].set(jnp.nan)
    world_from_camera = geometry.pose_from_vector(jnp.array([1.0, 2, 3, 0, 0, 0]))
    points, valid = geometry.point_cloud(depth, K, world_from_camera)
    np.testing.assert_array_equal(np.flatnonzero(~np.asarray(valid)), [1])
    np.testing.assert_allclose(points[3 * W + 4], [1, 2, 6], atol=1e-6)  # straight ahead
    np.testing.assert_allclose(points.reshape(H, W, 3)[5, 6], geometry.backproject(depth, K)[5, 6] + np.array([1, 2, 3]))


def test_a_depth_map_is_its_own_cloud_seen_from_its_camera():
    depth = 3 + jax.random.uniform(jax.random.key(0), (H, W))
    points, _ = geometry.point_cloud(depth, K)
    np.testing.assert_allclose(geometry.depth_from_points(points, K, H, W), depth, rtol=1e-6)


def test_of_points_in_one_pixel_the_nearest_counts_and_others_are_left_out():
    points = jnp.array([[0, 0, 5.0], [0.1, 0, 4.0], [0, 0, -1.0], [9.0, 0, 1.0], [jnp.nan, 0, 1.0]])
    depth = geometry.depth_from_points(points, K, H, W)
    wanted = np.zeros((H, W))
    wanted[3, 4] = 4.0
    np.testing.assert_allclose(depth, wanted)
