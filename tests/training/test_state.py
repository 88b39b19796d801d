"""The state of a run and its step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dopi_jax.config import ModelConfig, OptimizerConfig, apply_flow_variant
from dopi_jax.networks import build_networks, network_variables
from dopi_jax.training import create_state, parallel
from dopi_jax.training.state import build_optimizer
from dopi_jax.training.step import train_step

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_the_seed_decides_the_first_state(small_config):
    first, again = create_state(small_config), create_state(small_config)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    small_config.train.seed = 1
    other = create_state(small_config)
    differ = jax.tree.map(lambda a, b: not np.array_equal(a, b), first.params, other.params)
    assert differ["depth"]["bottleneck"]["kernel"]
    assert first.step == 0 and first.step.dtype == jnp.int32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((first.params, first.batch_stats)))


def test_networks_are_those_of_the_config():
    networks = build_networks(ModelConfig(depth="resnet_s6", pose="lite"), axis_name="devices")
    assert (networks.depth.variant, networks.depth.axis_name) == ("resnet_s6", "devices")
    assert (networks.pose.variant, networks.pose.num_refs) == ("lite", 2)


def updates(config, steps):
    """Adam's updates of one number whose gradient is always 2."""
    optimizer = build_optimizer(config, steps)
    value, state, moved = jnp.zeros(()), optimizer.init(jnp.zeros(())), []
    for _ in range(steps):
        update, state = optimizer.update(jnp.asarray(2.0), state, value)
        value = optax.apply_updates(value, update)
        moved.append(float(update))
    return moved


def test_adam_moves_by_the_learning_rate_whatever_the_gradient():
    np.testing.assert_allclose(updates(OptimizerConfig(learning_rate=0.5), 6), [-0.5] * 6, rtol=1e-4)


def test_the_rate_is_divided_by_10_after_its_share_of_the_steps():
    moved = updates(OptimizerConfig(learning_rate=0.5, decay_after=0.5), 6)
    np.testing.assert_allclose(moved, [-0.5] * 3 + [-0.05] * 3, rtol=1e-4)


@pytest.mark.parametrize(
    "decay_after, shares",
    [(0.0, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]), (0.5, [1, 1, 1, 1, 2 / 3, 1 / 3]), (1.0, [1] * 6)],
)
def test_the_rate_falls_evenly_after_its_share_of_the_steps(decay_after, shares):
    """Of the last step there is as much left as a step takes away; the step after it would not move."""
    moved = updates(OptimizerConfig(learning_rate=0.5, decay="linear", decay_after=decay_after), 6)
    np.testing.assert_allclose(moved, [-0.5 * share for share in shares], rtol=1e-4)


def test_the_rate_rises_over_the_first_steps():
    moved = updates(OptimizerConfig(learning_rate=0.5, warmup=4, decay_after=0.5), 8)
    np.testing.assert_allclose(moved, [-0.125, -0.25, -0.375, -0.5] + [-0.05] * 4, rtol=1e-4)


def test_encoders_move_by_their_own_rate():
    optimizer = build_optimizer(OptimizerConfig(learning_rate=0.5, encoder_rate=0.2), 2)
    params = {"depth": {"encoder": {"stem": jnp.zeros(2)}, "up5": jnp.zeros(2)}, "pose": {"conv1": jnp.zeros(2)}}
    moved, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(moved["depth"]["encoder"]["stem"], -0.1, rtol=1e-4)
    np.testing.assert_allclose(moved["depth"]["up5"], -0.5, rtol=1e-4)
    np.testing.assert_allclose(moved["pose"]["conv1"], -0.5, rtol=1e-4)


def test_encoders_start_from_pretrained_weights_where_asked(small_config, monkeypatch):
    small_config.model.depth = small_config.model.pose = "lite"
    random = create_state(small_config).params
    weights = jax.tree.map(lambda leaf: np.full(leaf.shape, 7, np.float32), random["depth"]["encoder"])
    monkeypatch.setattr("dopi_jax.training.state.efficientnet_lite0_params", lambda: weights)
    pretrained = create_state(small_config, pretrained=True).params
    for network in ("depth", "pose"):
        assert jax.tree.map(jnp.shape, pretrained[network]) == jax.tree.map(jnp.shape, random[network])
        assert all(np.all(leaf == 7) for leaf in jax.tree.leaves(pretrained[network].pop("encoder")))
        del random[network]["encoder"]
    jax.tree.map(np.testing.assert_array_equal, pretrained, random)


