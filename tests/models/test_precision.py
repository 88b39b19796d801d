"""Networks whose kernels are bfloat16 compute in bfloat16, and give nearly the same in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from dopi_jax.models import DepthNet, FlowNet, PoseNet
from dopi_jax.models.layers import UpConv
from dopi_jax.training.step import cast_kernels

BATCH, SIDE = 2, 64
NETWORKS = {
    "depth resnet6": DepthNet("resnet6"),
    "depth lite": DepthNet("lite"),
    "pose b6": PoseNet(),
    "pose lite": PoseNet(variant="lite"),
    "flow back2future": FlowNet("back2future"),
    "flow lite": FlowNet("lite"),
}
FEWEST_FEATURES = 16  # of a layer inside; last layers have two at most, or two poses


def images():
    """A smooth texture that moves by a pixel from image to image: target, (previous, next)."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE

    def texture(shift):
        x_moved = x + shift / SIDE
        waves = [np.sin(k * x_moved + k * k * y) * np.cos(3 * k * y - x_moved) for k in (5, 9, 14)]
        return np.tile(0.8 * np.stack(waves, axis=-1)[None], (BATCH, 1, 1, 1)).astype(np.float32)

    return texture(0), [texture(-1), texture(1)]


def applied(network, **options):
    """The network as a function of variables, and what makes its first variables."""
    target, sources = images()
    arguments = (target,) if isinstance(network, DepthNet) else (target, sources)

    def apply(variables):
        return network.apply(variables, *arguments, **options)

    return apply, lambda: network.init(jax.random.key(0), *arguments)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_kernels_decide_what_the_layers_compute_in(network):
    apply, init = applied(network, capture_intermediates=lambda module, _: isinstance(module, nn.Conv | UpConv))
    variables = jax.eval_shape(init)

    def layers_compute_in(precision):
        """Also sees to it that the network's results, and those of layers with so few channels, are float32."""
        results, captured = jax.eval_shape(lambda variables: apply(cast_kernels(precision, variables)), variables)
        layers = jax.tree.leaves(captured["intermediates"])
        last = [layer for layer in layers if layer.shape[-1] < FEWEST_FEATURES]
        assert {array.dtype for array in jax.tree.leaves((results, last))} == {jnp.dtype("float32")}
        inside = [layer.dtype for layer in layers if layer.shape[-1] >= FEWEST_FEATURES]
        assert len(inside) >= 3
        return set(inside)

    assert layers_compute_in("float32") == {jnp.dtype("float32")}
    assert layers_compute_in("bfloat16") == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    "name, tolerance",
    [("depth lite", 0.02), ("pose lite", 2e-4), pytest.param("flow back2future", 0.05, marks=pytest.mark.slow)],
)
def test_bfloat16_gives_nearly_the_same(quick_compile, name, tolerance):
    """Tolerances in the unit of disparity, in metres and radians, and in pixels."""
    apply, init = applied(NETWORKS[name])
    variables = jax.jit(init)()
    precise, rounded = (jax.jit(lambda v, p=p: apply(cast_kernels(p, v)))(variables) for p in ("float32", "bfloat16"))
    for got, want in zip(jax.tree.leaves(rounded), jax.tree.leaves(precise), strict=True):
        assert not np.array_equal(got, want)
        np.testing.assert_allclose(got, want, atol=tolerance)


def test_what_is_no_kernel_keeps_its_precision():
    variables = jax.eval_shape(applied(NETWORKS["pose lite"])[1])
    rounded = jax.eval_shape(lambda v: cast_kernels("bfloat16", v), variables)["params"]
    assert rounded["conv1"]["kernel"].dtype == rounded["pose"]["kernel"].dtype == jnp.bfloat16
    assert rounded["conv1"]["bias"].dtype == rounded["conv2"]["bias"].dtype == jnp.float32
