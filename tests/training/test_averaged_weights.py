"""The mean of the parameters over the last steps, which is what is evaluated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import config as config_lib
from dopi_jax.training import Checkpoints, create_state, parallel, restore_variables
from dopi_jax.training.step import _average


def test_the_mean_by_hand():
    mean = {"w": jnp.array([1.0])}
    now = {"w": jnp.array([3.0])}
    np.testing.assert_allclose(_average(mean, now, jnp.asarray(1000), 0.9)["w"], 1.2, rtol=1e-6)
    # The second step of a run: most of what was before is where the run started.
    np.testing.assert_allclose(_average(mean, now, jnp.asarray(1), 0.9)["w"], 1 * 2 / 11 + 3 * 9 / 11, rtol=1e-6)
    assert _average({}, now, jnp.asarray(5), 0.9) == {}


def test_a_run_that_begins_to_average_goes_on_from_what_it_has(weights, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    state = weights.state().replace(params={"w": jnp.arange(3.0)})
    checkpoints.save(parallel.replicate(state.replace(step=jnp.asarray(4, jnp.int32))))
    like = parallel.replicate(weights.state().replace(averaged={"w": jnp.zeros(3)}))
    restored = checkpoints.restore(like)
    checkpoints.close()
    np.testing.assert_array_equal(restored.averaged["w"], [0, 1, 2])
    assert jax.tree.map(lambda leaf: leaf.sharding, restored) == jax.tree.map(lambda leaf: leaf.sharding, like)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("average", [0.0, 0.99])
def test_evaluation_takes_the_mean_where_there_is_one(small_config, tmp_path, average):
    small_config.train.average = average
    (tmp_path / "config.json").write_text(config_lib.to_json(small_config))
    state = create_state(small_config)
    assert bool(state.averaged) == (average > 0)
    state = state.replace(
        step=state.step + 5,
        params=jax.tree.map(lambda leaf: leaf + 1, state.params),
        averaged=jax.tree.map(lambda leaf: leaf + 2, state.averaged),
    )
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(parallel.replicate(state))
    checkpoints.close()
    found, step = restore_variables(tmp_path, small_config)
    assert step == 5
    expected = {name: {"params": p} for name, p in (state.averaged or state.params).items()}
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    jax.tree.map(np.testing.assert_array_equal, state.variables, expected)
