"""Ground truth that cannot be read, in evaluations and in validation during training."""

import csv
import json
import shutil

import numpy as np
import pytest

from dopi_jax.config import Config
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.sources import kitti_flow
from dopi_jax.errors import UserError
from dopi_jax.experiments import evaluate_depth, evaluate_flow, evaluate_pose
from dopi_jax.experiments.evaluation_run import EvaluationRun
from dopi_jax.experiments.skipped import Skipped
from dopi_jax.experiments.validation import DepthPoseValidator, FlowValidator
from dopi_jax.formats import write_kitti_flow

SIZE = (64, 96)
EIGEN_TEST_DRIVE, OTHER_DRIVE = "2011_09_26_drive_0052", "2011_09_26_drive_0037"


@pytest.fixture
def run(kitti):
    """Of nothing trained: what it predicts is said by the tests."""
    config = Config()
    config.data.height, config.data.width = SIZE
    config.data.train = ()
    workdir = kitti.root / "run"
    workdir.mkdir()
    return EvaluationRun(config, (kitti.root,), workdir, {"depth": {}, "pose": {}}, 7)


def results(run, task):
    return json.loads((run.workdir / f"evaluation/{task}.json").read_text())


def test_reasons_are_kept_and_told(capsys):
    def read(item):
        if item % 2:
            raise UserError(f"{item} is odd")
        return 10 * item

    skipped = Skipped()
    assert list(skipped.readable(range(5), read)) == [(0, 0), (2, 20), (4, 40)]
    skipped.print_notes()
    assert capsys.readouterr().err == "note: left out: 1 is odd\nnote: left out: 3 is odd\n"
    assert str(skipped.none_left("numbers")) == "none of the 2 numbers can be used, the first because 1 is odd"


# --- Flow -----------------------------------------------------------------------------------------------------------


def nothing_moves(target, sources, rigid):
    return np.zeros((*SIZE, 2))


def flow_scenes(kitti, count=3):
    for scene in range(count):
        kitti.flow_scene(f"{scene:06d}")
    return kitti.root / "kitti_flow_2015/training"


def cut_off(path):
    path.write_bytes(path.read_bytes()[:90])


def no_valid_pixel(path):
    write_kitti_flow(path, np.zeros((37, 124, 2)), np.zeros((37, 124), bool))


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("flow_occ/000001_10.png", cut_off, "000001_10.png is a damaged PNG file"),
        ("flow_occ/000001_10.png", no_valid_pixel, "000001_10.png has no valid pixel"),
        ("flow_noc/000001_10.png", lambda path: path.unlink(), "flow_noc/000001_10.png cannot be read: No such file"),
        ("image_2/000001_09.png", lambda path: path.write_bytes(path.read_bytes()[:200]), "000001_09.png cannot be read"),
    ],
)
def test_one_bad_pair_costs_the_others_nothing(kitti, run, capsys, file, damage, told):
    damage(flow_scenes(kitti) / file)
    evaluate_flow.evaluate_flows(run, nothing_moves, None)
    said = capsys.readouterr()
    assert said.err.count("note: left out: ") == 1 and told in said.err
    assert "2 of 200 pairs of the training set, 1 left out" in said.out
    assert "Left out: " in said.out and told in said.out
    summary = results(run, "flow")
    assert (summary["evaluated"], len(summary["left_out"])) == (2, 1)
    assert summary["dopi_jax, flow network"]["all"]["epe"] == pytest.approx(1)


def test_when_all_pairs_are_bad_nothing_is_written(kitti, run, capsys):
    shutil.rmtree(flow_scenes(kitti) / "flow_noc")
    with pytest.raises(UserError, match=r"none of the 3 pairs at hand can be used, the first because .*flow_noc/000000_10"):
        evaluate_flow.evaluate_flows(run, nothing_moves, None)
    assert capsys.readouterr().out == "" and not list(run.workdir.glob("evaluation/*"))


def validator_of_flow(kitti, best_by):
    config = Config()
    config.phase, config.train.best_by = "flow", best_by
    config.data.height, config.data.width = SIZE
    return FlowValidator(config, [], kitti_flow.training_scenes([kitti.root]))


def test_validation_goes_on_without_bad_pairs(kitti, capsys):
    training = flow_scenes(kitti)
    cut_off(training / "flow_occ/000002_10.png")
    validator = validator_of_flow(kitti, "epe")
    assert "note: left out: flow map" in capsys.readouterr().err
    # What is damaged after the start of the training does not matter.
    cut_off(training / "flow_occ/000001_10.png")
    validator._predict_flow = lambda variables, target, sources, rigid: np.zeros((1, 2, *SIZE, 2))
    assert validator._flow_metrics({})["epe"] == pytest.approx(1)


