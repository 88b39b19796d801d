"""Checkpoints: which are kept, and where and into what they can be restored."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dopi_jax import config as config_lib
from dopi_jax.errors import UserError
from dopi_jax.training import Checkpoints, create_state, parallel, restore_variables
from dopi_jax.training.trained import check_same_run


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path, keep=2)
    yield opened
    opened.close()


def saved(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def test_the_last_ones_are_kept(checkpoints, state_at, tmp_path):
    for step in (2, 4, 6, 8):
        checkpoints.save(state_at(step))
    assert checkpoints.latest_step == 8
    checkpoints.save(state_at(8))  # once more does nothing
    checkpoints.close()
    assert saved(tmp_path / "checkpoints") == [6, 8]


def test_the_best_one_is_kept_besides(checkpoints, state_at, tmp_path):
    scores = {2: 3.0, 4: 1.0, 6: 1.0, 8: float("nan"), 10: 2.0}
    kept = {step: checkpoints.save_if_best(state_at(step), score, "photometric") for step, score in scores.items()}
    assert kept == {2: True, 4: True, 6: False, 8: False, 10: False}
    assert saved(tmp_path / "best") == [4]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 4, "score": 1.0, "by": "photometric"}


def test_a_repeated_step_may_become_the_best(checkpoints, state_at, tmp_path):
    """A run that crashed at 9 resumes from 5, and a GPU adds up in another order: the same step, another score."""
    checkpoints.save_if_best(state_at(8), 3.0, "photometric")
    assert checkpoints.save_if_best(state_at(6), 2.0, "photometric")
    assert saved(tmp_path / "best") == [6]
    assert checkpoints.save_if_best(state_at(6), 1.0, "photometric")
    assert saved(tmp_path / "best") == [6]
    assert json.loads((tmp_path / "best.json").read_text())["score"] == 1.0


def test_scores_of_another_kind_are_not_compared(checkpoints, state_at, tmp_path):
    """A run that was validated by photometric error goes on by AbsRel, which is larger."""
    checkpoints.save_if_best(state_at(2), 0.2, "photometric")
    assert checkpoints.save_if_best(state_at(4), 0.3, "abs_rel")
    assert not checkpoints.save_if_best(state_at(6), 0.35, "abs_rel")
    assert saved(tmp_path / "best") == [4]


@pytest.mark.parametrize("saved_on, restored_on", [(4, 1), (1, 4), (4, 2)])
def test_a_state_moves_to_another_number_of_devices(four_devices, checkpoints, state_at, weights, saved_on, restored_on):
    """And is placed there as the step leaves it."""
    checkpoints.save(state_at(7, four_devices[:saved_on]))
    like = parallel.replicate(weights.state(), four_devices[:restored_on])
    state = checkpoints.restore(like)
    assert state.step == 7
    np.testing.assert_array_equal(state.params["w"], [7, 7, 7])
    np.testing.assert_array_equal(state.opt_state["momentum"], [7, 7, 7])
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == jax.tree.map(lambda leaf: leaf.sharding, like)
    assert state.step.dtype == jnp.int32


READ_ON_ONE_DEVICE = """
import pathlib, sys
import jax, numpy as np
from dopi_jax.training.checkpoint_folder import CheckpointFolder
assert jax.device_count() == 1
items = CheckpointFolder(pathlib.Path(sys.argv[1])).read(7, {"params": {"w": np.zeros(3, np.float32)}})
print(items["params"]["w"])
"""


def test_a_checkpoint_of_the_versions_before(four_devices, state_at, tmp_path):
    """Orbax wrote arrays of the devices, and named these in it; there were no checksums."""
    params = ocp.args.Composite(params=ocp.args.StandardSave(state_at(7).params))
    with ocp.CheckpointManager(tmp_path, item_names=("params",)) as manager:
        manager.save(7, args=params)
    assert (tmp_path / "7/params/_sharding").exists()
    done = subprocess.run(
        [sys.executable, "-c", READ_ON_ONE_DEVICE, tmp_path],
        env=os.environ | {"XLA_FLAGS": ""},
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "[7. 7. 7.]\n"), done.stderr


def test_a_state_of_another_shape_is_refused(checkpoints, state_at, weights):
    checkpoints.save(state_at(7))
    for other in (weights.state(size=4), weights.state().replace(params={"v": jnp.zeros(3)})):
        with pytest.raises(UserError, match=r"checkpoints/7 cannot be used \(it does not fit the config's networks"):
            checkpoints.restore(parallel.replicate(other))


def test_check_same_run_names_the_field(small_config, tmp_path):
    check_same_run(tmp_path, small_config)  # no run yet
    (tmp_path / "config.json").write_text(config_lib.to_json(small_config))
    small_config.optimizer.learning_rate = 1.0  # may change within a run
    check_same_run(tmp_path, small_config)
    small_config.model.pose = "b6"
    with pytest.raises(UserError, match=r"model.pose = 'lite', but the config asks for 'b6'"):
        check_same_run(tmp_path, small_config)


@pytest.mark.usefixtures("quick_compile")
def test_variables_of_a_run(small_config, tmp_path):
    """The best, or the latest; the latest if nothing was validated."""
    with pytest.raises(UserError, match=r"no checkpoint in .*: expected .*checkpoints; train first"):
        restore_variables(tmp_path, small_config)

    def changed(number):
        return state.replace(step=state.step + number, params=jax.tree.map(lambda leaf: leaf + number, state.params))

    (tmp_path / "config.json").write_text(config_lib.to_json(small_config))
    state = create_state(small_config)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(parallel.replicate(changed(2)))
    checkpoints.close()
    assert restore_variables(tmp_path, small_config)[1] == 2
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_if_best(parallel.replicate(changed(1)), 0.5, "photometric")
    checkpoints.close()
    for which, step in (("best", 1), ("latest", 2)):
        variables, found = restore_variables(tmp_path, small_config, which)
        assert found == step
        expected = {
            "depth": {"params": changed(step).params["depth"]},
            "pose": {"params": changed(step).params["pose"]},
        }
        jax.tree.map(np.testing.assert_array_equal, variables, expected)

    small_config.model.depth = "resnet6"
    with pytest.raises(UserError, match=r"model.depth = 'lite', but the config asks for 'resnet6'"):
        restore_variables(tmp_path, small_config)
