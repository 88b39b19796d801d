"""Several devices must do what one does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.training import create_state, parallel
from dopi_jax.training.step import train_step


def distance(a, b):
    return float(np.sqrt(sum(np.sum((x - y) ** 2) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))))


@pytest.fixture
def trained(four_devices, small_config, wave_batch):
    """A function of a state and a number of devices that trains two steps: the state, and the norms of the gradients."""

    def train(start, count):
        devices = four_devices[:count]
        state, norms = parallel.replicate(start, devices), []
        step = parallel.data_parallel(train_step(small_config), devices)
        for number in range(2):
            state, metrics = step(state, parallel.split(wave_batch(number), devices))
            norms.append(float(metrics["grad_norm"]))
        return jax.device_get(state), norms

    return train


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_several_devices_train_as_one_does(count, small_config, trained):
    """The gradient's norm too: Adam would hide gradients that are as many times too large as there are devices."""
    start = jax.device_get(create_state(small_config))
    (alone, norms_alone), (together, norms) = trained(start, 1), trained(start, count)
    np.testing.assert_allclose(norms, norms_alone, rtol=1e-4)
    assert together.step == alone.step == 2
    # Adam's first updates are near the learning rate whatever the gradient, so the few gradients of the size of rounding may
    # move their parameters the other way.
    for name, tolerance in {"params": 2e-2, "opt_state": 2e-3}.items():
        path = distance(getattr(alone, name), getattr(start, name))
        assert path > 0
        assert distance(getattr(together, name), getattr(alone, name)) < tolerance * path, name


def test_every_device_holds_the_same_state(four_devices, weights):
    state = parallel.replicate(weights.state(), four_devices)
    step = parallel.data_parallel(weights.step(), four_devices)
    state, _ = step(state, parallel.split(weights.batch(0, size=8), four_devices))
    for leaf in jax.tree.leaves(state):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == 4
        assert all(np.array_equal(copy, copies[0]) for copy in copies)


def test_the_callers_state_survives_a_step(weights):
    """The step reuses the memory of its input, which must not be the caller's."""
    mine = weights.state()
    state = parallel.replicate(mine)
    parallel.data_parallel(weights.step())(state, parallel.split(weights.batch(0)))
    assert state.params["w"].is_deleted()
    np.testing.assert_array_equal(mine.params["w"], np.zeros(3))


def test_split_gives_each_device_its_neighbours_in_order(four_devices):
    batch = {"a": np.arange(8), "b": np.arange(16).reshape(8, 2)}
    parts = parallel.split(batch, four_devices[:2])
    np.testing.assert_array_equal(parts["a"], [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert parts["b"].shape == (2, 4, 2)
    for name, array in parallel.merge_devices(parts).items():
        np.testing.assert_array_equal(array, batch[name])


def test_a_batch_that_cannot_be_divided_is_refused_with_both_numbers(four_devices):
    with pytest.raises(UserError, match=r"batch_size gives each process 6 snippets for 4 devices.*multiple of 4"):
        parallel.split({"a": np.zeros((6, 2))}, four_devices)


def test_mean_across_devices(four_devices):
    step = parallel.data_parallel(lambda state, x: (state, parallel.mean_across_devices(jnp.sum(x))), four_devices)
    _, mean = step(parallel.replicate(jnp.zeros(()), four_devices), np.arange(8.0).reshape(4, 2))
    assert float(mean) == (1 + 5 + 9 + 13) / 4


def test_prefetched_batches_come_in_order_and_whole():
    batches = [{"a": np.full((4, 2), number)} for number in range(5)]
    seen = [parallel.merge_devices(batch)["a"] for batch in parallel.prefetched(batches)]
    np.testing.assert_array_equal(seen, [batch["a"] for batch in batches])


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
def test_the_papers_networks_on_several_devices_with_masks_fixed(small_config, wave_batch, four_devices):
    """Without masks that depend on depth: by rounding, single pixels cross a mask's threshold, and move the loss by 1e-4."""
    small_config.model.depth, small_config.model.pose = "resnet6", "b6"
    small_config.loss.occlusion = small_config.loss.less_than_mean = False
    start = jax.device_get(create_state(small_config))
    found = []
    for devices in (four_devices[:1], four_devices):
        step = parallel.data_parallel(train_step(small_config), devices)
        _, metrics = step(parallel.replicate(start, devices), parallel.split(wave_batch(0), devices))
        found.append({name: float(metrics[name]) for name in ("loss", "grad_norm")})
    for name in found[0]:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=5e-5)