def test_the_best_checkpoint_needs_a_pair_before_the_first_step(kitti):
    shutil.rmtree(flow_scenes(kitti) / "flow_noc")
    validator = validator_of_flow(kitti, "photometric")
    assert validator._flow_metrics({}) == {}
    with pytest.raises(
        UserError, match=r"best_by is 'epe', but none of the 3 .*flow_noc/000000_10.* or choose 'photometric'"
    ):
        validator_of_flow(kitti, "epe")


# --- Depth ----------------------------------------------------------------------------------------------------------


def scans_of(kitti, drive):
    kitti.drive(drive, range(6), cameras=(2,), texture=True)
    kitti.scans(drive, range(6))
    return kitti.root / f"kitti_raw/2011_09_26/{drive}_sync/velodyne_points/data"


def behind_the_car(path):
    np.full((50, 4), -1, np.float32).tofile(path)


DAMAGES = [
    (lambda path: path.write_bytes(b""), "0000000002.bin has 0 bytes"),
    (lambda path: path.write_bytes(path.read_bytes()[:-3]), "0000000002.bin has 19197 bytes"),
    (lambda path: path.unlink(), "0000000002.bin cannot be read"),
    (behind_the_car, "0000000002.bin: ground truth depth has no value between"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_one_bad_scan_costs_the_others_nothing(kitti, run, capsys, monkeypatch, damage, told):
    """Frames 0, 2 and 4 are in the Eigen test list."""
    damage(scans_of(kitti, EIGEN_TEST_DRIVE) / "0000000002.bin")
    monkeypatch.setattr(
        evaluate_depth.predict, "make_predict_disparity", lambda config: lambda variables, images: np.ones((1, *SIZE))
    )
    evaluate_depth.evaluate(run)
    said = capsys.readouterr()
    assert said.err.count("note: left out: ") == 1 and told in said.err
    assert "2 of 697 images of the Eigen test list, 1 left out" in said.out and told in said.out
    summary = results(run, "depth")
    assert (summary["evaluated"], len(summary["left_out"])) == (2, 1)
    assert summary["cc"]["images"] == 2


def test_when_all_scans_are_bad_nothing_is_written(kitti, run, capsys):
    for path in scans_of(kitti, EIGEN_TEST_DRIVE).iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"none of the 3 Eigen test frames at hand can be used, the first because .*00\.bin has 0"
    ):
        evaluate_depth.evaluate(run)
    assert not list(run.workdir.glob("evaluation/*"))


def test_bad_scans_of_training_drives_cost_a_baseline_at_most(kitti, run, capsys, monkeypatch):
    scans_of(kitti, EIGEN_TEST_DRIVE)
    scans = scans_of(kitti, OTHER_DRIVE)
    run.config.data.train = (f"kitti_raw:{OTHER_DRIVE}",)
    (scans / "0000000001.bin").write_bytes(b"")
    assert evaluate_depth._training_median(run)["training median"].shape == (37, 124)
    assert capsys.readouterr().err.count("note: left out: ") == 1
    for path in scans.iterdir():
        path.write_bytes(b"")
    assert evaluate_depth._training_median(run) == {}


def validator_of_depth(kitti, best_by):
    config = Config()
    config.train.best_by = best_by
    config.data.height, config.data.width = SIZE
    return DepthPoseValidator(config, select_sequences(kitti.root, f"kitti_raw:{OTHER_DRIVE}"))


def test_validation_goes_on_without_bad_scans(kitti, capsys):
    scans = scans_of(kitti, OTHER_DRIVE)
    (scans / "0000000002.bin").write_bytes(b"")
    validator = validator_of_depth(kitti, "abs_rel")
    assert "note: left out: laser scan" in capsys.readouterr().err
    for path in scans.iterdir():
        path.unlink()
    validator._predict_disparity = lambda variables, images: np.ones((1, *SIZE))
    assert 0 < validator._depth_metrics({})["abs_rel"] < 1


def test_the_best_checkpoint_needs_a_scan_before_the_first_step(kitti):
    for path in scans_of(kitti, OTHER_DRIVE).iterdir():
        path.write_bytes(b"")
    assert validator_of_depth(kitti, "photometric")._depth_metrics({}) == {}
    with pytest.raises(
        UserError, match=r"best_by is 'abs_rel', but none of the 4 files .*0001\.bin has 0 bytes.* or choose"
    ):
        validator_of_depth(kitti, "abs_rel")


# --- Motion ---------------------------------------------------------------------------------------------------------


def ahead(monkeypatch, sign=1):
    """Stands for the network: a metre a frame, and hardly a turn, so that the trajectory can be aligned."""
    motions = np.tile(np.eye(4), (8, 2, 1, 1))
    motions[:, :, 2, 3] = sign, -sign
    monkeypatch.setattr(evaluate_pose.predict, "make_predict_poses", lambda config: lambda *images: motions)


@pytest.fixture
def going_ahead(monkeypatch):
    ahead(monkeypatch)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda poses: poses.write_text(poses.read_text()[:200]), "10.txt"),
        (lambda poses: poses.write_text(poses.read_text().replace("e", ",", 1)), "expected a number"),
        (lambda poses: poses.write_text(""), "10.txt is empty"),
        (lambda poses: poses.unlink(), "sequence 10 has no true poses"),
    ],
)
def test_one_bad_poses_file_costs_the_others_nothing(kitti, run, capsys, going_ahead, damage, told):
    for name in ("09", "10"):
        kitti.odometry(name, range(12), cameras=(2,))
        kitti.poses(name, 12)
    run.config.data.pose_test = ("kitti_odometry:09", "kitti_odometry:10")
    damage(kitti.root / "kitti_odometry/poses/10.txt")
    evaluate_pose.evaluate(run)
    said = capsys.readouterr()
    assert said.err.count("note: left out: ") == 1 and told in said.err
    assert "KITTI odometry: mean ± std, 1 left out" in said.out and "Left out: " in said.out
    assert set(results(run, "pose")["ate"]["3"]) == {"09"} and len(results(run, "pose")["left_out"]) == 1


