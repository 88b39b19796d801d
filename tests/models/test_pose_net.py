"""The pose networks: sizes, order of the sources, gradients. Reference outputs: tests/interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.models import PoseNet, cost_volume
from dopi_jax.models.cost_volume import expected_displacement, mirrored_costs, normalised
from dopi_jax.models.pose_lite import SEARCH_RADIUS

# These tests run each program once or twice: compiling is what takes the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

LAYER_PARAMETERS = {
    "conv1": 7_072, "conv2": 12_832, "conv3": 18_496, "conv4": 73_856, "conv5": 295_168, "conv6": 590_080,
    "conv7": 590_080, "conv8": 590_080, "pose": 3_084,
}  # fmt: skip


def frames(count, batch=2, height=64, width=96):
    x = np.random.default_rng(0).uniform(-1, 1, (count, batch, height, width, 3))
    return list(jnp.asarray(x, jnp.float32))


def shapes(net):
    x = jnp.zeros((1, 128, 128, 3))
    return jax.eval_shape(net.init, jax.random.key(0), x, [x] * net.num_refs)


@functools.cache
def variables(net):
    """Random variables of the usual sizes; the network's own initialisation takes long to compile."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        scale = 0.1 if len(leaf.shape) == 1 else np.sqrt(2 / np.prod(leaf.shape[:3]))
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(scale)

    return jax.tree.map(draw, shapes(net))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_of_the_paper_network():
    assert {name: count(layer) for name, layer in shapes(PoseNet())["params"].items()} == LAYER_PARAMETERS
    assert count(shapes(PoseNet(num_refs=2))) == 2_180_748
    assert count(shapes(PoseNet(num_refs=4))) == 2_188_536


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
@pytest.mark.parametrize("num_refs", [1, 2, 4])
def test_one_pose_a_source_at_any_size(variant, num_refs):
    net = PoseNet(num_refs, variant)
    target, *sources = frames(1 + num_refs, batch=3, height=75, width=101)
    assert jax.eval_shape(net.apply, shapes(net), target, sources).shape == (3, num_refs, 6)


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
def test_samples_of_a_batch_do_not_touch(variant):
    net = PoseNet(2, variant)
    target, *sources = frames(3)
    both = quick_jit(net.apply)(variables(net), target, sources)
    second = quick_jit(net.apply)(variables(net), target[1:], [s[1:] for s in sources])
    np.testing.assert_allclose(both[1:], second, rtol=1e-4, atol=1e-7)
    assert np.abs(both[0] - both[1]).max() > 1e-5


def test_paper_network_scales_its_mean_output_by_a_hundredth():
    net = PoseNet(2)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(net))
    zeros["params"]["pose"]["bias"] = np.arange(12, dtype=np.float32)
    target, *sources = frames(3)
    poses = net.apply(zeros, target, sources)
    np.testing.assert_allclose(poses, np.tile(0.01 * np.arange(12).reshape(1, 2, 6), (2, 1, 1)), rtol=1e-6)


def test_costs_of_mirrored_images():
    target, source = (jax.random.normal(jax.random.key(n), (1, 5, 7, 4)) for n in (0, 1))
    expected = cost_volume(target[:, :, ::-1], source[:, :, ::-1], 2)
    np.testing.assert_allclose(mirrored_costs(cost_volume(target, source, 2)), expected, atol=1e-6)


def test_lite_variant_starts_near_no_motion_and_turns_it_round():
    net = PoseNet(2, "lite")
    target, *sources = frames(3)
    key = jax.random.key(0, impl="rbg")  # compiles faster than the default generator
    first, _ = quick_jit(lambda key: net.init_with_output(key, target, sources))(key)
    assert 0 < np.abs(first).max() < 0.02
    apply = quick_jit(PoseNet(1, "lite").apply)
    tree = variables(PoseNet(1, "lite"))
    there, back = apply(tree, target, sources[:1]), apply(tree, sources[0], [target])
    np.testing.assert_allclose(there, -back, rtol=1e-3, atol=1e-5)
    assert np.abs(there).max() > 1e-3
    np.testing.assert_allclose(apply(tree, target, [target]), 0, atol=1e-5)


def test_displacement_of_a_shifted_image_is_read_off_its_cost_volume():
    """The source shows everything two cells further right and one up."""
    features = np.random.default_rng(0).standard_normal((1, 16, 26, 25)).astype(np.float32)
    source = np.roll(features, (-1, 2), axis=(1, 2))
    costs = cost_volume(normalised(features), normalised(source), SEARCH_RADIUS)
    displacement = SEARCH_RADIUS * expected_displacement(costs, 50.0, SEARCH_RADIUS)
    np.testing.assert_allclose(displacement[0, 5:-5, 6:-6, 0], 2, atol=0.05)
    np.testing.assert_allclose(displacement[0, 5:-5, 6:-6, 1], -1, atol=0.05)


@pytest.mark.parametrize("variant", PoseNet.VARIANTS)
def test_gradients_are_finite_even_on_featureless_images(variant):
    net = PoseNet(2, variant)

    def loss(params, target, sources):
        return jnp.sum(net.apply(params, target, sources) ** 2)

    gradient = quick_jit(jax.grad(loss))
    target, *sources = frames(3)
    trained = gradient(variables(net), target, sources)
    encoder = trained["params"].pop("encoder", {})
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(encoder)), "pretrained features of motion are not trained"
    for leaf in jax.tree.leaves(trained):
        assert np.isfinite(leaf).all() and np.any(leaf != 0)
    black = jnp.zeros_like(target)
    for leaf in jax.tree.leaves(gradient(variables(net), black, [black, black])):
        assert np.isfinite(leaf).all()


def test_unknown_variant_is_named():
    with pytest.raises(UserError, match="'b7', expected one of: b6, lite"):
        PoseNet(variant="b7")


def test_wrong_number_of_sources_is_told():
    net = PoseNet(2)
    target, source = frames(2)
    with pytest.raises(UserError, match="1 source images, expected 2"):
        net.apply(variables(net), target, [source])
