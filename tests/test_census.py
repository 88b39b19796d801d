import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.census import census_error

SAME = 0.01**0.4


def image(seed=0, size=(12, 14)):
    return jnp.asarray(np.random.default_rng(seed).uniform(-0.8, 0.8, (*size, 3)), jnp.float32)


def test_an_image_agrees_with_itself_and_with_itself_in_other_light():
    np.testing.assert_allclose(census_error(image(), image()), SAME, rtol=1e-6)
    # Differences of grey levels are mostly far above 1, which the census takes for signs alone.
    other_light = 0.2 + 0.6 * image()
    assert np.mean(census_error(image(), other_light)) < 0.3 * np.mean(census_error(image(), image(1)))


def test_one_pixel_by_hand():
    """A single brighter pixel: it disagrees with all its neighbours, and each of them with it alone."""
    flat, dot = jnp.zeros((9, 9, 3)), jnp.zeros((9, 9, 3)).at[4, 4].set(1.0)
    d = 127.5 * (0.2989 + 0.587 + 0.114)
    disagreement = (c := d / np.sqrt(0.81 + d**2)) ** 2 / (0.1 + c**2)
    error = census_error(flat, dot)
    np.testing.assert_allclose(error[4, 4], (disagreement + 0.01) ** 0.4, rtol=1e-5)
    np.testing.assert_allclose(error[2, 3], (disagreement / 48 + 0.01) ** 0.4, rtol=1e-5)
    np.testing.assert_allclose(error[0, 4], SAME, rtol=1e-5)


def test_it_is_symmetric():
    np.testing.assert_allclose(census_error(image(), image(1)), census_error(image(1), image()), rtol=1e-6)


def test_gradient_is_that_of_finite_differences():
    a, b, direction = (0.02 * image(seed) for seed in (0, 1, 2))
    value = lambda step: jnp.mean(census_error(a + step * direction, b))  # noqa: E731
    numeric = (value(0.01) - value(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(value)(0.0), numeric, rtol=0.02)


@pytest.mark.parametrize("size", [(1, 1), (2, 9)])
def test_images_smaller_than_the_neighbourhood(size):
    assert np.isfinite(jax.grad(lambda a: jnp.sum(census_error(a, image(1, size))))(image(0, size))).all()
