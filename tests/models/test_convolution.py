"""Every form of the convolution against the textbook one, its gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.models import convolution
from dopi_jax.models.convolution import convolve


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def forms(stride, padding):
    """Ours and the textbook's as functions of input and kernel."""
    strides = (stride, stride)

    def ours(x, kernel):
        return convolve(x, kernel, strides, padding)

    def textbook(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return ours, textbook


def assert_alike(ours, textbook, x, kernel):
    def gradients(f):
        return jax.grad(lambda *args: jnp.sum(jnp.sin(f(*args))), argnums=(0, 1))(x, kernel)

    np.testing.assert_allclose(ours(x, kernel), textbook(x, kernel), atol=1e-5)
    for got, want in zip(gradients(ours), gradients(textbook), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def in_the_middle(kernel_size):
    return [(kernel_size // 2, kernel_size // 2)] * 2


@pytest.mark.parametrize(
    "kernel_size, stride, size", [(3, 1, (2, 4)), (3, 2, (3, 5)), (3, 2, (1, 1)), (7, 2, (6, 4)), (1, 2, (4, 7))]
)
def test_few_cells(kernel_size, stride, size):
    x, kernel = normal(3, *size, 4), normal(kernel_size, kernel_size, 4, 5, seed=1)
    ours, textbook = forms(stride, in_the_middle(kernel_size))
    assert "conv_general_dilated" not in str(jax.make_jaxpr(ours)(x, kernel))
    assert_alike(ours, textbook, x, kernel)


@pytest.fixture
def small_strips(monkeypatch):
    """Strips of two or three rows of the maps below."""
    monkeypatch.setattr(convolution, "MANY_NUMBERS", 0)
    monkeypatch.setattr(convolution, "MANY_CHANNELS", 0)
    monkeypatch.setattr(convolution, "NUMBERS_IN_A_STRIP", 600)


@pytest.mark.parametrize(
    "kernel_size, stride, size", [(3, 1, (8, 20)), (3, 2, (17, 22)), (3, 2, (16, 21)), (7, 2, (18, 24)), (1, 1, (11, 16))]
)
def test_the_gradient_of_large_maps(small_strips, kernel_size, stride, size):
    """Heights that strips divide and heights that they do not."""
    x, kernel = normal(3, *size, 4), normal(kernel_size, kernel_size, 4, 5, seed=1)
    ours, textbook = forms(stride, in_the_middle(kernel_size))
    assert "custom_vjp" in str(jax.make_jaxpr(ours)(x, kernel))
    assert_alike(ours, textbook, x, kernel)


def test_the_gradient_of_large_maps_padded_on_one_side(small_strips):
    """As transposed convolutions pad."""
    assert_alike(*forms(1, [(0, 1), (0, 1)]), normal(2, 9, 20, 4), normal(2, 2, 4, 5, seed=1))


def test_sizes_between_are_left_to_jax():
    x, kernel = normal(1, 16, 17, 4), normal(3, 3, 4, 5)
    program = str(jax.make_jaxpr(forms(1, in_the_middle(3))[0])(x, kernel))
    assert "conv_general_dilated" in program and "custom_vjp" not in program
