"""The depth networks: sizes, scales, gradients and batch statistics. Reference outputs: tests/interop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.models import DepthNet

# These tests run each program once or twice: compiling is what takes the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

STAGE_PARAMETERS = {
    "resnet6": {
        "conv2": 131_200, "conv3": 524_544, "conv4": 2_097_664, "conv5": 8_389_632, "conv6": 9_700_352,
        "conv7": 9_700_352, "iconv7": 7_603_200, "iconv6": 7_603_200, "iconv5": 1_901_056, "iconv4": 475_392,
        "iconv3": 119_552, "iconv2": 30_080, "iconv1": 5_056,
    },
    "resnet_s6": {
        "conv2": 131_200, "conv3": 524_544, "conv4": 3_277_312, "conv5": 13_108_224, "conv6": 14_418_944,
        "conv7": 14_418_944, "iconv7": 12_321_792, "iconv6": 12_321_792, "iconv5": 3_080_704, "iconv4": 770_304,
        "iconv3": 119_552, "iconv2": 30_080, "iconv1": 5_056,
    },
}  # fmt: skip
UP_CONV_PARAMETERS = {
    "upconv7": 2_359_808, "upconv6": 2_359_808, "upconv5": 1_179_904, "upconv4": 295_040, "upconv3": 73_792,
    "upconv2": 18_464, "upconv1": 4_624,
}  # fmt: skip


def images(batch, height, width):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (batch, height, width, 3)), jnp.float32)


def shapes(variant, train=True):
    init = functools.partial(DepthNet(variant).init, train=train)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 128, 128, 3)))


@functools.cache
def variables(variant):
    """Random variables of the usual sizes; the network's own initialisation takes long to compile."""
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.standard_normal(leaf.shape, np.float32) * np.float32(np.sqrt(1 / np.prod(leaf.shape[:-1])))
        return np.full(leaf.shape, name in ("scale", "var"), np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(variant))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("variant, total", [("resnet6", 54_636_742), ("resnet_s6", 80_883_910)])
def test_parameter_counts_of_the_paper_networks(variant, total):
    tree = shapes(variant)
    counts = {stage: count(params) for stage, params in tree["params"].items()}
    assert sum(counts.values()) == total
    assert counts["conv1_0"] + counts["conv1_1"] == 54_944
    want = STAGE_PARAMETERS[variant] | UP_CONV_PARAMETERS
    assert {stage: counts[stage] for stage in want} == want
    assert count(tree["batch_stats"]) == 2 * 3_504


@pytest.mark.parametrize("variant", DepthNet.VARIANTS)
def test_initialization_in_either_mode_makes_every_head(variant):
    assert shapes(variant, train=False) == shapes(variant, train=True)


