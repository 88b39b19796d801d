import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry
from dopi_jax.objectives.stereo_teacher import disparity_difference, stereo_teachers

HEIGHT, WIDTH = 48, 96
K = jnp.array([[80.0, 0, 47.5], [0, 80.0, 23.5], [0, 0, 1]])
POSE = jnp.eye(4).at[0, 3].set(-0.25)


def test_the_difference_by_hand():
    """A step by log 2 between columns 2 and 3 of 4, where the teacher has none, in an image of one row."""
    teacher, mask = jnp.ones((1, 4)), jnp.ones((1, 4), bool)
    disparity = jnp.array([[1.0, 1, 2, 2]])
    # Means have one more in their denominator: 2 of 4 pixels, and 1 of 3 steps to the right; 4 pixels away there are none.
    np.testing.assert_allclose(disparity_difference(disparity, teacher, mask), np.log(2) * (2 / 5 + 0.5 / 4), rtol=1e-5)
    # A factor alone has no steps.
    np.testing.assert_allclose(disparity_difference(3 * teacher, teacher, mask), np.log(3) * 4 / 5, rtol=1e-5)
    assert disparity_difference(disparity, teacher, mask.at[0, 2:].set(False)) == 0


def snippet():
    """Two planes seen from three places on a line, a texture on them; matches of every eighth pixel."""
    depth = jnp.where(jnp.arange(WIDTH) < WIDTH // 2, 5.0, 2.5) * jnp.ones((HEIGHT, 1))
    small = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (24, 96, 3)), jnp.float32)
    texture = jax.image.resize(small, (HEIGHT, 2 * WIDTH, 3), "cubic")
    poses = jnp.stack([geometry.invert_pose(POSE), POSE])
    flows = jnp.stack([geometry.rigid_flow(depth, K, pose) for pose in poses])
    target = texture[:, WIDTH // 2 : -WIDTH // 2]
    # Each plane moves as a whole; where they part or meet, the sources show what is there by accident.
    moved = [[jnp.roll(target, int(f[0, x, 0]), axis=1) for x in (0, -1)] for f in flows]
    sources = jnp.stack([jnp.concatenate([far[:, : WIDTH // 2], near[:, WIDTH // 2 :]], axis=1) for far, near in moved])
    pixels = geometry.pixel_grid(HEIGHT, WIDTH)
    matches = jnp.stack([jnp.concatenate([pixels, pixels + f], axis=-1)[4::8, 4::8].reshape(-1, 4) for f in flows])
    return target, sources, matches


def test_the_sources_put_a_wrong_depth_right_in_its_own_unit():
    target, sources, matches = snippet()
    known = jnp.full((HEIGHT, WIDTH), 1 / 3.5)
    still = jnp.tile(jnp.eye(4), (2, 1, 1))
    batched = [x[None] for x in (known, target, sources, K, matches, still)]
    teacher = jax.jit(stereo_teachers)(*batched)
    far, near = np.median(teacher.disparity[0, :, 16:32]), np.median(teacher.disparity[0, :, 64:80])
    np.testing.assert_allclose(near / far, 2, atol=0.15)
    np.testing.assert_allclose(np.sqrt(near * far), 1 / 3.5, rtol=0.15)
    assert teacher.is_found[0, :, 16:80].mean() > 0.9
    # Without matches nothing tells the motion, so there is no teacher.
    batched[4] = jnp.full_like(batched[4], jnp.nan)
    assert not jax.jit(stereo_teachers)(*batched).is_found.any()
