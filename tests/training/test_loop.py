"""The training loop: what it leaves on disk, and that every way of stopping and going on ends at the same weights."""

import json
import logging
import os
import signal
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dopi_jax import config as config_lib
from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import Checkpoints, loop, parallel, train


def schedule(**fields):
    """Ten steps that are logged one by one; pictures, validation and checkpoints only at the end unless fields say so."""
    config = Config()
    defaults = {"steps": 10, "log_every": 1, "image_every": 100, "validate_every": 100, "checkpoint_every": 100}
    for name, value in (defaults | fields).items():
        setattr(config.train, name, value)
    return config


def at_step(step, act):
    """A `draw` that acts once, at a step; it needs image_every=1."""

    def draw(state):
        if int(state.step) == step:
            act()
        return {}

    return draw


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def crash():
    raise RuntimeError("the machine is gone")


def logged(workdir, group="train"):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if any(name.startswith(group) for name in line)]


def latest(workdir, like):
    """The last checkpoint's state."""
    checkpoints = Checkpoints(workdir, keep=100)
    state = checkpoints.restore(parallel.replicate(like))
    checkpoints.close()
    return jax.device_get(state)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def test_a_run_leaves_its_config_metrics_pictures_and_a_checkpoint(weights, tmp_path):
    config = schedule(steps=60, log_every=20, image_every=30, validate_every=30)
    state = train(
        config,
        tmp_path / "new" / "run",
        weights.batches,
        validate=lambda state: {"photometric": float(state.params["w"][0])},
        draw=lambda state: {"weights": np.full((4, 6, 3), int(state.step), np.uint8)},
    )
    workdir = tmp_path / "new" / "run"
    assert state.step == 60
    np.testing.assert_allclose(state.params["w"], [1, 2, 3], atol=0.05)
    assert config_lib.from_json((workdir / "config.json").read_text()) == config
    assert [line["step"] for line in logged(workdir)] == [1, 20, 40, 60]
    values = ("loss", "grad_norm", "bad_steps", "steps_per_second", "waiting_for_input")
    assert set(logged(workdir)[0]) == {"step", *(f"train/{name}" for name in values)}
    assert [line["step"] for line in logged(workdir, "validation")] == [30, 60]
    assert sorted(path.name for path in (workdir / "images").iterdir()) == ["weights_0000030.png", "weights_0000060.png"]
    assert_equal(latest(workdir, weights.state()), state)


def test_the_share_of_time_that_input_takes(weights, tmp_path, monkeypatch):
    """By a clock that only batches, 3 s each, and pictures, 1 s each, move; pictures are drawn of steps that are done."""
    clock = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])

    def moved_by(seconds, result):
        clock[0] += seconds
        return result

    train(
        schedule(steps=5, log_every=2, image_every=1),
        tmp_path,
        lambda first: (moved_by(3, batch) for batch in weights.batches(first)),
        draw=lambda state: moved_by(1, jax.block_until_ready(state) and {}),
    )
    shares = {line["step"]: line["train/waiting_for_input"] for line in logged(tmp_path)}
    assert shares == {1: 0, 2: 3 / 4, 4: 6 / 8, 5: 3 / 4}


