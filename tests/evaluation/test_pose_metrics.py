import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dopi_jax.errors import UserError
from dopi_jax.evaluation import (
    align_trajectory,
    chain,
    join_snippets,
    kitti_odometry_errors,
    sliding_snippet_ate,
    snippet_ate,
    snippet_from_predictions,
    straight_ahead_baseline,
    trajectory_ate,
    trajectory_from_predictions,
    trajectory_snippets,
)
from dopi_jax.formats import read_kitti_poses

TRAJECTORIES = ("09_scsfm", "03_orbslam2")


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "evaluation.npz")


def poses_4x4(poses_3x4):
    poses = np.tile(np.eye(4), (len(poses_3x4), 1, 1))
    poses[:, :3] = poses_3x4
    return poses


def along(*centres):
    """A snippet of unrotated cameras at these positions."""
    poses = np.tile(np.eye(4), (len(centres), 1, 1))
    poses[:, :3, 3] = centres
    return poses


def random_pose(rng, angle=0.5, distance=3.0):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(rng.normal(size=3) * angle).as_matrix()
    pose[:3, 3] = rng.normal(size=3) * distance
    return pose


def random_trajectory(rng, length):
    """A camera that wanders about, from an arbitrary first pose."""
    poses = [random_pose(rng)]
    for _ in range(length - 1):
        poses.append(poses[-1] @ random_pose(rng, angle=0.1, distance=1.0))
    return np.stack(poses)


def source_from_target(poses, target, source):
    return np.linalg.inv(poses[source]) @ poses[target]


def relative(poses):
    return np.linalg.inv(poses[0]) @ poses


# --- Snippets -------------------------------------------------------------------------------------------------------


def test_ate_by_hand():
    gt, pred = along((0, 0, 0), (0, 0, 1), (0, 0, 3)), along((0, 0, 0), (0, 0, 1), (0, 0, 2))
    # s = (1 + 6) / (1 + 4) = 1.4, so the differences are 0, -0.4 and 0.2.
    ate, rotation = snippet_ate(gt, pred)
    assert ate == pytest.approx(np.sqrt(0.4**2 + 0.2**2) / 3)
    assert rotation == 0


def test_a_prediction_at_right_angles_or_without_motion_keeps_the_whole_motion_as_its_error():
    gt = along((0, 0, 0), (0, 0, 1), (0, 0, 2))
    for pred in (along((0, 0, 0), (1, 0, 0), (2, 0, 0)), along((0, 0, 0), (0, 0, 0), (0, 0, 0))):
        assert snippet_ate(gt, pred)[0] == pytest.approx(np.sqrt(5) / 3)


def test_rotation_error_is_the_mean_angle_over_all_poses_the_first_included():
    gt = along((0, 0, 0), (0, 0, 1), (0, 0, 2))
    pred = gt.copy()
    pred[2, :3, :3] = Rotation.from_euler("y", 0.3).as_matrix()
    ate, rotation = snippet_ate(gt, pred)
    assert ate == pytest.approx(0)
    assert rotation == pytest.approx(0.1)


@pytest.mark.parametrize("length", [3, 5])
def test_neither_scale_nor_the_choice_of_world_matters_to_a_snippet(length):
    rng = np.random.default_rng(0)
    gt, pred = random_trajectory(rng, length), random_trajectory(rng, length)
    moved_gt, moved_pred = random_pose(rng) @ gt, random_pose(rng) @ pred
    moved_pred[:, :3, 3] *= 7.5
    np.testing.assert_allclose(snippet_ate(moved_gt, moved_pred), snippet_ate(gt, pred), rtol=1e-9)


def test_leading_axes_are_snippets_of_their_own():
    rng = np.random.default_rng(1)
    gt, pred = (np.stack([random_trajectory(rng, 3) for _ in range(4)]) for _ in range(2))
    ates, rotations = snippet_ate(gt, pred)
    assert ates.shape == rotations.shape == (4,)
    for index in range(4):
        np.testing.assert_allclose(snippet_ate(gt[index], pred[index]), (ates[index], rotations[index]))


