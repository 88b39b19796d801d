import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry
from dopi_jax.motion_stereo import refine_disparity, rigid_flows

HEIGHT, WIDTH = 48, 96
K = jnp.array([[80.0, 0, 47.5], [0, 80.0, 23.5], [0, 0, 1]])
# The camera moves a quarter of a unit to the right: what is d units away moves 20 / d pixels to the left.
POSE = jnp.eye(4).at[0, 3].set(-0.25)


def views(depth):
    """A texture that a camera sees at a depth, and the same seen by the other camera."""
    rng = np.random.default_rng(0)
    texture = jax.image.resize(jnp.asarray(rng.uniform(-1, 1, (24, 96, 3)), jnp.float32), (HEIGHT, 2 * WIDTH, 3), "cubic")
    source = texture[:, WIDTH // 2 : WIDTH // 2 + WIDTH]
    places = geometry.pixel_grid(HEIGHT, WIDTH) + geometry.rigid_flow(depth, K, POSE) + jnp.array([WIDTH // 2, 0.0])
    return geometry.bilinear_sample(texture, places)[0], source


def refine(disparity, target, source, pose=POSE):
    return refine_disparity(disparity, target, source[None], K, pose[None]).disparity


def test_a_wrong_depth_is_put_right_where_the_other_image_shows_it():
    true = jnp.full((HEIGHT, WIDTH), 2.5)  # 8 pixels
    target, source = views(true)
    for factor in (0.6, 1.0, 1.5):
        refined = refine(factor / true, target, source)
        np.testing.assert_allclose(np.median(refined * true), 1, atol=0.03)
        assert np.mean(np.abs(refined[:, 16:-8] * true[:, 16:-8] - 1) < 0.1) > 0.95
    # The left 8 columns leave the image; they follow the pixels beside them.
    refined = refine(1.5 / true, target, source)
    assert 1 < np.median(refined[:, :6] * true[:, :6]) < 1.3


def test_two_depths_beside_each_other():
    true = jnp.where(jnp.arange(WIDTH) < WIDTH // 2, 5.0, 2.5) * jnp.ones((HEIGHT, 1))
    target, source = views(true)
    refined = refine(jnp.full((HEIGHT, WIDTH), 1 / 3.5), target, source)
    for columns in (slice(12, 38), slice(58, 88)):
        np.testing.assert_allclose(np.median(refined[:, columns] * true[:, columns]), 1, atol=0.05)


def test_what_cannot_be_told_stays():
    grey = jnp.zeros((HEIGHT, WIDTH, 3))
    disparity = jnp.asarray(np.random.default_rng(1).uniform(0.2, 0.5, (HEIGHT, WIDTH)), jnp.float32)
    inner = slice(24, -16)
    np.testing.assert_allclose(refine(disparity, grey, grey)[:, inner], disparity[:, inner], rtol=1e-4)
    target, _ = views(1 / disparity)
    np.testing.assert_allclose(refine(disparity, target, target, jnp.eye(4)), disparity, rtol=1e-6)


def test_the_source_that_shows_a_pixel_counts_there():
    true = jnp.full((HEIGHT, WIDTH), 2.5)
    target, after = views(true)
    covered = after.at[:, 30:50].set(0.0)  # something stands before columns 38 to 57 of the target
    hidden = slice(42, 54)
    alone = refine(1.3 / true, target, covered)
    sources, poses = jnp.stack([covered, after]), jnp.stack([POSE, POSE])
    both = refine_disparity(1.3 / true, target, sources, K, poses)
    assert np.median(np.abs(both.disparity * true - 1)[:, hidden]) < 0.05
    assert np.median(np.abs(alone * true - 1)[:, hidden]) > 0.1
    # From where the camera stands every depth looks the same: that source tells nothing, and takes nothing away.
    still = refine_disparity(1.3 / true, target, jnp.stack([target, after]), K, jnp.stack([jnp.eye(4), POSE])).disparity
    np.testing.assert_allclose(still, refine(1.3 / true, target, after), rtol=1e-6)
    # The left 10.4 columns leave the image by the disparity that was given.
    assert not both.is_found[:, :10].any() and both.is_found[:, 12:].mean() > 0.98


def test_rigid_flows_of_snippets_with_and_without():
    true = jnp.full((HEIGHT, WIDTH), 2.5)
    target, source = views(true)
    batch = (1.4 / true)[None], target[None], jnp.stack([source, target])[None], K[None], jnp.stack([POSE, jnp.eye(4)])[None]
    plain, refined = (rigid_flows(*batch, refined=refined) for refined in (False, True))
    np.testing.assert_allclose(plain[0, 0, ..., 0], -8 * 1.4, rtol=1e-5)
    np.testing.assert_allclose(np.median(refined[0, 0, ..., 0]), -8, atol=0.3)
    np.testing.assert_allclose(refined[0, 1], 0, atol=1e-4)
