"""`dopi-jax figures`: the pictures that it draws, and wrong input."""

import json

import numpy as np
import pytest
from PIL import Image

from dopi_jax.commands import figures

pytestmark = pytest.mark.usefixtures("quick_compile")


def run(*arguments):
    figures.main([str(argument) for argument in arguments])


def source_of(trained):
    return json.loads((trained.workdir / "config.json").read_text())["data"]["root"]


@pytest.mark.slow
def test_figures_of_both_phases(trained, trained_flow, tmp_path, capsys):
    data = ("--source", source_of(trained), "--select", "kitti_raw:2011_09_26_drive_0095", "--snippets", 2)
    run(trained.workdir, trained_flow.workdir, *data, "--out", tmp_path)
    names = trained.workdir.name, trained_flow.workdir.name
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {f"masks_{names[0]}.png", f"masks_{names[1]}.png", f"flow_{names[1]}.png", "normalisation.png"}
    assert set(capsys.readouterr().out.splitlines()) == {str(tmp_path / name) for name in written}
    height, width = 64, 96
    masks = np.asarray(Image.open(tmp_path / f"masks_{names[0]}.png"))
    assert masks.shape == (2 * height + 4, 6 * (width + 4) - 4, 3)
    assert np.asarray(Image.open(tmp_path / "normalisation.png")).shape[1] == 4 * (width + 4) - 4


def test_mistakes_are_one_sentence(trained, tmp_path, capsys):
    data = ("--source", source_of(trained), "--select", "kitti_raw:2011_09_26_drive_0095", "--out", tmp_path / "out")
    for arguments, told in (
        ([tmp_path, *data], "is no run's folder"),
        ([trained.workdir, trained.workdir.parent / trained.workdir.name, *data], "two runs are called"),
        ([trained.workdir, *data, "--snippets", 0], "--snippets is 0"),
    ):
        with pytest.raises(SystemExit):
            run(*arguments)
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
