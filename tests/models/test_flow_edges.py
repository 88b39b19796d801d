import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry
from dopi_jax.models.cost_volume import window_mean
from dopi_jax.models.flow_edges import REACH, sharpen_flow

HEIGHT, WIDTH = 48, 80


def texture(seed, brightness):
    return jnp.asarray(np.random.default_rng(seed).uniform(-0.4, 0.4, (HEIGHT, 2 * WIDTH, 3)) + brightness, jnp.float32)


def views():
    """A bright square before a dark wall: it moves by 6 pixels to the left, the wall stands still."""
    wall, square = texture(0, -0.5)[:, :WIDTH], texture(1, 0.5)
    rows, columns = np.indices((HEIGHT, WIDTH))
    on_square = (rows >= 16) & (rows < 36) & (columns >= 30) & (columns < 54)
    moved = np.roll(on_square, -6, axis=1)
    target = jnp.where(on_square[..., None], square[:, :WIDTH], wall)
    source = jnp.where(moved[..., None], jnp.roll(square, -6, axis=1)[:, :WIDTH], wall)
    flow = jnp.where(on_square[..., None], jnp.array([-6.0, 0.0]), 0.0)
    hidden = moved & ~on_square
    return target, source, flow, hidden


def test_a_smeared_edge_comes_back():
    target, source, true, hidden = views()
    smeared = window_mean(true[None], 7)[0]
    flows = sharpen_flow(smeared, target, source), smeared
    error, smeared_error = (np.linalg.norm(flow - true, axis=-1) for flow in flows)
    near_edge = (smeared_error > 0.5) & ~hidden
    assert near_edge.sum() > 300
    # A smeared corner is farther from the right flow than the reach.
    assert error[near_edge].mean() < 0.5 * smeared_error[near_edge].mean()
    assert np.mean(error[near_edge] < 0.5 * smeared_error[near_edge]) > 0.6


def test_every_flow_is_the_pixels_own_or_a_neighbours():
    target, source, true, _ = views()
    places = geometry.pixel_grid(HEIGHT, WIDTH)  # a different flow for every pixel
    steps = np.abs(np.asarray(sharpen_flow(places / 1000, target, source)) * 1000 - places)
    near = np.isclose(steps, 0, atol=1e-3) | np.isclose(steps, REACH, atol=1e-3)
    border = (places < REACH) | (places >= jnp.array([WIDTH, HEIGHT]) - REACH)
    assert np.all(near | border)
    np.testing.assert_array_equal(sharpen_flow(true, jnp.zeros_like(target), jnp.zeros_like(target)), true)


def test_what_leaves_the_image_stays():
    target, source, true, _ = views()
    away = true.at[..., 0].set(jnp.linspace(WIDTH, 2 * WIDTH, WIDTH))
    np.testing.assert_array_equal(sharpen_flow(away, target, source), away)