def test_input_takes_no_time_while_the_devices_work(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    waited = loop._WaitedFor(iter("abc"))
    for is_ready, seconds in ((True, 1), (False, 0)):
        waited.while_not_ready(SimpleNamespace(is_ready=lambda is_ready=is_ready: is_ready))
        next(waited)
        assert waited.since_last_asked() == seconds


@pytest.mark.parametrize("end, resumed_from", [(ask_to_stop, 5), (crash, 4)])
def test_a_resumed_run_equals_an_uninterrupted_one(weights, tmp_path, capsys, end, resumed_from):
    """The same call goes on: from the step at which it was asked to stop, or from the checkpoint before a crash."""
    config = schedule(image_every=1, checkpoint_every=2)
    whole = train(config, tmp_path / "whole", weights.batches)
    try:
        train(config, tmp_path / "parts", weights.batches, draw=at_step(5, end))
    except RuntimeError:
        pass
    assert "resumed" not in capsys.readouterr().err
    state = train(config, tmp_path / "parts", weights.batches)
    assert f"resumed from step {resumed_from}\n" in capsys.readouterr().err
    assert_equal(state, whole)
    assert_equal(latest(tmp_path / "parts", weights.state()), whole)
    assert [line["step"] for line in logged(tmp_path / "parts")] == list(range(1, 11))
    for parts, alone in zip(logged(tmp_path / "parts"), logged(tmp_path / "whole"), strict=True):
        assert parts["train/loss"] == alone["train/loss"]


def test_the_step_compiles_once_in_a_run_and_once_after_a_resume(weights, tmp_path, caplog):
    """State that is not placed as the step leaves it would compile twice: minutes, for the large networks."""

    def compilations():
        caplog.clear()
        train(schedule(image_every=1), tmp_path, weights.batches, draw=at_step(5, ask_to_stop))
        messages = [record.getMessage() for record in caplog.records]
        on_all_devices = [m for m in messages if m.startswith("Compiling") and f"'{parallel.AXIS}'" in m]
        return len(on_all_devices), logged(tmp_path)[-1]["step"]

    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        assert compilations() == (1, 5)
        assert compilations() == (1, 10)


def test_a_finished_run_does_nothing(weights, tmp_path, capsys):
    state = train(schedule(steps=3), tmp_path, weights.batches)
    again = train(schedule(steps=3), tmp_path, weights.batches)
    said = capsys.readouterr().err
    assert "resumed from step 3\n" in said
    assert "nothing to do: config.train.steps is 3\n" in said
    assert_equal(again, state)
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("request_stop", [signal.SIGTERM, signal.SIGINT])
def test_validation_stops_at_once_when_asked(weights, tmp_path, capsys, request_stop):
    """A cluster kills what has not ended half a minute after SIGTERM; validation may take longer."""
    before = signal.getsignal(request_stop)

    def validate(state):
        os.kill(os.getpid(), request_stop)
        time.sleep(10)
        return {"photometric": 1.0}

    state = train(schedule(validate_every=4), tmp_path, weights.batches, validate=validate)
    assert state.step == 4
    assert "stopped at step 4 as asked" in capsys.readouterr().err
    assert_equal(latest(tmp_path, weights.state()), state)
    assert logged(tmp_path, "validation") == []
    assert signal.getsignal(request_stop) is before


def test_a_request_that_validation_swallows_is_honoured_after_it(weights, tmp_path):
    def validate(state):
        try:
            ask_to_stop()
        except BaseException:  # as Python does in the finalisers that a signal may happen to hit
            pass
        return {"photometric": 1.0}

    state = train(schedule(validate_every=4), tmp_path, weights.batches, validate=validate)
    assert state.step == 4
    assert_equal(latest(tmp_path, weights.state()), state)


def test_a_checkpoint_is_not_touched_by_later_steps(weights, tmp_path):
    """It is written in the background, while the steps after it reuse the memory of the state."""
    seen = {}

    def remember(state):
        seen[int(state.step)] = jax.device_get(state)
        return {}

    config = schedule(image_every=1, checkpoint_every=1, keep_checkpoints=100)
    train(config, tmp_path, weights.batches, draw=remember)
    for step in range(10, 0, -1):
        assert_equal(latest(tmp_path, weights.state()), seen[step])
        folder = tmp_path / "checkpoints" / str(step)
        folder.rename(tmp_path / f"seen_{step}")


def test_validation_chooses_the_best_checkpoint(weights, tmp_path):
    scores = {2: 0.5, 4: 0.2, 6: float("nan"), 8: 0.3, 10: 0.2}
    train(
        schedule(validate_every=2),
        tmp_path,
        weights.batches,
        validate=lambda state: {"photometric": scores[int(state.step)], "abs_rel": 1.0},
    )
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["4"]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 4, "score": 0.2, "by": "photometric"}


def test_the_latest_validated_checkpoint_can_count_as_the_best(weights, tmp_path):
    config = schedule(validate_every=4)
    config.train.best_by = "latest"
    train(config, tmp_path, weights.batches, validate=lambda state: {"photometric": float(state.step)})
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["10"]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 10, "score": -10, "by": "latest"}


def test_a_score_that_validation_lacks_is_an_error(weights, tmp_path):
    config = schedule(steps=1)
    config.train.best_by = "abs_rel"
    with pytest.raises(UserError, match=r"best_by is 'abs_rel', but validation gave loss, photometric"):
        train(config, tmp_path, weights.batches, validate=lambda _: {"loss": 1.0, "photometric": 1.0})


def test_another_networks_run_is_left_alone(weights, tmp_path):
    config = schedule(steps=1)
    train(config, tmp_path, weights.batches)
    before = (tmp_path / "config.json").read_text()
    config.model.depth = "lite"
    with pytest.raises(UserError, match=r"holds a run with model.depth = 'resnet6', but the config asks for 'lite'"):
        train(config, tmp_path, weights.batches)
    assert (tmp_path / "config.json").read_text() == before


def test_a_batch_that_cannot_be_divided_stops_before_the_first_step(four_devices, weights, tmp_path):
    with pytest.raises(UserError, match=r"6 snippets for \d+ devices"):
        train(schedule(), tmp_path, lambda first: [weights.batch(1, size=6)])


def test_batches_that_end_early_are_told_and_what_was_learnt_is_kept(weights, tmp_path):
    with pytest.raises(UserError, match=r"the batches end after step 3, config.train.steps is 10"):
        train(schedule(), tmp_path, lambda first: [weights.batch(step) for step in range(1, 4)])
    assert latest(tmp_path, weights.state()).step == 3


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_networks_resumed_equal_networks_uninterrupted(small_config, wave_batch, tmp_path, average):
    small_config.train.average = average
    vars(small_config.train).update(vars(schedule(steps=small_config.train.steps, image_every=1).train))

    def batches(first):
        for step in range(first + 1, 100):
            yield wave_batch(step)

    whole = train(small_config, tmp_path / "whole", batches)
    train(small_config, tmp_path / "parts", batches, draw=at_step(1, ask_to_stop))
    assert_equal(train(small_config, tmp_path / "parts", batches), whole)
