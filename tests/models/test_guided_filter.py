import jax.numpy as jnp
import numpy as np

from dopi_jax.models.cost_volume import masked_window_mean, window_mean
from dopi_jax.models.guided_filter import guided_error

HEIGHT, WIDTH, SIDE = 20, 30, 5
RNG = np.random.default_rng(0)
ERROR = jnp.asarray(RNG.uniform(0, 1, (HEIGHT, WIDTH)), jnp.float32)
EVERYWHERE = jnp.ones((HEIGHT, WIDTH), bool)


def grey(values):
    return jnp.broadcast_to(jnp.asarray(values, jnp.float32)[..., None], (HEIGHT, WIDTH, 3))


def test_without_edges_it_is_a_mean_of_means():
    inside = EVERYWHERE.at[:, :4].set(False)
    found = guided_error(ERROR, inside, grey(jnp.full((HEIGHT, WIDTH), 0.3)), SIDE, 1e-3)
    expected = window_mean(masked_window_mean(ERROR, inside, SIDE)[None, ..., None], SIDE)[0, ..., 0]
    np.testing.assert_allclose(found[:, 4:], expected[:, 4:], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[:, :4], 1.0)


def test_what_is_linear_in_the_image_stays():
    image = RNG.uniform(-1, 1, (HEIGHT, WIDTH))
    found = guided_error(jnp.float32(0.2 * image + 0.5), EVERYWHERE, grey(image), SIDE, 1e-7)
    np.testing.assert_allclose(found, 0.2 * image + 0.5, atol=1e-4)


def test_an_edge_of_the_image_keeps_errors_apart():
    right = np.tile(np.arange(WIDTH) >= WIDTH // 2, (HEIGHT, 1))
    error = jnp.where(right, 0.8, 0.2)
    with_edge = guided_error(error, EVERYWHERE, grey(np.where(right, 0.5, -0.5)), SIDE, 1e-3)
    np.testing.assert_allclose(with_edge, error, atol=0.01)
    without = guided_error(error, EVERYWHERE, grey(np.zeros((HEIGHT, WIDTH))), SIDE, 1e-3)
    assert without[10, WIDTH // 2] < 0.62
