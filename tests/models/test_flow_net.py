"""The flow networks: sizes, units, directions, gradients. Reference outputs: tests/interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.models import FlowNet
from dopi_jax.models.flow_back2future import velocity_costs

# These tests run each program once or twice: compiling is what takes the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

PYRAMID_PARAMETERS = 1_022_160
DECODER_PARAMETERS = {"level6": 519_426, "level5": 669_186, "level4": 632_322, "level3": 595_458, "level2": 558_594}


def frames():
    x = np.random.default_rng(0).uniform(-1, 1, (3, 2, 64, 128, 3))
    target, *sources = jnp.asarray(x, jnp.float32)
    return target, sources


@functools.cache
def shapes(net):
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(net.init, jax.random.key(0), x, [x, x])


@functools.cache
def variables(net):
    """Random variables of the usual sizes; the network's own initialisation takes long to compile."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        scale = 0.1 if len(leaf.shape) == 1 else np.sqrt(2 / np.prod(leaf.shape[:3]))
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(scale)

    return jax.tree.map(draw, shapes(net))


@functools.cache
def apply(net, all_scales=True):
    """The compiled network, which several tests run."""
    return quick_jit(functools.partial(net.apply, all_scales=all_scales))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "options, total",
    [
        ({"occlusion_head": True}, 12_212_622),
        ({}, 9_016_452),
        ({"shared_pyramid": True}, 6_972_132),
    ],
)
def test_parameter_counts_of_the_paper_network(options, total):
    assert count(shapes(FlowNet(**options))) == total


def test_parameter_counts_by_part():
    parts = shapes(FlowNet(occlusion_head=True))["params"]
    assert {count(layers) for name, layers in parts.items() if name.startswith("pyramid")} == {PYRAMID_PARAMETERS}
    for level, parameters in DECODER_PARAMETERS.items():
        assert count(parts[level]["forward"]) == count(parts[level]["backward"]) == parameters
    assert count(parts["level6"]["occlusion"]) == 740_610
    assert count(parts["level5"]["occlusion"]) == DECODER_PARAMETERS["level5"]


