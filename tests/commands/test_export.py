"""`dopi-jax export`: a run as one file, and what a newcomer is told."""

import numpy as np
import pytest

import dopi_jax
from dopi_jax import __main__ as commands
from dopi_jax.data.images import network_input
from dopi_jax.predict import make_predict_disparity
from dopi_jax.training.trained import read_run

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_the_file_is_the_run_without_its_places(trained, tmp_path, capsys):
    out = tmp_path / "models/mine.npz"
    commands.main(["export", str(trained.workdir), "--out", str(out)])
    assert "depth, pose of step 2, " in capsys.readouterr().out
    model = dopi_jax.load(out)
    assert (model.step, model.config.data.root, model.config.init_from) == (2, "", "")
    config, variables, _ = read_run(trained.workdir)
    assert model.config.model == config.model
    frame = np.random.default_rng(0).integers(0, 256, (config.data.height, config.data.width, 3), np.uint8)
    disparity = make_predict_disparity(config)(variables, network_input(frame)[None])
    np.testing.assert_allclose(model(frame).disparity, disparity, rtol=0.02)  # half precision
    np.testing.assert_allclose(dopi_jax.load(trained.workdir)(frame).disparity, disparity, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "--out", "m.npz"], "nowhere is no run's folder: expected one with config.json"),
        (["RUN", "--out", "m.pt"], "m.pt is no name for a model: expected NAME.npz"),
        (["RUN"], "the following arguments are required: --out; --help lists the options"),
        (["RUN", "--out", "m.npz", "--wich", "best"], "unrecognized arguments: --wich"),
        (["RUN", "--out", "m.npz", "--which", "last"], "invalid choice: 'last'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(trained, tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        commands.main(["export", *(str(trained.workdir) if a == "RUN" else a for a in arguments)])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert told in said and said.startswith("error: ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
