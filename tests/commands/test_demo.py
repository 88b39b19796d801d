"""The demo and the ablations, whole, at a size that a test can afford."""

import json
import pathlib
import re

import pytest

from dopi_jax.commands import ablation, demo
from dopi_jax.experiments import evaluate_occlusion, synthetic_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compile")]


def test_the_demo_leaves_a_report_and_is_done_when_it_is_done(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(pathlib.Path(__file__).parents[2])
    monkeypatch.setattr(synthetic_runs, "SIZE", (64, 128))
    monkeypatch.setattr(synthetic_runs, "FRAMES", {"kitti_raw": 32, "kitti_odometry": 24, "kitti_flow_2015": 1})
    monkeypatch.setattr(evaluate_occlusion, "_STREETS", 1)
    arguments = [f"--workdir={tmp_path}", "--steps=2"]
    demo.main(arguments)
    said = capsys.readouterr()
    assert "Measured on unseen streets" in said.out and str(tmp_path / "report.html") in said.out
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) >= 6
    for text in ("train/loss: ", "Depth", "Pose", "Flow", "Occlusion", "no motion", "straight ahead", "training median"):
        assert text in page
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", page), "the page needs nothing but itself"

    demo.main(arguments)
    again = capsys.readouterr()
    assert "drawing streets" not in again.err and "nothing to do" in again.err


def test_the_ablations_train_every_row_once_and_make_two_tables(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(pathlib.Path(__file__).parents[2])
    monkeypatch.setattr(synthetic_runs, "SIZE", (64, 128))
    monkeypatch.setattr(synthetic_runs, "FRAMES", {"kitti_raw": 32, "kitti_odometry": 24, "kitti_flow_2015": 1})
    ablation.run(tmp_path, [3], steps=1)
    said = capsys.readouterr().out
    assert said.count("mean ± standard deviation over 1 seeds") == 2
    results = json.loads((tmp_path / "ablation.json").read_text())
    rows = {f"Table {table}, {row}" for table in ("II", "V") for row in ("basic", "occ", "occ_ltm", "full")}
    assert set(results) == {"seeds", *rows}
    (full,) = results["Table II, full"]
    depth = json.loads((tmp_path / "seed_3/depthpose_full/evaluation/depth.json").read_text())
    pose = json.loads((tmp_path / "seed_3/depthpose_full/evaluation/pose.json").read_text())
    assert full["AbsRel"] == depth["cc"]["abs_rel"]
    assert full["3-frame ATE [m]"] == pytest.approx(sum(pose["ate"]["3"][name]["mean"] for name in ("09", "10")) / 2)
    assert f"{full['AbsRel']:.4f} ± 0.0000" in said