def test_windows_are_all_runs_of_consecutive_frames():
    poses = random_trajectory(np.random.default_rng(2), 6)
    windows = trajectory_snippets(poses, 5)
    assert windows.shape == (2, 5, 4, 4)
    np.testing.assert_array_equal(windows[0], poses[:5])
    np.testing.assert_array_equal(windows[1], poses[1:])


@pytest.mark.parametrize("name", TRAJECTORIES)
@pytest.mark.parametrize("length", [3, 5])
def test_reference_snippets(golden, name, length):
    gt, pred = (poses_4x4(golden[f"traj_{name}/{kind}"]) for kind in ("gt", "pred"))
    ate, rotation = sliding_snippet_ate(gt, pred, length)
    assert len(ate) == len(gt) - length + 1
    np.testing.assert_allclose(ate, golden[f"traj_{name}/snippet{length}_ate"], rtol=1e-5)
    np.testing.assert_allclose(rotation, golden[f"traj_{name}/snippet{length}_re"], rtol=1e-5)


@pytest.mark.parametrize(
    ("sequence", "frames", "snippets", "ate"),
    [("09", slice(None), 1589, "0.0237"), ("10", slice(None), 1199, "0.0181"), ("03", slice(600, 801), 199, "0.0084")],
)
def test_going_straight_ahead_on_real_roads(shared, sequence, frames, snippets, ate):
    poses = read_kitti_poses(shared / "data" / "kitti_odometry" / "poses" / f"{sequence}.txt")[frames]
    ates, _ = snippet_ate(trajectory_snippets(poses, 3), straight_ahead_baseline(3))
    assert len(ates) == snippets
    assert f"{ates.mean():.4f}" == ate


# --- From predicted motions to poses --------------------------------------------------------------------------------


def test_exact_predictions_give_back_the_poses():
    poses = random_trajectory(np.random.default_rng(3), 7)
    predicted = np.stack([[source_from_target(poses, t, t - 1), source_from_target(poses, t, t + 1)] for t in range(1, 6)])
    triplets = snippet_from_predictions(predicted)
    assert triplets.shape == (5, 3, 4, 4)
    for index in range(5):
        np.testing.assert_allclose(triplets[index], relative(poses[index : index + 3]), atol=1e-12)

    quintuplets = join_snippets(triplets)
    assert quintuplets.shape == (3, 5, 4, 4)
    for index in range(3):
        np.testing.assert_allclose(quintuplets[index], relative(poses[index : index + 5]), atol=1e-12)

    steps = np.stack([source_from_target(poses, t, t + 1) for t in range(6)])
    np.testing.assert_allclose(chain(steps), relative(poses), atol=1e-12)
    np.testing.assert_allclose(trajectory_from_predictions(predicted), relative(poses), atol=1e-12)


def test_a_step_that_brings_points_nearer_moves_the_camera_ahead():
    step = np.eye(4)
    step[2, 3] = -2.0  # what was at 10 m is at 8 m in the next frame
    np.testing.assert_allclose(chain(np.stack([step, step]))[:, :3, 3], [(0, 0, 0), (0, 0, 2), (0, 0, 4)])


# --- Whole trajectories ---------------------------------------------------------------------------------------------


def test_a_similarity_transform_is_no_error():
    rng = np.random.default_rng(4)
    gt = random_trajectory(rng, 50)
    pred = random_pose(rng) @ gt
    pred[:, :3, 3] *= 0.2
    aligned, scale = align_trajectory(gt, pred)
    assert scale == pytest.approx(5)
    np.testing.assert_allclose(aligned, gt, atol=1e-9)
    assert trajectory_ate(gt, pred) == pytest.approx({"rmse": 0, "scale": 5}, abs=1e-9)