@pytest.mark.parametrize("height, width", [(256, 832), (64, 128)])
def test_scales_halve(height, width):
    net = FlowNet(occlusion_head=True)
    x = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
    outputs = jax.eval_shape(functools.partial(net.apply, all_scales=True), shapes(net), x, [x, x])
    want = [(2, height // 2**scale, width // 2**scale, 2) for scale in range(6)]
    assert [[x.shape for x in scales] for scales in outputs] == [want, want, want]


def test_evaluation_gives_the_finest_scale_alone():
    net = FlowNet()
    finest, every = (apply(net, all_scales)(variables(net), *frames()) for all_scales in (False, True))
    for direction in (0, 1):
        assert len(finest[direction]) == 1 < len(every[direction])
        np.testing.assert_allclose(finest[direction][0], every[direction][0], rtol=1e-3, atol=1e-3)
        assert all(flow.std() > 1e-3 for flow in every[direction]), "a constant output would pass every other check"


def test_training_gives_all_scales_unless_asked_otherwise():
    net = FlowNet()
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    training_but_finest = {"train": True, "all_scales": False}
    for options, scales in (({}, 1), ({"train": True}, 6), ({"all_scales": True}, 6), (training_but_finest, 1)):
        forward, _ = jax.eval_shape(functools.partial(net.apply, **options), shapes(net), image, [image, image])
        assert len(forward) == scales, options


def test_flows_are_in_pixels_of_their_scale_and_backward_is_negated():
    net = FlowNet()
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes(net))
    for level in DECODER_PARAMETERS:
        zeros["params"][level]["forward"]["output"]["bias"] = np.array([0.5, -0.25], np.float32)
        zeros["params"][level]["backward"]["output"]["bias"] = np.array([1, 0.75], np.float32)
    forward, backward = apply(net)(zeros, *frames())
    for scale in range(6):
        np.testing.assert_allclose(forward[scale], np.broadcast_to([10, -5], forward[scale].shape) / 2**scale, rtol=1e-6)
        np.testing.assert_allclose(backward[scale], np.broadcast_to([-20, -15], backward[scale].shape) / 2**scale, rtol=1e-6)


def test_constant_velocity_lights_the_same_channel_in_both_volumes():
    features = np.random.default_rng(0).standard_normal((1, 16, 16, 64)).astype(np.float32)
    velocity = (3, -2)  # (x, y), in cells a frame
    following = np.roll(features, velocity[::-1], axis=(1, 2))
    previous = np.roll(features, (-velocity[1], -velocity[0]), axis=(1, 2))
    for costs in velocity_costs(features, np.concatenate([previous, following])):
        best = np.argmax(costs, axis=-1)[:, 4:-4, 4:-4]
        np.testing.assert_array_equal(best, (velocity[1] + 4) * 9 + velocity[0] + 4)


def test_samples_of_a_batch_do_not_touch():
    net = FlowNet(occlusion_head=True)
    target, sources = frames()
    before = apply(net)(variables(net), target, sources)
    after = apply(net)(variables(net), target.at[0].multiply(-1), [source.at[0].multiply(-0.5) for source in sources])
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(x[1], y[1], rtol=1e-5, atol=1e-6)
        assert np.abs(x[0] - y[0]).max() > 1e-5  # untrained features of coarse levels are small


def test_occlusion_head_adds_probabilities_and_leaves_flow_alone():
    net = FlowNet(occlusion_head=True)
    forward, backward, occlusion = apply(net)(variables(net), *frames())
    for probabilities in occlusion:
        np.testing.assert_allclose(jnp.sum(probabilities, axis=-1), 1, rtol=1e-5)
        assert 0 <= probabilities.min() < 0.5 < probabilities.max() <= 1
    # A network without the head does not mind parameters that it has no use for.
    without = apply(FlowNet())(variables(net), *frames())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3), (forward, backward), without)


@pytest.mark.slow
def test_gradients_are_finite_even_on_featureless_images():
    net = FlowNet()

    def loss(params, target, sources):
        forward, backward = net.apply(params, target, sources, all_scales=True)
        return sum(jnp.mean(jnp.abs(flow)) for flow in forward + backward)

    gradient = quick_jit(jax.grad(loss))
    target, sources = frames()
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(variables(net), target, sources)):
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf != 0), path
    black = jnp.full_like(target, -1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables(net), black, [black, black])))


def test_unknown_variant_is_named():
    with pytest.raises(UserError, match="'pwc', expected one of: back2future, lite"):
        FlowNet("pwc")


@pytest.mark.parametrize("height, width, example", [(128, 416, "128x384"), (100, 64, "64x64"), (32, 96, "64x64")])
def test_sizes_that_do_not_divide_are_told(height, width, example):
    x = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    with pytest.raises(UserError, match=f"{height}x{width} .* multiples of 64: .* to {example}"):
        jax.eval_shape(FlowNet().init, jax.random.key(0), x, [x, x])


def test_wrong_number_of_sources_is_told():
    target, sources = frames()
    with pytest.raises(UserError, match="1 source images, expected 2"):
        FlowNet().apply(variables(FlowNet()), target, sources[:1])


def test_biases_start_as_asked():
    net = FlowNet(bias="uniform")

    @quick_jit
    def initial_biases(key):
        leaves = jax.tree_util.tree_leaves_with_path(net.init(key, *frames()))
        return [leaf for path, leaf in leaves if path[-1].key == "bias"]

    biases = np.concatenate(initial_biases(jax.random.key(0, impl="rbg")))
    assert 0 <= biases.min() < 0.02 and 0.98 < biases.max() <= 1
    np.testing.assert_allclose(biases.mean(), 0.5, atol=0.05)
    with pytest.raises(UserError, match=r"bias is 'one', expected one of: zero, uniform"):
        FlowNet(bias="one")
