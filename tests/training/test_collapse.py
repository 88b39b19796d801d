"""Signs of a training that learns nothing any more."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.models.disparity import is_saturated, to_disparity
from dopi_jax.training import loop, train
from dopi_jax.training.collapse import CollapseMonitor

SOUND = {"loss": 0.3, "disparity_spread": 0.5, "saturated": 0.2, "kept": 0.4, "translation": 0.03}


def look_at(values, steps):
    """By step, what is said of values, the same at every step or a function of it."""
    monitor, values_at = CollapseMonitor(), values if callable(values) else lambda step: values
    said = {step: monitor.check(step, values_at(step)) for step in steps}
    return {step: sentences for step, sentences in said.items() if sentences}


@pytest.mark.parametrize(
    "sign, words",
    [
        ({"disparity_spread": 4.8e-7}, "disparity is the same all over the image, its spread is 5e-07 of its mean"),
        ({"saturated": 0.97}, "97% of the disparities are at an end of their range"),
        ({"kept": 0.004}, "masks let only 0.4% of the pixels count"),
        ({"translation": 2e-5}, "the camera hardly moves, by 2e-05 of the unit of depth"),
    ],
)
def test_a_sign_that_lasts_is_told_once_in_words(sign, words):
    ((step, said),) = look_at(SOUND | sign, range(0, 2000, 50)).items()
    assert step == 200
    assert len(said) == 1 and said[0].startswith(f"for 200 steps {words}")


def test_a_sound_training_and_a_phase_without_these_diagnostics_are_not_told():
    assert look_at(SOUND, range(0, 2000, 50)) == {}
    assert look_at({"loss": 1.0, "flow_length": 0.0}, range(0, 2000, 50)) == {}
    assert look_at(SOUND | {"disparity_spread": float("nan")}, range(0, 2000, 50)) == {}


def test_a_sign_at_the_start_or_now_and_then_is_not_told():
    assert look_at(lambda step: SOUND | {"disparity_spread": 0.0 if step < 200 else 0.05}, range(0, 2000, 50)) == {}
    assert look_at(lambda step: SOUND | {"kept": 0.0 if step % 200 else 0.5}, range(0, 2000, 50)) == {}


def test_two_looks_are_too_few_however_far_apart():
    assert list(look_at(SOUND | {"kept": 0.0}, range(0, 5000, 1000))) == [2000]


def test_saturation_is_where_the_sigmoid_hardly_passes_gradient():
    """sigmoid'(x) is 0.0009 at 7 and 0.0025 at 6."""
    found = is_saturated(to_disparity(jnp.array([-9.0, -7.0, -6.0, -2.0, 0.0, 6.0, 7.0, 20.0])))
    np.testing.assert_array_equal(found, [True, True, False, False, False, False, True, True])


def test_the_training_warns_on_the_terminal(weights, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(loop, "train_step", lambda config: _collapsed(weights.step()))
    config = Config()
    config.train.steps, config.train.log_every = 300, 50
    train(config, tmp_path, weights.batches)
    said = capsys.readouterr().err
    assert said.count("note: for ") == 1
    assert "note: for 249 steps disparity is the same all over the image" in said  # the first step is logged, too
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isclose(line["train/disparity_spread"], 1e-6) for line in lines)


def _collapsed(step):
    def collapsed(state, batch):
        state, metrics = step(state, batch)
        return state, metrics | {"disparity_spread": jnp.float32(1e-6)}

    return collapsed
