import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

from dopi_jax import geometry
from dopi_jax.errors import UserError

IMAGE = jnp.arange(12.0).reshape(3, 4, 1)  # value = x + 4 y


def sample(x, y, **options):
    values, inside = geometry.bilinear_sample(IMAGE, jnp.array([x, y], jnp.float32), **options)
    return float(values[0]), bool(inside)


@pytest.mark.parametrize(
    ("x", "y", "zeros", "border", "inside"),
    [
        (0, 0, 0, 0, True),
        (3, 2, 11, 11, True),
        (1.5, 0.5, 3.5, 3.5, True),
        (-1, 1, 0, 4, False),
        (5, 5, 0, 11, False),
        (3.5, 0, 0, 3, False),
        (jnp.nan, 1, 0, 0, False),
        (jnp.inf, 1, 0, 0, False),
        (1e30, -1e30, 0, 3, False),
    ],
    ids=["corner", "far corner", "between", "left", "outside", "ring", "nan", "infinite", "huge"],
)
def test_worked_examples(x, y, zeros, border, inside):
    assert sample(x, y, padding="zeros") == (zeros, inside)
    assert sample(x, y, padding="border") == (border, inside)


def test_rounding_at_the_border_is_not_outside():
    value, inside = sample(-1e-5, 2 + 1e-5, padding="zeros")
    assert inside and value == 8


def test_pixel_centres_return_the_image():
    image = jax.random.normal(jax.random.key(0), (7, 9, 3))
    values, inside = geometry.bilinear_sample(image, geometry.pixel_grid(7, 9))
    np.testing.assert_array_equal(values, image)
    assert inside.all()


def test_agrees_with_map_coordinates_in_value_and_gradient():
    image = jax.random.normal(jax.random.key(0), (7, 9, 3))
    pixels = jax.random.uniform(jax.random.key(1), (50, 2), maxval=jnp.array([8.0, 6.0]))

    def ours(p):
        return geometry.bilinear_sample(image, p)[0]

    def theirs(p):
        return jnp.stack([map_coordinates(image[..., c], [p[:, 1], p[:, 0]], order=1) for c in range(3)], -1)

    np.testing.assert_allclose(ours(pixels), theirs(pixels), atol=1e-5)
    weights = jax.random.normal(jax.random.key(2), (50, 3))
    np.testing.assert_allclose(
        jax.grad(lambda p: (ours(p) * weights).sum())(pixels),
        jax.grad(lambda p: (theirs(p) * weights).sum())(pixels),
        atol=1e-4,
    )


def test_gradient_at_integer_positions_is_the_slope():
    gradient = jax.vmap(jax.grad(lambda p: geometry.bilinear_sample(IMAGE, p)[0][0]))(
        geometry.pixel_grid(3, 4).reshape(-1, 2)
    )
    np.testing.assert_allclose(gradient, np.tile([1.0, 4.0], (12, 1)))


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_bad_positions_do_not_poison_gradients(padding):
    pixels = jnp.array([[1.2, 0.7], [jnp.nan, 1.0], [-50.0, jnp.inf]])
    gradients = jax.grad(lambda i, p: geometry.bilinear_sample(i, p, padding)[0].sum(), argnums=(0, 1))(IMAGE, pixels)
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(gradients[1][0], [1, 4], rtol=1e-6)
    np.testing.assert_array_equal(gradients[1][1:], 0)


def test_images_of_one_row_or_column():
    np.testing.assert_allclose(geometry.bilinear_sample(IMAGE[:1], jnp.array([1.5, 0.0]))[0], [1.5])
    np.testing.assert_allclose(geometry.bilinear_sample(IMAGE[:, :1], jnp.array([0.0, 1.5]))[0], [6.0])


def test_unknown_padding_is_named():
    with pytest.raises(UserError, match="'reflect'.*'zeros' or 'border'"):
        sample(0, 0, padding="reflect")
