"""The camera whose focal length is learnt, and what its gradient sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import geometry
from dopi_jax.config import LossConfig
from dopi_jax.models import LearnedCamera, learned_intrinsics
from dopi_jax.objectives import depth_pose_loss
from dopi_jax.synthetic import Street

K = np.array([[100.0, 0, 30], [0, 50, 20], [0, 0, 1]], np.float32)


def test_it_starts_as_the_camera_that_is_given():
    variables = LearnedCamera().init(jax.random.key(0), K[None])
    assert jax.tree.map(jnp.shape, variables) == {"params": {"log_focal": ()}}
    np.testing.assert_array_equal(learned_intrinsics({"camera": variables}, K[None]), K[None])


def test_one_factor_on_the_focal_lengths_of_all_samples():
    variables = {"camera": {"params": {"log_focal": jnp.log(1.5)}}}
    of_both = learned_intrinsics(variables, np.stack([K, 2 * K]))
    np.testing.assert_allclose(of_both[0], [[150, 0, 30], [0, 75, 20], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(of_both[1], [[300, 0, 60], [0, 150, 40], [0, 0, 2]], rtol=1e-6)


def test_without_a_camera_intrinsics_are_what_the_data_say():
    assert learned_intrinsics({"depth": {}}, K) is K


@pytest.mark.parametrize("transform", [lambda K: geometry.flip_intrinsics(K, 64), lambda K: geometry.crop_intrinsics(
    geometry.scale_intrinsics(K, 1.1, 1.05), 3, 2
)])  # fmt: skip
def test_the_factor_is_the_same_before_and_after_augmentation(transform):
    np.testing.assert_allclose(
        transform(geometry.scale_focal_length(K, 1.3)), geometry.scale_focal_length(transform(K), 1.3), rtol=1e-6
    )


@pytest.fixture(scope="module")
def street_loss():
    """A function of the logarithm of the focal length over the true one: the objective at true depth and motion.

    Its only source is the frame before, which sees whatever the target sees: what leaves the image makes the loss jump.
    """
    street = Street(0, 4, 128, 208)
    source, target = (street.frame(number).image.astype(np.float32) / 127.5 - 1 for number in (1, 2))
    of_source, of_target = (np.float32(1 / np.minimum(street.frame_depth(number), 1e3)) for number in (1, 2))
    pose = street.source_from_target(2, 1).astype(np.float32)
    config = LossConfig(occlusion=False, less_than_mean=False)  # masks jump, and are no part of the gradient

    @jax.jit
    def loss(log_focal):
        believed = learned_intrinsics({"camera": {"params": {"log_focal": log_focal}}}, street.K[None].astype(np.float32))
        return depth_pose_loss(of_target, of_source[None], pose[None], target, source[None], believed[0], config)[0]

    return loss


def test_the_loss_is_least_at_the_true_focal_length(street_loss):
    losses = [float(street_loss(jnp.log(factor))) for factor in (0.7, 0.85, 1.0, 1.15, 1.3)]
    assert np.argmin(losses) == 2
    assert losses[0] > losses[1] and losses[4] > losses[3]


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.15, 1.3])
def test_the_gradient_points_away_from_it(street_loss, factor):
    gradient = float(jax.grad(street_loss)(jnp.log(factor)))
    assert np.sign(gradient) == np.sign(factor - 1)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_the_gradient_agrees_with_finite_differences(street_loss, factor):
    at, step = jnp.log(factor), 1e-2
    difference = float(street_loss(at + step) - street_loss(at - step)) / (2 * step)
    assert float(jax.grad(street_loss)(at)) == pytest.approx(difference, rel=0.02)
