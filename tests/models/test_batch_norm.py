"""Batch normalisation beside Flax's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from dopi_jax.models.batch_norm import BatchNorm

close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("train", [True, False])
def test_it_is_that_of_flax_in_values_statistics_and_gradients(train):
    x, weight = 3 * normal(2, 5, 4, 3) + 1, normal(2, 5, 4, 3, seed=1)
    ours, theirs = BatchNorm(), nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)
    variables = ours.init(jax.random.key(0), x, train=train)
    jax.tree.map(np.testing.assert_array_equal, variables, theirs.init(jax.random.key(0), x))
    params = jax.tree.map(lambda leaf: leaf + normal(*leaf.shape, seed=2), variables["params"])
    statistics = {"mean": normal(3, seed=3), "var": normal(3, seed=4) ** 2}

    def loss(apply, params, x):
        y, updates = apply({"params": params, "batch_stats": statistics}, x, mutable=["batch_stats"])
        return jnp.sum(weight * y**2), (y, updates)

    for value, expected in zip(
        *(
            jax.tree.leaves(jax.value_and_grad(functools.partial(loss, apply), argnums=(0, 1), has_aux=True)(params, x))
            for apply in (functools.partial(ours.apply, train=train), theirs.apply)
        ),
        strict=True,
    ):
        close(value, expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_on_several_devices_is_that_of_one():
    if jax.local_device_count() < 4:
        pytest.skip("needs four devices: set XLA_FLAGS=--xla_force_host_platform_device_count=4")
    x, weight = normal(4, 3, 3, 2) * jnp.arange(1.0, 5.0)[:, None, None, None], normal(4, 3, 3, 2, seed=1)
    variables = BatchNorm().init(jax.random.key(0), x, train=True)

    def gradient(axis_name, x, weight):
        def loss(x):
            y, _ = BatchNorm(axis_name).apply(variables, x, train=True, mutable=["batch_stats"])
            return jnp.sum(weight * y)

        return jax.grad(loss)(x)

    split = jax.pmap(functools.partial(gradient, "devices"), axis_name="devices", devices=jax.local_devices()[:4])
    apart = split(x[:, None], weight[:, None]).reshape(x.shape)
    close(apart, gradient(None, x, weight))
