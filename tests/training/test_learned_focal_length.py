"""A focal length in training: when it is there, how it moves, and how it goes from run to run."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax import config as config_lib
from dopi_jax import predict
from dopi_jax.augment import network_batch
from dopi_jax.errors import UserError
from dopi_jax.networks import network_variables
from dopi_jax.training import (
    Checkpoints,
    check_same_run,
    create_state,
    frozen_variables,
    initial_variables,
    parallel,
    restore_variables,
    train_step,
)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def learned_config(small_config):
    small_config.data.intrinsics = "learned"
    small_config.model.flow = "lite"
    return small_config


def with_factor(state, factor):
    return state.replace(params=state.params | {"camera": {"log_focal": jnp.log(jnp.float32(factor))}})


@pytest.fixture
def run(learned_config, tmp_path):
    """The folder of a run of phase 1 that has learnt a factor of 1.25."""
    folder = tmp_path / "learned"
    checkpoints = Checkpoints(folder)
    state = with_factor(create_state(learned_config), 1.25)
    checkpoints.save(parallel.replicate(state.replace(step=jnp.asarray(7, jnp.int32))))
    checkpoints.close()
    (folder / "config.json").write_text(config_lib.to_json(learned_config))
    return folder


def test_it_is_there_only_if_it_is_asked_for_and_trained(learned_config):
    state = create_state(learned_config)
    assert set(state.params) == {"depth", "pose", "camera"} and state.params["camera"]["log_focal"] == 0
    assert set(create_state(dataclasses.replace(learned_config, phase="flow")).params) == {"flow"}
    without = copy.deepcopy(learned_config)
    without.data.intrinsics = ""
    assert set(create_state(without).params) == {"depth", "pose"}


@pytest.mark.slow
def test_a_step_moves_it_by_ten_times_the_rate_of_the_networks_and_logs_it(learned_config, wave_batch):
    start = jax.device_get(create_state(learned_config))
    step = parallel.data_parallel(train_step(learned_config))
    state, metrics = step(parallel.replicate(start), parallel.split(wave_batch(0)))
    moved = float(state.params["camera"]["log_focal"])
    assert abs(moved) == pytest.approx(10 * learned_config.optimizer.learning_rate, rel=1e-3)  # Adam's first step
    assert metrics["focal_factor"] == pytest.approx(np.exp(moved), rel=1e-5)
    of_networks = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), start.params["pose"], state.params["pose"])
    assert max(jax.tree.leaves(of_networks)) <= 1.001 * learned_config.optimizer.learning_rate


@pytest.mark.slow
def test_a_view_with_a_factor_is_a_view_of_the_corrected_camera(learned_config, wave_batch):
    """So validation, which views, is of the camera that is trained."""
    state = create_state(learned_config)
    batch = jax.device_get(network_batch(wave_batch(0)))
    corrected = batch | {"intrinsics": batch["intrinsics"] * np.array([[1.25, 1, 1], [1, 1.25, 1], [1, 1, 1]], np.float32)}
    view = predict.make_view_snippets(learned_config)
    of_networks = {name: state.params[name] for name in ("depth", "pose")}
    expected = view(network_variables(of_networks, {}), corrected)
    found = view(network_variables(with_factor(state, 1.25).params, {}), batch)
    np.testing.assert_allclose(found["scalars"]["loss"], expected["scalars"]["loss"], rtol=1e-5)
    uncorrected = view(network_variables(of_networks, {}), batch)
    assert not np.allclose(found["warped"], uncorrected["warped"], atol=1e-3)


def factor_of(variables):
    return pytest.approx(1.25) == float(np.exp(variables["camera"]["params"]["log_focal"]))


def test_it_is_restored_for_evaluation_and_to_go_on(learned_config, run):
    variables, step = restore_variables(run, learned_config)
    assert step == 7 and factor_of(variables)
    checkpoints = Checkpoints(run)
    state = checkpoints.restore(parallel.replicate(create_state(learned_config)))
    checkpoints.close()
    assert factor_of(network_variables(state.params, {}))


def test_phase_2_takes_it_from_phase_1(learned_config, run, tmp_path):
    config = dataclasses.replace(learned_config, phase="flow", depthpose=str(run))
    frozen = frozen_variables(tmp_path / "flow", config)
    assert set(frozen) == {"depth", "pose", "camera"} and factor_of(frozen)


def test_both_phases_learn_it_or_neither(learned_config, run, tmp_path):
    config = dataclasses.replace(learned_config, phase="flow", depthpose=str(run))
    config.data.intrinsics = "700,700,640,360"
    with pytest.raises(UserError, match=r"has data.intrinsics = 'learned', but .*; name another run, or add --.*=learned$"):
        frozen_variables(tmp_path / "flow", config)
    assert not (tmp_path / "flow").exists()


def test_a_new_run_starts_with_that_of_the_run_it_starts_from(learned_config, run, tmp_path):
    learned_config.init_from = str(run)
    initial = initial_variables(tmp_path / "new", learned_config)
    assert factor_of(network_variables(create_state(learned_config, initial=initial).params, {}))
    learned_config.data.intrinsics = ""
    assert set(initial_variables(tmp_path / "new", learned_config)) == {"depth", "pose"}


def test_a_new_run_that_starts_from_a_known_camera_begins_with_that(learned_config, run, tmp_path):
    initial = initial_variables(tmp_path / "new", dataclasses.replace(learned_config, init_from=str(run)))
    del initial["camera"]
    assert create_state(learned_config, initial=initial).params["camera"]["log_focal"] == 0


def test_a_run_goes_on_with_the_camera_it_began_with(learned_config, run):
    check_same_run(run, learned_config)
    learned_config.data.intrinsics = ""
    with pytest.raises(UserError, match=r"holds a run with data.intrinsics = 'learned', but the config asks for ''"):
        check_same_run(run, learned_config)