def test_a_step_changes_everything_that_it_should(small_config, wave_batch):
    """Neither a coarse head, when the finest scale alone is trained on, nor the pose network's encoder; the rest moves."""
    small_config.loss.scales = 1
    start = jax.device_get(create_state(small_config))
    step = parallel.data_parallel(train_step(small_config))
    state, metrics = step(parallel.replicate(start), parallel.split(wave_batch(0)))
    assert state.step == 1
    assert {"loss", "grad_norm", "reconstruction", "smoothness", "photometric", "visible", "kept"} <= set(metrics)
    assert all(np.isfinite(value) and np.shape(value) == () for value in metrics.values())
    weighted = [getattr(small_config.loss, name) * metrics[name] for name in ("reconstruction", "smoothness")]
    np.testing.assert_allclose(metrics["loss"], sum(weighted), rtol=1e-4)

    moved = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b))), start.params, jax.device_get(state.params))
    still = {jax.tree_util.keystr(path[:2]) for path, by in jax.tree_util.tree_leaves_with_path(moved) if by == 0}
    assert still == {"['pose']['encoder']", *(f"['depth']['disp{level}']" for level in (3, 4, 5))}
    assert max(jax.tree.leaves(moved)) <= 1.001 * small_config.optimizer.learning_rate
    assert start.batch_stats == state.batch_stats == {}  # these networks have no batch normalisation


@pytest.fixture
def flow_config(small_config):
    small_config.phase = "flow"
    small_config.model.flow = "lite"
    small_config.data.height, small_config.data.width = 64, 128
    return small_config


@pytest.mark.slow
def test_a_step_of_phase_2_trains_the_flow_network_and_nothing_else(flow_config, small_config, wave_batch):
    phase_1 = jax.device_get(create_state(dataclasses.replace(small_config, phase="depthpose")))
    frozen = network_variables(phase_1.params, phase_1.batch_stats)
    start = jax.device_get(create_state(flow_config, frozen))
    assert set(start.params) == {"flow"} and start.batch_stats == {}
    step = parallel.data_parallel(train_step(flow_config))
    batch = wave_batch(0, width=128)
    state, metrics = step(parallel.replicate(start), parallel.split(batch))
    state, metrics = step(state, parallel.split(batch))
    assert {"loss", "grad_norm", "reconstruction", "consistency", "smoothness", "photometric", "taught"} <= set(metrics)
    assert all(np.isfinite(value) and np.shape(value) == () for value in metrics.values())
    moved = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b))), start.params, jax.device_get(state.params))
    assert not any(jax.tree.leaves(moved["flow"].pop("encoder"))), "pretrained features to match are not trained"
    assert min(jax.tree.leaves(moved)) > 0
    # The depth and pose networks, their running statistics too, are bit for bit what they were.
    jax.tree.map(np.testing.assert_array_equal, frozen, jax.device_get(state.frozen))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["depthpose", "flow"])
def test_a_step_in_bfloat16_is_nearly_the_same_step(flow_config, wave_batch, phase):
    """Loss and gradient to the digits that bfloat16 has; state is float32 and keeps its shape, so nothing compiles again."""
    flow_config.phase = phase
    phase_1 = jax.device_get(create_state(dataclasses.replace(flow_config, phase="depthpose")))
    frozen = network_variables(phase_1.params, phase_1.batch_stats) if phase == "flow" else {}
    start, batch = jax.device_get(create_state(flow_config, frozen)), parallel.split(wave_batch(0, width=128))
    values = {}
    for precision in ("float32", "bfloat16"):
        flow_config.train.precision = precision
        state, metrics = parallel.data_parallel(train_step(flow_config))(parallel.replicate(start), batch)
        assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, start)
        assert jax.tree.map(jnp.result_type, state) == jax.tree.map(jnp.result_type, start)
        values[precision] = np.array([metrics["loss"], metrics["grad_norm"]])
    assert not np.array_equal(values["bfloat16"], values["float32"])
    np.testing.assert_allclose(values["bfloat16"], values["float32"], rtol=0.02)


@pytest.mark.slow
def test_phase_2_without_masks_and_teachers_needs_no_phase_1(flow_config, wave_batch):
    apply_flow_variant(flow_config, "basic")
    step = parallel.data_parallel(train_step(flow_config))
    state, metrics = step(parallel.replicate(create_state(flow_config)), parallel.split(wave_batch(0, width=128)))
    assert state.step == 1 and state.frozen == {}
    assert np.isfinite(metrics["loss"]) and metrics["consistency"] == 0
