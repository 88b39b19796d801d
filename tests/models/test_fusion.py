import jax.numpy as jnp
import numpy as np

from dopi_jax.geometry import bilinear_sample, pixel_grid
from dopi_jax.models.cost_volume import window_mean
from dopi_jax.models.fusion import WINDOW, fuse_flows

HEIGHT, WIDTH = 40, 60


def constant(x, y=0.0):
    return jnp.broadcast_to(jnp.array([x, y]), (HEIGHT, WIDTH, 2))


def views(right_part_moves_by):
    """A texture whose left half moves by 3 pixels to the right, and whose right half by so many."""
    texture = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (HEIGHT, 3 * WIDTH, 3)), jnp.float32)
    motion = jnp.where(jnp.arange(WIDTH) < WIDTH // 2, 3.0, right_part_moves_by)
    places = pixel_grid(HEIGHT, WIDTH) + WIDTH * jnp.array([1.0, 0.0])
    source = bilinear_sample(texture, places)[0]
    target = bilinear_sample(texture, places + jnp.stack([motion, jnp.zeros(WIDTH)], axis=-1))[0]
    return target, source


def test_every_part_gets_the_flow_that_explains_it():
    target, source = views(-6.0)
    fused = fuse_flows(constant(3.0), jnp.stack([constant(-6.0), constant(1.0)]), target, source)
    margin = WINDOW // 2 + 1
    np.testing.assert_array_equal(fused[:, : WIDTH // 2 - margin], constant(3.0)[:, : WIDTH // 2 - margin])
    inner = slice(WIDTH // 2 + margin, WIDTH - 6)
    np.testing.assert_array_equal(fused[:, inner], constant(-6.0)[:, inner])


def test_what_the_rigid_flow_leads_out_of_the_image_and_what_says_nothing_is_rigid():
    target, source = views(3.0)
    fused = fuse_flows(constant(WIDTH), constant(3.0)[None], target, source)
    np.testing.assert_array_equal(fused, constant(WIDTH))
    flat = jnp.zeros((HEIGHT, WIDTH, 3))
    fused = fuse_flows(constant(2.0), constant(1.0)[None], flat, flat)
    np.testing.assert_array_equal(fused[:, :50], constant(2.0)[:, :50])
    np.testing.assert_array_equal(fused[:, 58:], constant(2.0)[:, 58:])


def test_window_means_by_hand():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    means = window_mean(x, 3)[0, :, :, 0]
    np.testing.assert_allclose(means[1, 1], np.mean([0, 1, 2, 4, 5, 6, 8, 9, 10]))
    np.testing.assert_allclose(means[0, 0], np.mean([0, 1, 4, 5]))
    np.testing.assert_allclose(means[2, 2], np.mean([5, 6, 7, 9, 10, 11]))
    np.testing.assert_allclose(window_mean(x, 9)[0, :, :, 0], 5.5, rtol=1e-6)
