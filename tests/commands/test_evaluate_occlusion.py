"""evaluate.py --task occlusion: on true geometry without any run, and on what a run has learnt."""

import json

import pytest
from PIL import Image

from dopi_jax.experiments import evaluate_occlusion

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def few_streets(monkeypatch):
    monkeypatch.setattr(evaluate_occlusion, "_STREETS", 2)


def test_true_geometry_needs_no_run_and_no_data(command, few_streets, tmp_path):
    size = ("--config.data.height=192", "--config.data.width=640")
    said = command("evaluate", "--task=occlusion", f"--workdir={tmp_path}", *size)
    assert said.status == 0, said.err
    assert "Pixels that are not visible, inside the image, 2 streets" in said.out
    summary = json.loads((tmp_path / "evaluation/occlusion.json").read_text())
    inside = summary["inside the image"]
    assert set(inside) == {"true"}
    paper, compared = (inside["true"][name] for name in ("paper: edge, overlap, blank", "depth comparison, 5%"))
    # Driving forwards the paper's rule is good; backwards it draws stripes over everything (Fig. 9).
    assert paper["forward"]["f1"] > 0.7 and paper["backward"]["precision"] < 0.3
    assert compared["forward"]["f1"] > 0.8 and compared["backward"]["f1"] > 0.8
    # Where a static pixel leaves the image is known exactly.
    assert summary["whole image"]["true"]["edge"]["forward"]["precision"] > 0.99
    assert Image.open(tmp_path / "evaluation/occlusion.png").size == (3 * 640 + 8, 2 * 192 + 4)


def test_a_run_is_measured_beside_the_truth(command, few_streets, trained_flow):
    said = command("evaluate", "--task=occlusion", f"--workdir={trained_flow.workdir}")
    assert said.status == 0, said.err
    inside = json.loads((trained_flow.workdir / "evaluation/occlusion.json").read_text())["inside the image"]
    assert set(inside["learned"]) == set(inside["true"])
    height, width = 64, 128
    picture = Image.open(trained_flow.workdir / "evaluation/occlusion.png")
    assert picture.size == (4 * width + 3 * 4, 2 * height + 4), "beside true depth's, one panel of what was learnt"