@pytest.mark.parametrize("height, width", [(256, 832), (128, 224), (75, 101)])
@pytest.mark.parametrize("variant, scales", [("resnet6", 6), ("resnet_s6", 6), ("lite", 5)])
def test_scales_halve_rounding_up(variant, scales, height, width):
    net = DepthNet(variant)
    apply = functools.partial(net.apply, mutable=["batch_stats"], train=True)
    disparities, _ = jax.eval_shape(apply, shapes(variant), jnp.zeros((2, height, width, 3)))
    want = [(2, -(-height // 2**i), -(-width // 2**i)) for i in range(scales)]
    assert [d.shape for d in disparities] == want


@pytest.mark.parametrize("variant", ["resnet6", "lite"])
def test_evaluation_gives_the_finest_scale_alone(variant):
    net, x = DepthNet(variant), images(1, 64, 96)
    finest, every = quick_jit(lambda v, x: (net.apply(v, x), net.apply(v, x, all_scales=True)))(variables(variant), x)
    assert len(finest) == 1 < len(every)
    np.testing.assert_allclose(finest[0], every[0], rtol=1e-5)
    assert all(0.01 < d.min() and d.max() < 10.01 for d in every)
    assert all(d.std() > 1e-3 for d in every), "a constant output would pass every other check"


def test_finest_loss_trains_heads_one_to_four_only():
    net, x = DepthNet("resnet6"), images(1, 64, 64)
    params, batch_stats = variables("resnet6")["params"], variables("resnet6")["batch_stats"]
    heads = {name: params[name] for name in params if name.startswith("disp")}

    def loss(heads, params, batch_stats):
        disparities = net.apply({"params": params | heads, "batch_stats": batch_stats}, x, all_scales=True)
        return jnp.mean(disparities[0])

    gradients = quick_jit(jax.grad(loss))(heads, params, batch_stats)
    size = {name: float(jnp.linalg.norm(g["kernel"])) for name, g in gradients.items()}
    assert size["disp5"] == size["disp6"] == 0
    assert min(size["disp1"], size["disp2"], size["disp3"], size["disp4"]) > 0


@pytest.mark.parametrize("variant", ["lite", pytest.param("resnet6", marks=pytest.mark.slow)])
def test_every_parameter_gets_a_finite_gradient_from_all_scales(variant):
    net, x = DepthNet(variant), images(2, 64, 64)

    def loss(params, batch_stats):
        disparities, _ = net.apply(
            {"params": params, "batch_stats": batch_stats}, x, train=True, mutable=["batch_stats"]
        )
        return sum(jnp.mean(d) for d in disparities)

    gradients = quick_jit(jax.grad(loss))(variables(variant)["params"], variables(variant).get("batch_stats", {}))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf != 0), path


def test_lite_variant_has_three_and_a_half_million_parameters():
    assert count(shapes("lite")["params"]["encoder"]) == 2_939_120
    assert 3_300_000 < count(shapes("lite")["params"]) < 3_700_000


@pytest.mark.slow
def test_lite_variant_starts_mid_range():
    net, x = DepthNet("lite"), images(1, 64, 64)
    key = jax.random.key(0, impl="rbg")  # compiles faster than the default generator
    disparities, _ = quick_jit(lambda key: net.init_with_output(key, x, all_scales=True))(key)
    for disparity in disparities:
        np.testing.assert_allclose(disparity, 10 / (1 + np.exp(2)) + 0.01, rtol=0.5)


@pytest.mark.slow
def test_batch_statistics_change_in_training_only():
    net, x = DepthNet("resnet6"), images(2, 64, 64)
    before = variables("resnet6")
    _, trained = quick_jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))(before, x)
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before["batch_stats"], trained["batch_stats"])
    assert all(jax.tree.leaves(changed))
    _, evaluated = quick_jit(functools.partial(net.apply, mutable=["batch_stats"]))(before, x)
    jax.tree.map(np.testing.assert_array_equal, before["batch_stats"], evaluated["batch_stats"])


@pytest.mark.slow
def test_batch_statistics_are_those_of_all_devices_together():
    if jax.local_device_count() < 4:
        pytest.skip("needs four devices: set XLA_FLAGS=--xla_force_host_platform_device_count=4")
    x = images(4, 64, 64) * jnp.arange(1.0, 5.0)[:, None, None, None]  # no two devices see the same contrast

    def step(axis_name):
        net = DepthNet("resnet6", axis_name)
        return functools.partial(net.apply, train=True, mutable=["batch_stats"])

    together, want = quick_jit(step(None))(variables("resnet6"), x)
    split = jax.pmap(step("devices"), axis_name="devices", in_axes=(None, 0), devices=jax.local_devices()[:4])
    apart, got = split(variables("resnet6"), x[:, None])
    # Heads magnify rounding little, so equal statistics mean equal outputs.
    np.testing.assert_allclose(apart[0].reshape(together[0].shape), together[0], rtol=1e-4)
    for device in range(4):
        jax.tree.map(
            lambda g, w, i=device: np.testing.assert_allclose(g[i], w, rtol=1e-4, atol=1e-5),
            got["batch_stats"],
            want["batch_stats"],
        )


def test_unknown_variant_is_named():
    with pytest.raises(UserError, match="'resnet50', expected one of: resnet6, resnet_s6, lite"):
        DepthNet("resnet50")
