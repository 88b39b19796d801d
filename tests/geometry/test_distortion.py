"""Lens models against OpenCV's."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry
from dopi_jax.errors import UserError

K = np.array([[300.0, 0.0, 160.0], [0.0, 290.0, 120.0], [0.0, 0.0, 1.0]])
LENSES = [
    ("radial_tangential", [-0.28, 0.07, 0.001, -0.002]),
    ("radial_tangential", [-0.28, 0.07, 0.001, -0.002, -0.01]),
    ("fisheye", [-0.02, 0.01, -0.005, 0.001]),
]
undistort = jax.jit(geometry.undistort_pixels, static_argnames="model")
PIXELS = np.random.default_rng(0).uniform([0, 0], [320, 240], (50, 2))


def by_opencv(pixels, model, lens):
    rays = np.linalg.solve(K, np.column_stack([pixels, np.ones(len(pixels))]).T).T
    if model == "fisheye":
        return cv2.fisheye.distortPoints(rays[:, None, :2], K, np.array(lens))[:, 0]
    return cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), K, np.array(lens))[0][:, 0]


@pytest.mark.parametrize(("model", "lens"), LENSES)
def test_agrees_with_opencv_and_back(model, lens):
    distorted = geometry.distort_pixels(PIXELS, K, lens, model)
    np.testing.assert_allclose(distorted, by_opencv(PIXELS, model, lens), atol=2e-3)
    np.testing.assert_allclose(undistort(distorted, K, lens, model=model), PIXELS, atol=5e-3)


def test_a_fisheye_sees_to_80_degrees():
    angles = np.radians([0.0, 0.01, 20, 60, 80])
    pixels = np.column_stack([160 + 300 * np.tan(angles), np.full(5, 120.0)])
    distorted = geometry.distort_pixels(pixels, K, np.zeros(4), "fisheye")
    np.testing.assert_allclose(distorted[:, 0], 160 + 300 * angles, rtol=1e-5)  # equidistant
    np.testing.assert_allclose(undistort(distorted, K, np.zeros(4), model="fisheye"), pixels, rtol=1e-4)


@pytest.mark.parametrize(("model", "lens"), LENSES)
def test_jacobians_undo_each_other_and_are_finite_on_the_axis(model, lens):
    for pixel in (PIXELS[0], K[:2, 2]):
        there = jax.jacobian(lambda p: geometry.distort_pixels(p, K, lens, model))(jnp.asarray(pixel, jnp.float32))
        distorted = geometry.distort_pixels(pixel, K, lens, model)
        back = jax.jacobian(lambda p: undistort(p, K, lens, model=model))(distorted)
        np.testing.assert_allclose(there @ back, np.eye(2), atol=1e-4)


def test_the_lens_gets_the_gradient_of_the_inverse():
    """Moving the coefficients and undistorting what they distorted changes nothing."""
    lens = jnp.array([-0.28, 0.07, 0.001, -0.002])
    pixels = jnp.asarray(PIXELS[:5], jnp.float32)

    def round_trip(lens):
        return undistort(geometry.distort_pixels(pixels, K, lens), K, lens)

    np.testing.assert_allclose(jax.jacobian(round_trip)(lens), 0, atol=0.02)
    alone = jax.jacobian(lambda lens: undistort(pixels, K, lens))(lens)
    assert np.abs(alone).max() > 10


def test_where_the_model_cannot_be_inverted_all_stays_finite():
    far = jnp.array([[5000.0, 120.0], [160.0, -9000.0]])
    for model, lens in LENSES:
        function = jax.vmap(jax.value_and_grad(lambda p, m=model, c=lens: geometry.undistort_pixels(p, K, c, m).sum()))
        assert all(np.isfinite(part).all() for part in function(far))


def test_an_image_is_rectified():
    """What a lens draws in at the rim comes back to where the pinhole camera has it."""
    lens = [-0.1, 0.0, 0.0, 0.0]
    grid = geometry.pixel_grid(240, 320)

    def pattern(p):
        return jnp.sin(p[..., :1] / 9) + jnp.cos(p[..., 1:] / 7)

    distorted_image = pattern(undistort(grid, K, lens))
    rectified, inside = geometry.bilinear_sample(distorted_image, geometry.distort_pixels(grid, K, lens))
    assert inside.all()
    np.testing.assert_allclose(rectified, pattern(grid), atol=0.03)


@pytest.mark.parametrize(
    ("lens", "model", "message"),
    [
        ([0.1, 0, 0], "radial_tangential", r"shape \(3,\): expected 4 or 5 numbers for 'radial_tangential'"),
        ([0.1, 0, 0, 0, 0], "fisheye", r"shape \(5,\): expected 4 numbers"),
        ([0.1, 0, 0, 0], "brown", "model is 'brown': expected 'radial_tangential' or 'fisheye'"),
    ],
)
def test_mistakes_are_told(lens, model, message):
    for function in (geometry.distort_pixels, geometry.undistort_pixels):
        with pytest.raises(UserError, match=message):
            function(PIXELS, K, lens, model)
