"""`dopi-jax video`: training on one's own footage and prediction, in one command."""

import json

import cv2
import numpy as np
import pytest

from dopi_jax.commands import video
from dopi_jax.config import Config
from dopi_jax.model_file import write_model
from dopi_jax.networks import network_variables
from dopi_jax.training import create_state

pytestmark = pytest.mark.usefixtures("quick_compile")

HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config = Config()
    config.data.height, config.data.width = HEIGHT, WIDTH
    config.model.depth = config.model.pose = "lite"
    state = create_state(config)
    path = tmp_path_factory.mktemp("model") / "untrained.npz"
    write_model(path, config, network_variables(state.params, state.batch_stats), 3)
    return path


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Forty frames past a textured wall: the upper half moves faster than the lower."""
    folder = tmp_path_factory.mktemp("footage") / "walk"
    folder.mkdir()
    rng = np.random.default_rng(0)
    upper, lower = (cv2.resize(rng.integers(0, 255, (12, 120), np.uint8), (600, HEIGHT // 2)) for _ in range(2))
    for index in range(40):
        rows = [upper[:, 6 * index : 6 * index + WIDTH], lower[:, 2 * index : 2 * index + WIDTH]]
        cv2.imwrite(str(folder / f"{index:03d}.png"), np.vstack(rows))
    (folder / "intrinsics.txt").write_text("100 100 63.5 31.5")
    return folder


def run(*arguments):
    video.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_it_trains_measures_and_predicts(model, walk, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "_TIMED_STEPS", 4)
    monkeypatch.setattr(video, "_FEWEST_STEPS", 6)
    arguments = [walk, "--out", tmp_path / "out", "--minutes", "1e-6", "--model", model]
    run(*arguments)
    said = capsys.readouterr()
    assert "photometric error of held-out frames: " in said.out and "after 6 steps" in said.out
    summary = json.loads((tmp_path / "out/video.json").read_text())
    helped = all(after < before for before, after in summary["before_and_after"].values())
    assert (tmp_path / "out/before_after.png").is_file()
    assert summary["steps"] == 6 and (summary["model"] == str(tmp_path / "out/training")) == helped
    assert (tmp_path / "out/prediction/index.html").is_file()
    run(*arguments)  # all of the training is there already
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.slow
def test_it_trains_the_flow_network_where_asked(walk, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "_TIMED_STEPS", 2)
    monkeypatch.setattr(video, "_FEWEST_STEPS", 3)
    variables = {}
    for phase in ("depthpose", "flow"):
        config = Config(phase=phase)
        config.data.height, config.data.width = HEIGHT, WIDTH
        config.model.depth, config.model.pose, config.model.flow = "lite", "lite", "lite"
        state = create_state(config)
        variables |= network_variables(state.params, state.batch_stats)
    write_model(tmp_path / "flow.npz", config, variables, 3)
    arguments = ["--minutes", "1e-6", "--flow-minutes", "1e-6", "--model", tmp_path / "flow.npz", "--no-flow"]
    run(walk, "--out", tmp_path / "out", *arguments)
    assert "photometric error by flow of held-out frames: " in capsys.readouterr().out
    summary = json.loads((tmp_path / "out/video.json").read_text())
    assert 0 < summary["flow_steps"] <= 3  # of the best checkpoint
    helped = [all(a < b for b, a in summary[f"{of}before_and_after"].values()) for of in ("", "flow_")]
    assert (summary["model"] == str(tmp_path / "out/model.npz")) == any(helped)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["WALK/000.png"], "has too few frames, 1: expected a video or folder with 30 at least"),
        (["WALK", "--minutes", "0"], "--minutes is 0: expected more than 0"),
        (["WALK", "--flow-minutes", "-1"], "--flow-minutes is -1: expected 0 or more"),
        (["WALK", "--flow-minutes", "1", "--model", "MODEL"], "has no lite flow network: leave it out"),
        (["WALK", "--field-of-view", "1"], "--field-of-view is 1"),
        (["WALK", "--model", "nothing"], "'nothing' is no model"),
    ],
)
def test_mistakes_are_one_sentence(model, walk, tmp_path, capsys, arguments, told):
    with pytest.raises(SystemExit) as ended:
        run(*(a.replace("WALK", str(walk)).replace("MODEL", str(model)) for a in arguments), "--out", tmp_path / "out")
    assert ended.value.code == 1
    assert told in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
