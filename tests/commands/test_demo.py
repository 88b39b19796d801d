"""The demo, whole, at a size that a test can afford."""

import pathlib
import re

import pytest

from dopi_jax.commands import demo, evaluate_occlusion, street_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compile")]


def test_the_demo_leaves_a_report_and_is_done_when_it_is_done(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(pathlib.Path(__file__).parents[2])
    monkeypatch.setattr(street_runs, "SIZE", (64, 128))
    monkeypatch.setattr(street_runs, "FRAMES", {"kitti_raw": 32, "kitti_odometry": 24, "kitti_flow_2015": 1})
    monkeypatch.setattr(evaluate_occlusion, "_STREETS", 1)
    arguments = [f"--workdir={tmp_path}", "--steps=2"]
    demo.main(arguments)
    said = capsys.readouterr()
    assert "Measured on unseen streets" in said.out and str(tmp_path / "report.html") in said.out
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) >= 6
    for text in ("train/loss: ", "Depth", "Pose", "Flow", "Occlusion", "no motion", "straight ahead"):
        assert text in page
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", page), "the page needs nothing but itself"

    demo.main(arguments)
    again = capsys.readouterr()
    assert "drawing streets" not in again.err and "nothing to do" in again.err
