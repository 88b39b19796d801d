"""Both forms of depthwise convolution, and their gradients, against sums written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.models.depthwise import depthwise_convolve, grouped_convolution, same_padding, shifted_sum


@pytest.mark.parametrize(
    "cells, kernel_size, stride, want",
    [(8, 3, 1, (1, 1)), (8, 3, 2, (0, 1)), (8, 5, 2, (1, 2)), (7, 3, 2, (1, 1)), (7, 5, 2, (2, 2)), (1, 5, 2, (2, 2))],
)
def test_padding_is_that_of_tensorflow(cells, kernel_size, stride, want):
    assert same_padding((cells, 8), kernel_size, stride)[0] == want


def test_one_row_by_hand():
    """Padded at stride 2 by (0, 1): cells 0, 1, 2 and 2, 3, nothing."""
    x = jnp.array([1.0, 2.0, 3.0, 4.0])[None, None, :, None]
    kernel = jnp.zeros((3, 3, 1)).at[1, :, 0].set(jnp.array([1.0, 10.0, 100.0]))
    rows = jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
    np.testing.assert_allclose(depthwise_convolve(rows, kernel, 1)[0, 0, :, 0], [210, 321, 432, 43])
    np.testing.assert_allclose(depthwise_convolve(rows, jnp.roll(kernel, -1, 0), 2)[0, 0, :, 0], [321, 43])


@pytest.mark.parametrize("kernel_size, stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("batch, height, width", [(1, 16, 6), (2, 7, 9), (9, 4, 5)])
def test_forms_and_gradients_agree(kernel_size, stride, batch, height, width):
    rng = np.random.default_rng(0)
    x, kernel = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in ((batch, height, width, 6), (kernel_size, kernel_size, 6))
    )
    want, pull_back = jax.vjp(functools.partial(grouped_convolution, stride=stride), x, kernel)
    gradient = jnp.asarray(rng.standard_normal(want.shape), jnp.float32)
    np.testing.assert_allclose(shifted_sum(x, kernel, stride), want, atol=1e-4)
    result, own_pull_back = jax.vjp(lambda x, kernel: depthwise_convolve(x, kernel, stride), x, kernel)
    np.testing.assert_allclose(result, want, atol=1e-4)
    for got, of_convolution in zip(own_pull_back(gradient), pull_back(gradient), strict=True):
        np.testing.assert_allclose(got, of_convolution, atol=1e-3)


def test_a_gpu_gets_the_grouped_convolution():
    x, kernel = jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4))
    lowered = {
        platform: jax.jit(lambda x, k: depthwise_convolve(x, k, 1)).trace(x, kernel).lower(lowering_platforms=(platform,))
        for platform in ("cpu", "cuda")
    }
    assert "feature_group_count = 4" in lowered["cuda"].as_text()
    assert "convolution" not in lowered["cpu"].as_text()
