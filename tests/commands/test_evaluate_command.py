"""evaluate.py from its command line, on a run that train.py has left."""

import csv
import json
import pathlib
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from dopi_jax import predict
from dopi_jax.config import Config, DataConfig
from dopi_jax.experiments import evaluate_pose
from dopi_jax.formats import read_kitti_poses

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def evaluated(command, trained):
    """A function of a task that runs it and returns the table, the summary and the rows."""

    def evaluate(task, *arguments):
        said = command("evaluate", f"--task={task}", f"--workdir={trained.workdir}", *arguments)
        assert said.status == 0, said.err
        folder = trained.workdir / "evaluation"
        assert (folder / f"{task}.txt").read_text() in said.out
        assert not list(folder.glob("*.partial"))
        with (folder / f"{task}.csv").open() as file:
            return said.out, json.loads((folder / f"{task}.json").read_text()), list(csv.DictReader(file))

    return evaluate


def test_depth_on_the_eigen_frames_at_hand(evaluated, trained):
    """Frames 0, 2 and 4 of the drive are in the list of 697."""
    table, summary, rows = evaluated("depth")
    assert "3 of 697" in table
    assert (summary["evaluated"], summary["expected"], summary["step"]) == (3, 697, 2)
    assert {row["image"].rpartition("/")[2] for row in rows} == {f"{number:010d}.png" for number in (0, 2, 4)}
    for protocol in ("cc", "monodepth2"):
        per_image = [float(row["abs_rel"]) for row in rows if row["protocol"] == protocol]
        assert len(per_image) == 3
        assert summary[protocol]["abs_rel"] == pytest.approx(np.mean(per_image))
    assert set(summary["baselines"]) == {"constant depth", "best depth per row"}, "no training drive has laser scans"
    assert np.asarray(Image.open(trained.workdir / "evaluation/depth.png")).ndim == 3


def test_depth_by_improved_maps_and_predictions_as_files(evaluated, trained):
    root = pathlib.Path(json.loads((trained.workdir / "config.json").read_text())["data"]["root"])
    drive = next((root / "kitti_raw").glob("*/*_drive_0052_sync"))
    folder = root / f"kitti_depth/val/{drive.name}/proj_depth/groundtruth/image_02"
    folder.mkdir(parents=True)
    size = Image.open(next((drive / "image_02/data").iterdir())).size[::-1]
    for number in (0, 2):
        cv2.imwrite(str(folder / f"{number:010d}.png"), np.full(size, 256 * 12, np.uint16))
    try:
        table, summary, _ = evaluated("depth", "--save-predictions")
    finally:
        shutil.rmtree(root / "kitti_depth")
    assert "Improved depth maps, monodepth2 protocol, no crop, cap 80 m: 2 of 652 frames" in table
    assert summary["improved"]["dopi_jax"]["images"] == 2
    assert summary["improved"]["constant depth"]["abs_rel"] == pytest.approx(0, abs=1e-6)  # 12 m everywhere is one
    results = trained.workdir / "evaluation"
    assert np.asarray(Image.open(results / "depth_worst.png")).ndim == 3
    saved = sorted((results / "depth_predictions").iterdir())
    assert [path.name for path in saved] == [f"{drive.name}_{number:010d}.png" for number in (0, 2, 4)]
    assert 5 < np.median(cv2.imread(str(saved[0]), cv2.IMREAD_UNCHANGED)) / 256 < 40  # metres, of a wall 7 to 23 m ahead


def test_pose_on_the_sequences_of_the_config(evaluated, trained):
    table, summary, rows = evaluated("pose")
    assert set(summary["ate"]["3"]) == set(summary["ate"]["5"]) == {"09", "10"}
    assert summary["ate"]["3"]["09"]["snippets"] == 10
    assert summary["ate"]["5"]["09"]["snippets"] == 8
    of_three = [float(row["ate"]) for row in rows if row["sequence"] == "09" and row["length"] == "3"]
    assert summary["ate"]["3"]["09"]["mean"] == pytest.approx(np.mean(of_three))
    assert "0.0081" in table, "the paper's number beside ours"
    for name in ("09", "10"):
        poses = read_kitti_poses(trained.workdir / f"evaluation/trajectory_{name}_kitti.txt")
        assert poses.shape == (12, 4, 4)
        assert len((trained.workdir / f"evaluation/trajectory_{name}_tum.txt").read_text().splitlines()) == 13
        assert Image.open(trained.workdir / f"evaluation/trajectory_{name}.png").size == (600, 600)


def test_metres_by_the_camera_height_where_the_depth_shows_a_road(monkeypatch, capsys):
    """A camera 0.11 units above a plane, 1.65 m above the road: 15 metres a unit. A wall shows no road."""
    K = np.array([[40.0, 0, 31.5], [0, 40.0, 11.5], [0, 0, 1]])
    rows = np.arange(24.0)[:, None]
    road = np.broadcast_to(np.maximum((rows - 11.5) / (40 * 0.11), 1e-3), (24, 64))
    run = SimpleNamespace(config=Config(data=DataConfig(camera_height=1.65)), variables={"depth": {}})
    frames = np.zeros((5, 24, 64, 3), np.uint8)
    for disparity, expected in ((road, 15.0), (np.ones((24, 64)), None)):
        monkeypatch.setattr(predict, "make_predict_disparity", lambda _, d=disparity: lambda *_: d[None])
        found = evaluate_pose._metres_per_unit(run, "03", frames, K)
        assert found == (expected and pytest.approx(expected, rel=1e-3))
    assert "03 shows no level road" in capsys.readouterr().err
    run.config.data.camera_height = 0.0
    assert evaluate_pose._metres_per_unit(run, "03", frames, K) is None


def test_overrides_and_the_checkpoint_can_be_chosen(evaluated):
    _, summary, rows = evaluated("pose", "--checkpoint=latest", "--config.data.pose_test=kitti_odometry:03[2:8]")
    assert set(summary["ate"]["3"]) == {"03[2:8]"}
    assert [row["first_frame"] for row in rows if row["length"] == "3"] == ["2", "3", "4", "5"]


def test_a_sequence_that_is_not_at_hand_is_left_out_with_a_note(command, trained):
    said = command(
        "evaluate",
        "--task=pose",
        f"--workdir={trained.workdir}",
        "--config.data.pose_test=('kitti_odometry:05','kitti_odometry:03')",
    )
    assert said.status == 0, said.err
    assert "note: left out: kitti_odometry:05 is not at hand" in said.err


def test_a_model_is_evaluated_in_place_of_a_run(command, tiny_kitti, tmp_path):
    data = f"--config.data.root={tiny_kitti}"
    said = command("evaluate", "--task=depth", "--model=driving", f"--workdir={tmp_path / 'driving'}", data)
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "driving/evaluation/depth.json").read_text())["evaluated"] == 3
    for arguments, message in (
        (["--model=nowhere"], "--model is 'nowhere': expected a file .npz or a shipped model (driving)"),
        (["--model=nowhere.npz"], "model nowhere.npz does not exist"),
        (["--model=driving", "--config=configs/kitti_flow.py"], "leave --config out"),
        (["--model=driving", "--config.model.depth=resnet6"], "is not what driving was trained with ('lite')"),
    ):
        said = command("evaluate", "--task=depth", *arguments, f"--workdir={tmp_path / 'none'}", data)
        assert said.status == 1 and message in said.err
        assert not (tmp_path / "none").exists()
