"""Motion that is refined: the network looks again at sources that were brought closer."""

import jax
import jax.numpy as jnp
import numpy as np

from dopi_jax import geometry
from dopi_jax.objectives.motion import predict_motion

B, H, W = 2, 16, 24
K = jnp.tile(jnp.array([[20.0, 0, 12], [0, 20.0, 8], [0, 0, 1]]), (B, 1, 1))
DEPTH = jnp.full((B, H, W), 2.0)


class SameMotion:
    """Stands for a pose network: says `variables` to every pair of images, and keeps the sources that it was shown."""

    def __init__(self):
        self.seen = []

    def apply(self, variables, target, sources):
        self.seen.append(jnp.stack(sources, axis=1))
        return jnp.tile(variables, (len(target), len(sources), 1))


def images():
    target, *sources = jax.random.uniform(jax.random.key(0), (3, B, H, W, 3), minval=-1)
    return target, jnp.stack(sources, axis=1)


def motion(vector, refinements, net=None):
    return predict_motion(
        vector, *images(), DEPTH, K, pose_net=net or SameMotion(), rotation="euler", refinements=refinements
    )


def test_without_refinement_it_is_what_the_network_says():
    vector = jnp.array([0.1, 0.2, 0.3, 0.01, 0.02, 0.03])
    poses = predict_motion(vector, *images(), None, None, pose_net=SameMotion(), rotation="euler", refinements=0)
    assert poses.shape == (B, 2, 4, 4)
    np.testing.assert_allclose(poses[1, 0], geometry.pose_from_vector(vector), atol=1e-6)


def test_a_refinement_adds_what_is_left_after_warping():
    net, vector = SameMotion(), jnp.array([0.1, 0.0, 0.3, 0.0, 0.02, 0.0])
    poses = motion(vector, 1, net)
    once = geometry.pose_from_vector(vector)
    np.testing.assert_allclose(poses[0, 1], once @ once, atol=1e-6)
    _, sources = images()
    warped, _ = geometry.warp_by_depth(sources[0, 1], DEPTH[0], K[0], once, padding="border")
    np.testing.assert_array_equal(net.seen[0], sources)
    np.testing.assert_allclose(net.seen[1][0, 1], warped, atol=1e-5)


def test_every_stage_is_taught():
    slope = [jax.grad(lambda v, n=n: motion(v, n)[0, 0, 0, 3])(jnp.zeros(6))[0] for n in (0, 1, 2)]
    np.testing.assert_allclose(slope, [1, 2, 3], rtol=1e-6)
