"""Adam beside Optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dopi_jax.training.adam import adam


def test_it_is_that_of_optax_with_the_same_state():
    rate = optax.piecewise_constant_schedule(1e-2, {2: 0.1})
    ours, theirs = adam(rate, 0.9, 0.99, 1e-8), optax.adam(rate, b1=0.9, b2=0.99, eps=1e-8)
    params = {"a": jnp.array([1.0, -2.0]), "b": {"c": jnp.ones((2, 3))}}
    state = expected_state = theirs.init(params)
    assert jax.tree.structure(ours.init(params)) == jax.tree.structure(state)
    for step in range(4):
        gradient = jax.tree.map(lambda leaf, s=step: jnp.cos(3 * s + leaf), params)
        update, state = jax.jit(ours.update)(gradient, state)
        expected, expected_state = jax.jit(theirs.update)(gradient, expected_state)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), (update, state), (expected, expected_state))