def test_a_mirrored_trajectory_is_an_error():
    gt = random_trajectory(np.random.default_rng(5), 50)
    mirrored = gt.copy()
    mirrored[:, 0, 3] *= -1
    aligned, _ = align_trajectory(gt, mirrored)
    np.testing.assert_allclose(np.linalg.det(aligned[:, :3, :3]), 1)
    assert trajectory_ate(gt, mirrored)["rmse"] > 0.1


def test_drifting_scale_by_hand():
    gt, pred = along((0, 0, 0), (0, 0, 2), (0, 0, 4), (0, 0, 6)), along((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 6))
    # On a line: deviations from the means are (-3, -1, 1, 3) and (-2.25, -1.25, -0.25, 3.75); their products sum to 19
    # and the squares of the latter to 20.75, so the unexplained part of the former's 20 is 20 - 19² / 20.75.
    got = trajectory_ate(gt, pred)
    assert got["scale"] == pytest.approx(19 / 20.75)
    assert got["rmse"] == pytest.approx(np.sqrt((20 - 19**2 / 20.75) / 4))


def test_a_prediction_that_stands_still_is_left_at_the_centre_of_the_truth():
    gt = along((0, 0, 0), (0, 0, 2), (0, 0, 4))
    still = along((1, 1, 1), (1, 1, 1), (1, 1, 1))
    assert trajectory_ate(gt, still) == pytest.approx({"rmse": np.sqrt(8 / 3), "scale": 0})


def test_kitti_errors_by_hand():
    gt = along(*((0, 0, z) for z in range(102)))
    pred = gt.copy()
    pred[:, :3, 3] *= 1.1
    pred[:, :3, :3] = Rotation.from_euler("z", 0.02 * np.arange(102)[:, None], degrees=True).as_matrix()
    # The one segment ends at the first frame beyond 100 m, 101 m away: 10.1 m and 2.02 degrees on 100 m.
    got = kitti_odometry_errors(gt, pred)
    assert got == pytest.approx({"t_rel_percent": 10.1, "r_rel_deg_per_100m": 2.02, "segments": 1})


def test_a_path_of_no_more_than_100_m_has_no_segment():
    path = along(*((0, 0, z) for z in range(101)))
    got = kitti_odometry_errors(path, path)
    assert np.isnan(got["t_rel_percent"]) and np.isnan(got["r_rel_deg_per_100m"]) and got["segments"] == 0


@pytest.mark.parametrize("name", ["09_scsfm", "09_scsfm_as_orbslam2", "03_orbslam2"])
def test_reference_drift(golden, name):
    gt, pred = golden[f"odo_{name}/gt"], golden[f"odo_{name}/pred"]
    if gt.ndim == 0:  # the name of the array to use
        gt, pred = golden[str(gt)], golden[str(pred)]
    got = kitti_odometry_errors(poses_4x4(gt), poses_4x4(pred))
    want = {key: float(golden[f"odo_{name}/{key}"]) for key in ("t_rel_percent", "r_rel_deg_per_100m")}
    assert got == pytest.approx({**want, "segments": len(golden[f"odo_{name}/segments"])}, rel=1e-5)


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [snippet_ate, sliding_snippet_ate, trajectory_ate, kitti_odometry_errors])
@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (along((0, 0, 0), (0, 0, 1)), "there are 2 predicted poses: expected 3"),
        (np.zeros((3, 3, 4)), r"predicted poses has shape \(3, 3, 4\)"),
        (np.full((3, 4, 4), np.nan), "predicted poses has values that are not finite"),
    ],
)
def test_mistakes_are_told(metric, pred, message):
    with pytest.raises(UserError, match=message):
        metric(along((0, 0, 0), (0, 0, 1), (0, 0, 2)), pred)


def test_a_trajectory_shorter_than_a_snippet_is_told():
    with pytest.raises(UserError, match="snippets of 5 frames were asked of 3 poses"):
        trajectory_snippets(straight_ahead_baseline(3), 5)
