"""Checkpoints that are damaged or of another run are named, set aside, and the one before is used."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.errors import UserError
from dopi_jax.training import Checkpoints, loop, parallel, saved_networks, train
from dopi_jax.training.notes import Notes
from dopi_jax.training.saved_networks import restore_networks


@pytest.fixture
def run(state_at, tmp_path):
    """The folder of a run with checkpoints of the steps 2 and 4, and the best of step 2."""
    checkpoints = Checkpoints(tmp_path, config=Config())
    for step in (2, 4):
        checkpoints.save(state_at(step))
    checkpoints.save_if_best(state_at(2), 0.5, "photometric")
    checkpoints.close()
    return tmp_path


def restored(workdir, like):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.restore(like)
    finally:
        checkpoints.close()


def told(workdir):
    return [note["note"] for note in Notes(workdir).last(100)]


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def with_other_bytes(path):
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content), 16):
        content[place] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("damaged", [cut_in_half, emptied, removed, with_other_bytes])
def test_damage_to_any_file(run, state_at, damaged, tmp_path_factory):
    """The state is that of step 4 if the damage does not touch it, else that of step 2, never another one."""
    like, used = state_at(0), {2: 0, 4: 0}
    files = sorted(path.relative_to(run) for path in (run / "checkpoints/4").rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        copy = tmp_path_factory.mktemp("copy")
        shutil.copytree(run, copy, dirs_exist_ok=True)
        damaged(copy / file)
        state = restored(copy, like)
        step = int(state.step)
        used[step] += 1
        for array in (state.params["w"], state.opt_state["momentum"]):
            np.testing.assert_array_equal(array, np.full(3, step))
        assert (copy / "set_aside/checkpoints_4").is_dir() == (step == 2)
        assert len(told(copy)) == (step == 2), file
    assert used[2] > len(files) / 4


def emptied_folder(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize(
    "damage, why",
    [
        (emptied_folder, "it is empty"),
        (a_file, "params, opt_state missing|Not a directory"),
        (lambda folder: shutil.rmtree(folder / "params"), "params missing"),
        (lambda folder: shutil.rmtree(folder / "opt_state"), "opt_state missing"),
        (lambda folder: shutil.copytree(folder.with_name("2"), folder, dirs_exist_ok=True), "of step 2|other bytes|read"),
    ],
)
def test_what_is_wrong_is_said(run, state_at, capsys, damage, why):
    damage(run / "checkpoints/4")
    assert restored(run, state_at(0)).step == 2
    (note,) = told(run)
    assert note.startswith(f"checkpoint {run / 'checkpoints/4'} cannot be used (")
    assert note.endswith(f"set aside as {run / 'set_aside/checkpoints_4'}, the one of step 2 is used")
    assert any(words in note for words in why.split("|")), note
    assert f"note: {note}\n" in capsys.readouterr().err


def test_a_stray_folder(run, state_at):
    (run / "checkpoints/999").mkdir()
    assert restored(run, state_at(0)).step == 4
    assert [path.name for path in (run / "set_aside").iterdir()] == ["checkpoints_999"]


def test_a_checkpoint_of_other_networks(run, state_at, weights, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    checkpoints = Checkpoints(other)
    checkpoints.save(parallel.replicate(weights.state(size=5).replace(step=jnp.asarray(6, jnp.int32))))
    checkpoints.close()
    shutil.copytree(other / "checkpoints/6", run / "checkpoints/6")
    assert restored(run, state_at(0)).step == 4
    assert "does not fit the config's networks: of params/w it has [5], the config has [3]" in told(run)[0]


def test_what_is_set_aside_twice_is_kept_twice(run, state_at):
    for _ in range(2):
        (run / "checkpoints/7").mkdir()
        restored(run, state_at(0))
    assert sorted(path.name for path in (run / "set_aside").iterdir()) == ["checkpoints_7", "checkpoints_7_2"]


def test_all_damaged_is_one_sentence_and_nothing_is_moved(run, state_at):
    for step in (2, 4):
        shutil.rmtree(run / f"checkpoints/{step}/params")
    with pytest.raises(UserError, match=r"checkpoints/4 cannot be used \(params missing\), nor can the 1 before it: name"):
        restored(run, state_at(0))
    assert not (run / "set_aside").exists()


def test_a_run_goes_on_from_the_one_before_to_the_same_end(weights, tmp_path):
    config = Config()
    vars(config.train).update(steps=10, checkpoint_every=2, log_every=1, validate_every=100, image_every=100)
    whole = train(config, tmp_path / "whole", weights.batches)
    config.train.steps = 6
    train(config, tmp_path / "run", weights.batches)
    cut_in_half(next((tmp_path / "run/checkpoints/6/params/ocdbt.process_0/d").iterdir()))
    for file in (tmp_path / "run/checkpoints/6").rglob("*"):
        if file.is_file():
            emptied(file)
    config.train.steps = 10
    state = train(config, tmp_path / "run", weights.batches)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), jax.device_get(whole))
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 11))


@pytest.fixture
def weights_as_networks(weights, monkeypatch):
    monkeypatch.setattr(saved_networks, "create_state", weights.state)
    monkeypatch.setattr(saved_networks, "network_variables", lambda params, stats: params)


@pytest.mark.usefixtures("weights_as_networks")
def test_evaluation_uses_another_one_and_leaves_the_folder_alone(run, capsys):
    shutil.rmtree(run / "best/2/params")
    before = sorted(run.rglob("*"))
    variables, step = restore_networks([run / "best", run / "checkpoints"], Config())
    assert step == 4
    np.testing.assert_array_equal(variables["w"], [4, 4, 4])
    said = capsys.readouterr().err
    assert said == f"note: checkpoint {run}/best/2 cannot be used (params missing): {run}/checkpoints/4 is used\n"
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": 2}', "\x00" * 20, '{"step": 2, "score": "low", "by": "x"}'])
def test_a_damaged_best_json_is_written_again(run, state_at, content):
    """The checkpoint knows its score: a worse one does not replace it."""
    (run / "best.json").write_text(content)
    checkpoints = Checkpoints(run)
    assert not checkpoints.save_if_best(state_at(6), 0.6, "photometric")
    assert json.loads((run / "best.json").read_text()) == {"step": 2, "score": 0.5, "by": "photometric"}
    assert checkpoints.save_if_best(state_at(8), 0.4, "photometric")
    checkpoints.close()
    (note,) = told(run)
    assert note.endswith(f"set aside as {run}/set_aside/best.json, written again from the best checkpoint")
    assert (run / "set_aside/best.json").read_text() == content


@pytest.mark.parametrize("content", ["", '{"phase": "dep', "[1]", "\x00" * 20])
def test_a_damaged_config_is_written_again(weights, tmp_path, monkeypatch, content):
    config = Config()
    vars(config.train).update(steps=2, log_every=1)
    train(config, tmp_path, weights.batches)
    whole = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(content)
    # Of other networks the checkpoint's copy knows, too.
    other = Config()
    other.model.depth = "lite"
    with pytest.raises(UserError, match=r"holds a run with model.depth = 'resnet6', but the config asks for 'lite'"):
        loop.train(other, tmp_path, weights.batches)
    train(config, tmp_path, weights.batches)
    assert (tmp_path / "config.json").read_text() == whole
    assert (tmp_path / "set_aside/config.json").read_text() == content
    assert any("config.json is damaged: set aside" in note for note in told(tmp_path))