def test_when_all_poses_are_bad_nothing_is_written(kitti, run, going_ahead):
    kitti.odometry("09", range(12), cameras=(2,))
    run.config.data.pose_test = ("kitti_odometry:09", "kitti_odometry:10")
    with pytest.raises(
        UserError, match=r"none of the 2 sequences of config\.data\.pose_test can be used, the first because"
    ):
        evaluate_pose.evaluate(run)
    assert not list(run.workdir.glob("evaluation/*"))


def test_no_snippet_crosses_a_gap(kitti, run, capsys, going_ahead):
    """Frames 6 and 7 of 16 are missing: 4 + 6 snippets of three frames are whole, 2 + 4 of five."""
    kitti.odometry("09", [*range(6), *range(8, 16)], cameras=(2,))
    kitti.poses("09", 16)
    run.config.data.pose_test = ("kitti_odometry:09",)
    evaluate_pose.evaluate(run)
    assert "note: 09 has gaps in its frame numbers, which no snippet crosses" in capsys.readouterr().err
    ates = results(run, "pose")["ate"]
    assert (ates["3"]["09"]["snippets"], ates["5"]["09"]["snippets"]) == (10, 6)
    with (run.results_folder() / "pose.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["length"] == "3"]
    assert [int(row["first_frame"]) for row in rows] == [0, 1, 2, 3, 8, 9, 10, 11, 12, 13]
    times = np.loadtxt(run.results_folder() / "trajectory_09_tum.txt")[:, 0]
    np.testing.assert_allclose(times, np.arange(8, 16) / 10)  # the longest part without a gap


def test_a_short_sequence_keeps_its_three_frame_result(kitti, run, capsys, going_ahead):
    kitti.odometry("09", range(4), cameras=(2,))
    kitti.poses("09", 4)
    run.config.data.pose_test = ("kitti_odometry:09",)
    evaluate_pose.evaluate(run)
    assert "note: 09 has no 5 consecutive frames: no 5-frame result" in capsys.readouterr().err
    ates = results(run, "pose")["ate"]
    assert ates["3"]["09"]["snippets"] == 2 and ates["5"] == {}


def test_times_are_those_of_the_recording(kitti, run, capsys, going_ahead):
    kitti.odometry("09", range(8), cameras=(2,))
    kitti.poses("09", 8)
    run.config.data.pose_test = ("kitti_odometry:09[2:]",)
    evaluate_pose.evaluate(run)
    assert "has no times.txt" in capsys.readouterr().err
    file = kitti.root / "kitti_odometry/sequences/09/times.txt"
    file.write_text("".join(f"{0.1037 * i:e}\n" for i in range(8)))
    evaluate_pose.evaluate(run)
    assert "times.txt" not in capsys.readouterr().err
    written = np.loadtxt(run.results_folder() / "trajectory_09_2_tum.txt")[:, 0]
    np.testing.assert_allclose(written, 0.1037 * np.arange(2, 8), atol=1e-5)
    file.write_text("0\n1\nx\n")
    with pytest.raises(UserError, match=r"times\.txt cannot be read"):
        evaluate_pose.evaluate(run)


def test_motion_that_is_predicted_backwards_is_told(kitti, run, capsys, monkeypatch):
    kitti.odometry("09", range(8), cameras=(2,))
    kitti.poses("09", 8)
    run.config.data.pose_test = ("kitti_odometry:09",)
    ahead(monkeypatch, -1)
    evaluate_pose.evaluate(run)
    assert "scale is not positive, so that a motion backwards counts as right: 09: 6." in capsys.readouterr().out
    assert results(run, "pose")["ate"]["3"]["09"]["scale_not_positive"] == 6
