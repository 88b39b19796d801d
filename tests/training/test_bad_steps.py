"""Steps whose loss or gradient is not finite."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import TrainState, create_state, parallel, train
from dopi_jax.training.bad_steps import update_if_finite
from dopi_jax.training.step import train_step


def schedule(**fields):
    config = Config()
    for name, value in ({"steps": 20, "log_every": 1, "image_every": 100, "checkpoint_every": 100} | fields).items():
        setattr(config.train, name, value)
    return config


@pytest.fixture
def with_bad(weights):
    """A function of steps that makes batches with a NaN at these; each counts as asked for."""

    def make(*steps):
        def batches(first):
            for step, batch in zip(range(first + 1, 1000), weights.batches(first), strict=False):
                if step in steps:
                    batch["y"][1] = np.nan
                yield batch

        return batches

    return make


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def bad_steps(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["train/bad_steps"] for line in lines if "train/bad_steps" in line]


@pytest.mark.parametrize("loss, grad_norm", [(np.nan, 1.0), (1.0, np.inf), (-np.inf, np.nan), (1.0, 1.0)])
def test_a_broken_step_leaves_everything_but_the_step(loss, grad_norm):
    one = jnp.ones(2)
    before = TrainState(jnp.asarray(4), {"w": one}, {"m": one}, (one, jnp.asarray(3)), {"f": one}, {"w": one})

    def update(state, gradient):
        assert state.frozen == {}
        return jax.tree.map(lambda leaf: (leaf + gradient).astype(leaf.dtype), state)

    metrics = {"loss": jnp.asarray(loss), "grad_norm": jnp.asarray(grad_norm)}
    after = update_if_finite(metrics, before, update, jnp.asarray(2.0))
    if np.isfinite([loss, grad_norm]).all():
        three = 3 * one
        assert_equal(after, TrainState(5, {"w": three}, {"m": three}, (three, 5), {"f": one}, {"w": three}))
    else:
        assert_equal(after, before.replace(step=5))


def test_training_goes_on_as_if_the_broken_steps_had_not_been(weights, with_bad, tmp_path, capsys):
    """Twenty steps with three that are skipped end where the seventeen others do."""
    state = train(schedule(), tmp_path / "with", with_bad(3, 4, 11))
    others = [weights.batch(step) for step in range(1, 21) if step not in (3, 4, 11)]
    alone = train(schedule(steps=17), tmp_path / "without", lambda first: others)
    assert state.step == 20
    assert_equal(state.replace(step=17), alone)
    assert bad_steps(tmp_path / "with") == [0] * 2 + [1] + [2] * 7 + [3] * 10
    said = capsys.readouterr().err
    assert said.count("note: ") == 1
    kept = tmp_path / "with/not_finite_step_3.npz"
    assert "the loss is nan and the gradient's norm nan at step 3, which is skipped: " in said
    assert f": the batch of step 3 is in {kept}; metrics count such steps as bad_steps" in said


def test_the_first_broken_batch_is_kept_and_no_other(weights, with_bad, tmp_path):
    train(schedule(log_every=100), tmp_path, with_bad(7, 9))
    (file,) = tmp_path.glob("not_finite*")
    bad = weights.batch(7)
    bad["y"][1] = np.nan
    with np.load(file) as saved:
        assert file.name == "not_finite_step_7.npz"
        for name, array in bad.items():
            np.testing.assert_array_equal(saved[name], array)


def test_a_batch_that_cannot_be_kept_does_not_end_the_training(with_bad, tmp_path, capsys):
    (tmp_path / "not_finite_step_7.partial").mkdir(parents=True)
    assert train(schedule(), tmp_path, with_bad(7)).step == 20
    assert "its batch could not be kept (Is a directory)" in capsys.readouterr().err


@pytest.mark.parametrize("most, kept", [(1, [1, 2, 3, 4]), (3, [1, 2, 3, 4, 5, 6])])
def test_too_many_in_a_row_end_the_training_with_the_reason(weights, with_bad, tmp_path, most, kept):
    """The last checkpoint is from before the step that was one too many, and the same command goes on from it."""
    config = schedule(max_bad_steps=most, checkpoint_every=1, keep_checkpoints=100)
    reason = rf"loss is nan .* at step {4 + most}, number {most} of such steps in a row .*max_bad_steps.*step 5 is in .*rate"
    with pytest.raises(UserError, match=reason):
        train(config, tmp_path, with_bad(*range(5, 5 + most)))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == kept
    assert train(config, tmp_path, weights.batches).step == 20


def test_broken_steps_with_good_ones_between_do_not_end_it(with_bad, tmp_path):
    assert train(schedule(max_bad_steps=2), tmp_path, with_bad(*range(1, 20, 2))).step == 20
    assert bad_steps(tmp_path)[-1] == 10


def test_a_resumed_run_skips_the_same_steps(with_bad, tmp_path):
    whole = train(schedule(), tmp_path / "whole", with_bad(3, 12))
    train(schedule(steps=10), tmp_path / "parts", with_bad(3, 12))
    assert_equal(train(schedule(), tmp_path / "parts", with_bad(3, 12)), whole)
    assert bad_steps(tmp_path / "parts") == bad_steps(tmp_path / "whole") == [0] * 2 + [1] * 9 + [2] * 9


def test_steps_skipped_since_the_last_line_of_metrics_are_counted_on(with_bad, tmp_path):
    """The run stops at step 10, after a line at step 7 and a skipped step 9."""
    train(schedule(steps=10, log_every=7), tmp_path, with_bad(3, 9))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] < 10))
    train(schedule(log_every=7), tmp_path, with_bad(3, 9))
    assert bad_steps(tmp_path) == [0, 1, 2, 2, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
def test_a_broken_step_of_the_networks_changes_nothing_and_needs_no_program_of_its_own(small_config, wave_batch, caplog):
    """One kernel of the depth network is infinite, so that disparity is no number; a sound state then trains as ever."""
    sound = jax.device_get(create_state(small_config))
    kernel = sound.params["depth"]["bottleneck"]["kernel"]
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.inf) if leaf is kernel else leaf, sound)
    step, batch = parallel.data_parallel(train_step(small_config)), parallel.split(wave_batch(0))
    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        after, metrics = step(parallel.replicate(broken), batch)
        assert not np.isfinite(metrics["loss"])
        assert_equal(after, broken.replace(step=1))
        after, metrics = step(parallel.replicate(sound), batch)
        messages = [record.getMessage() for record in caplog.records]
    assert np.isfinite(metrics["loss"])
    assert any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (after.params, sound.params)), strict=True))
    assert sum(m.startswith("Compiling") and f"'{parallel.AXIS}'" in m for m in messages) == 1
