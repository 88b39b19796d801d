import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry

K = jnp.array([[100.0, 0.0, 32.0], [0.0, 50.0, 16.0], [0.0, 0.0, 1.0]])


def test_pixel_grid_is_x_then_y():
    grid = geometry.pixel_grid(2, 3)
    np.testing.assert_array_equal(grid[..., 0], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(grid[..., 1], [[0, 0, 0], [1, 1, 1]])


def test_backproject_worked_example():
    points = geometry.backproject(jnp.full((17, 43), 4.0), K)
    np.testing.assert_allclose(points[16, 32], [0, 0, 4], atol=1e-6)  # the principal point looks straight ahead
    np.testing.assert_allclose(points[6, 42], [0.4, -0.8, 4], rtol=1e-6)  # 10 px right of it, 10 px above


def test_skew_is_undone():
    skewed = K.at[0, 1].set(7.0)
    pixels, _ = geometry.project(geometry.backproject(jnp.full((8, 9), 3.0), skewed), skewed)
    np.testing.assert_allclose(pixels, geometry.pixel_grid(8, 9), atol=1e-4)


def test_project_worked_example():
    pixels, z = geometry.project(jnp.array([[0.4, -0.8, 4.0], [0.0, 0.0, -1.0]]), K)
    np.testing.assert_allclose(pixels[0], [42, 6], rtol=1e-6)
    np.testing.assert_allclose(z, [4, -1])
    assert z[1] <= geometry.MIN_Z


def test_project_stays_finite_for_points_without_a_pixel():
    points = jnp.array([[jnp.nan, 0.0, 1.0], [1.0, 2.0, 0.0], [1.0, 1.0, -5.0], [jnp.inf, 0.0, jnp.inf]])
    pixels, z = geometry.project(points, K)
    assert np.isfinite(pixels).all() and (z <= geometry.MIN_Z).all()
    gradients = jax.grad(lambda p, k: geometry.project(p, k)[0].sum(), argnums=(0, 1))(points, K)
    assert all(np.isfinite(g).all() for g in gradients)


def test_transform_points_rotates_then_translates():
    turn_left = jnp.array([[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(geometry.transform_points(turn_left, jnp.array([1.0, 0.0, 0.0])), [1, 3, 3])


def test_image_edits_move_the_projection_with_the_pixel():
    """A point is seen at the edited place of its pixel: scaled, cropped, mirrored."""
    point = jnp.array([0.3, -0.2, 2.0])
    (x, y), _ = geometry.project(point, K)
    edits = [
        (geometry.scale_intrinsics(K, 0.5, 2.0), (0.5 * x, 2.0 * y)),
        (geometry.crop_intrinsics(K, 5, 3), (x - 5, y - 3)),
        (geometry.flip_intrinsics(K, 64), None),
    ]
    for edited, want in edits[:2]:
        np.testing.assert_allclose(geometry.project(point, edited)[0], want, rtol=1e-6)
    mirrored = point * jnp.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(geometry.project(mirrored, edits[2][0])[0], (63 - x, y), rtol=1e-6)


def test_flip_twice_is_nothing():
    skewed = K.at[0, 1].set(0.4)
    np.testing.assert_allclose(geometry.flip_intrinsics(geometry.flip_intrinsics(skewed, 64), 64), skewed)


def test_a_longer_focal_length_moves_pixels_away_from_the_principal_point():
    points = jnp.array([[0.4, -0.8, 4.0], [0.0, 0.0, 2.0]])
    skewed = K.at[0, 1].set(7.0)
    for camera in (K, skewed):
        before, _ = geometry.project(points, camera)
        after, _ = geometry.project(points, geometry.scale_focal_length(camera, 1.5))
        np.testing.assert_allclose(after - camera[:2, 2], 1.5 * (before - camera[:2, 2]), atol=1e-5)


def test_intrinsics_of_integers_and_of_half_precision_lose_nothing():
    whole = np.array([[100, 0, 32], [0, 50, 16], [0, 0, 1]])
    for K_of in (whole, whole.tolist(), jnp.asarray(whole, jnp.bfloat16), jnp.asarray(whole, jnp.float16)):
        np.testing.assert_array_equal(geometry.crop_intrinsics(K_of, 3.5, 0.5)[:2, 2], [28.5, 15.5])
        np.testing.assert_array_equal(geometry.scale_intrinsics(K_of, 0.375, 1.0)[0], [37.5, 0, 12])
        np.testing.assert_array_equal(geometry.flip_intrinsics(K_of, 704)[0, 2], 671)  # bfloat16 has no 671
        assert geometry.scale_focal_length(K_of, 0.125)[0, 0] == 12.5


def test_projection_of_half_precision_points_is_as_sharp_as_its_input():
    points = jnp.array([[1.25, -0.75, 3.0]], jnp.bfloat16)
    wide = jnp.array([[1000.0, 0, 640], [0, 1000.0, 360], [0, 0, 1]])
    pixels, _ = geometry.project(points, wide)
    np.testing.assert_allclose(pixels, [[1250 / 3 + 640, 110]], rtol=1e-6)
