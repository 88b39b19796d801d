"""The layers against worked examples and against their textbook forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from dopi_jax.forms import accelerator_forms
from dopi_jax.models import layers
from dopi_jax.models.batch_norm import BatchNorm


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def image(rows):
    """A one-channel batch of one from nested lists."""
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


@pytest.mark.parametrize("size, halved", [(4, 2), (5, 3), (13, 7)])
def test_strided_conv_rounds_sizes_up(size, halved):
    for kernel_size in (1, 3, 5, 7):
        shape = jax.eval_shape(
            lambda x, k=kernel_size: layers.conv(2, k, 2).init_with_output(jax.random.key(0), x)[0],
            jnp.zeros((1, size, size, 3)),
        ).shape
        assert shape == (1, halved, halved, 2)


def test_strided_conv_pads_left_and_top():
    kernel = {"params": {"kernel": jnp.ones((3, 3, 1, 1)), "bias": jnp.zeros(1)}}
    y = layers.conv(1, 3, 2).apply(kernel, image(np.ones((4, 4))))
    # Counts of image pixels under the kernel centred at rows and columns 0 and 2.
    np.testing.assert_array_equal(y, image([[4, 6], [6, 9]]))


@pytest.mark.parametrize("layer", [layers.conv(48, 3), layers.UpConv(48)], ids=["conv", "up_conv"])
def test_initial_kernel_is_xavier_uniform_and_bias_zero(layer):
    params = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 32)))["params"]
    bound = np.sqrt(6 / (9 * 32 + 9 * 48))
    assert params["kernel"].shape == (3, 3, 32, 48)
    assert 0.99 * bound < np.abs(params["kernel"]).max() <= bound
    np.testing.assert_allclose(np.std(params["kernel"]), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_array_equal(params["bias"], 0)


def test_up_conv_of_one_pixel():
    kernel = jnp.arange(1.0, 10.0).reshape(3, 3, 1, 1)
    y = layers.UpConv(1).apply({"params": {"kernel": kernel, "bias": jnp.zeros(1)}}, image([[1]]))
    # The kernel's centre lands on the pixel's own place; padding 1 cuts its first row and column.
    np.testing.assert_array_equal(y, image([[5, 6], [8, 9]]))


@pytest.mark.parametrize("rows, columns", [(3, 5), (9, 15)], ids=["few cells", "many cells"])
def test_up_conv_equals_transposed_convolution_in_values_and_gradients(rows, columns):
    x, weight, target = normal(2, rows, columns, 4), normal(3, 3, 4, 6, seed=1), normal(2, 2 * rows, 2 * columns, 6, seed=2)
    bias = normal(6, seed=3)
    textbook = nn.ConvTranspose(6, (3, 3), strides=(2, 2), padding=((1, 2), (1, 2)), transpose_kernel=True)

    def ours(weight, bias, x):
        return layers.UpConv(6).apply({"params": {"kernel": weight, "bias": bias}}, x)

    def theirs(weight, bias, x):
        return textbook.apply({"params": {"kernel": weight.swapaxes(2, 3), "bias": bias}}, x)

    def gradients(f):
        return jax.grad(lambda *args: jnp.sum((f(*args) - target) ** 2), argnums=(0, 1, 2))(weight, bias, x)

    np.testing.assert_allclose(ours(weight, bias, x), theirs(weight, bias, x), atol=1e-5)
    for got, want in zip(gradients(ours), gradients(theirs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)


def test_up_conv_differentiates_without_dilated_convolutions():
    x = jnp.zeros((1, 17, 17, 2))
    params = layers.UpConv(3).init(jax.random.key(0), x)

    def loss(params, x):
        return jnp.sum(layers.UpConv(3).apply(params, x) ** 2)

    equations = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(params, x).eqns
    convolutions = [e.params for e in equations if e.primitive.name == "conv_general_dilated"]
    assert len(convolutions) == 4 * 3  # the value, and the gradients of kernel and input, for each place in a group
    assert all(c["lhs_dilation"] == c["rhs_dilation"] == (1, 1) for c in convolutions)


@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5), (9, 15)])
def test_both_forms_of_up_conv_agree_in_values_and_gradients(rows, columns):
    x, layer = normal(2, rows, columns, 4), layers.UpConv(6)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape, seed=1), layer.init(jax.random.key(0), x))

    def loss_and_gradient():
        return jax.value_and_grad(lambda params, x: jnp.sum(layer.apply(params, x) ** 2), argnums=(0, 1))(params, x)

    of_a_cpu = loss_and_gradient()
    with accelerator_forms():
        plain = loss_and_gradient()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3), plain, of_a_cpu)


def test_bilinear_upsampling_keeps_the_borders():
    np.testing.assert_allclose(layers.upsample_bilinear(image([[0, 4]])), image([[0, 1, 3, 4]] * 2), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5)])
def test_bilinear_upsampling_is_that_of_images(factor, rows, columns):
    x, weight = normal(2, rows, columns, 3), normal(2, factor * rows, factor * columns, 3, seed=1)

    def by_jax(x):
        return jax.image.resize(x, weight.shape, "bilinear", antialias=False)

    np.testing.assert_allclose(layers.upsample_bilinear(x, factor), by_jax(x), atol=1e-6)
    ours, expected = (
        jax.grad(lambda x, f=f: jnp.sum(weight * f(x)))(x) for f in (lambda x: layers.upsample_bilinear(x, factor), by_jax)
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)


def test_nearest_upsampling_repeats():
    want = image([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])
    np.testing.assert_array_equal(layers.upsample_nearest(image([[1, 2], [3, 4]])), want)


def test_coordinates_go_from_corner_to_corner():
    x = jnp.zeros((2, 3, 2, 5))
    corner_to_corner = [[[-1, -1], [1, -1]], [[-1, 0], [1, 0]], [[-1, 1], [1, 1]]]
    np.testing.assert_array_equal(layers.coordinates_like(x), [corner_to_corner, corner_to_corner])


def test_crop_cuts_bottom_and_right():
    x = image([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(layers.crop_like(x, jnp.zeros((1, 1, 2, 9))), image([[1, 2]]))


def test_residual_stage_projects_and_normalizes_only_the_first_shortcut():
    stage = layers.ResidualStage(8, blocks=2, stride=2)
    init = functools.partial(stage.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 4, 4, 4)))
    assert set(variables["params"]["block0"]) == {"conv1", "conv2", "shortcut", "shortcut_norm"}
    assert set(variables["params"]["block1"]) == {"conv1", "conv2"}
    assert set(flatten_dict(variables["batch_stats"])) == {
        ("block0", "shortcut_norm", "mean"),
        ("block0", "shortcut_norm", "var"),
    }


def test_batch_statistics_of_a_stage_are_those_of_all_devices_together():
    if jax.local_device_count() < 4:
        pytest.skip("needs four devices: set XLA_FLAGS=--xla_force_host_platform_device_count=4")
    x = normal(4, 6, 6, 4) * jnp.arange(1.0, 5.0)[:, None, None, None]  # no two devices see the same contrast

    def step(axis_name):
        stage = layers.ResidualStage(8, blocks=1, stride=2, axis_name=axis_name)
        return functools.partial(stage.apply, train=True, mutable=["batch_stats"])

    variables = layers.ResidualStage(8, blocks=1, stride=2).init(jax.random.key(0), x, train=False)
    together, want = step(None)(variables, x)
    split = jax.pmap(step("devices"), axis_name="devices", in_axes=(None, 0), devices=jax.local_devices()[:4])
    apart, got = split(variables, x[:, None])
    np.testing.assert_allclose(apart.reshape(together.shape), together, rtol=1e-4, atol=1e-5)
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), variables["batch_stats"], want["batch_stats"])
    assert all(jax.tree.leaves(changed))
    for device in range(4):
        of_device = jax.tree.map(lambda leaf, i=device: leaf[i], got["batch_stats"])
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), of_device, want["batch_stats"])


def test_residual_block_with_zero_kernels_is_a_rectified_identity():
    x = normal(1, 3, 3, 4)
    block = layers.ResidualBlock(4)
    zeros = jax.tree.map(jnp.zeros_like, block.init(jax.random.key(0), x, train=False))
    np.testing.assert_array_equal(block.apply(zeros, x, train=False), nn.relu(x))


def test_batch_norm_records_a_tenth_of_each_batch():
    x = image([[1, 3], [1, 3]])  # mean 2, variance 1
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    y, updates = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, image([[-1, 1], [-1, 1]]), atol=1e-4)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [0.9 * 0 + 0.1 * 2], rtol=1e-6)
    np.testing.assert_allclose(updates["batch_stats"]["var"], [0.9 * 1 + 0.1 * 1], rtol=1e-6)
