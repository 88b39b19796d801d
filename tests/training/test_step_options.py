"""What a step may do besides, each off by default: shorten the gradient, do a batch in parts, keep less of it."""

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

from dopi_jax.errors import UserError
from dopi_jax.training import create_state, parallel
from dopi_jax.training.step import clip_gradient, mean_over_parts, rematerialised, train_step


@pytest.mark.parametrize("longest, expected", [(10.0, [3.0, 4.0]), (5.0, [3.0, 4.0]), (1.0, [0.6, 0.8])])
def test_a_gradient_longer_than_asked_for_is_shortened(longest, expected):
    gradient = clip_gradient({"a": jnp.array(3.0), "b": jnp.array(4.0)}, jnp.array(5.0), longest)
    np.testing.assert_allclose([gradient["a"], gradient["b"]], expected, rtol=1e-6)


def test_no_gradient_stays_none():
    np.testing.assert_array_equal(clip_gradient(jnp.zeros(2), jnp.array(0.0), 1.0), [0, 0])


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_the_mean_over_parts_by_hand(parts):
    """Of x² over 1 to 6, and what is carried sees the parts in order."""
    batch = {"x": jnp.arange(1.0, 7.0), "y": jnp.zeros((6, 2))}

    def of_part(carried, part):
        return {"square": jnp.mean(part["x"] ** 2)}, 10 * carried + part["x"][0]

    values, carried = jax.jit(lambda batch: mean_over_parts(of_part, jnp.zeros(()), batch, parts))(batch)
    assert float(values["square"]) == pytest.approx(91 / 6)
    assert float(carried) == {1: 1, 2: 14, 3: 135, 6: 123456}[parts]


def test_parts_must_be_equal():
    with pytest.raises(UserError, match=r"config.train.accumulate is 4: expected a divisor of a device's 6 snippets"):
        mean_over_parts(lambda carried, part: (part, carried), None, {"x": jnp.zeros(6)}, 4)


def test_what_is_rematerialised_is_the_same_and_keeps_convolutions_alone():
    image, kernel = jnp.linspace(-1, 1, 5 * 7).reshape(1, 5, 7, 1), jnp.linspace(-0.3, 0.4, 9).reshape(3, 3, 1, 1)

    def objective(kernel):
        features = jax.lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.sum(jnp.tanh(jnp.exp(features)) ** 2)

    def kept(function):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            print_saved_residuals(function, kernel)
        lines = printed.getvalue().splitlines()
        return [line for line in lines if "from the argument" not in line and "from a constant" not in line]

    again = rematerialised(objective)
    for got, want in zip(jax.value_and_grad(again)(kernel), jax.value_and_grad(objective)(kernel), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    assert len(kept(objective)) > 1
    assert len(kept(again)) == 1 and "conv_general_dilated" in kept(again)[0]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
def test_a_rematerialised_step_is_the_same_step(small_config, wave_batch):
    device = jax.local_devices()[:1]
    start, batch = jax.device_get(create_state(small_config)), parallel.split(wave_batch(0), device)
    metrics = []
    for small_config.train.rematerialise in (False, True):
        step = parallel.data_parallel(train_step(small_config), device)
        metrics.append(step(parallel.replicate(start, device), batch)[1])
    for name in ("loss", "grad_norm", "photometric", "kept"):
        np.testing.assert_allclose(metrics[1][name], metrics[0][name], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
def test_a_step_in_parts_is_the_same_step(small_config, wave_batch):
    """Loss and the gradient's norm; Adam's first moments are a tenth of the gradient."""
    device = jax.local_devices()[:1]
    start, batch = jax.device_get(create_state(small_config)), parallel.split(wave_batch(0), device)

    def one_step():
        return parallel.data_parallel(train_step(small_config), device)(parallel.replicate(start, device), batch)

    whole, metrics = one_step()
    small_config.train.accumulate = 2
    in_parts, same = one_step()
    for name in ("loss", "grad_norm", "photometric", "kept"):
        np.testing.assert_allclose(same[name], metrics[name], rtol=1e-4)
    whole, in_parts = (jax.tree.leaves(jax.device_get(state.opt_state[0].mu)) for state in (whole, in_parts))
    largest = max(np.abs(leaf).max() for leaf in whole)
    for a, b in zip(whole, in_parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * largest)
