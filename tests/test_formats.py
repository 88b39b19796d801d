import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dopi_jax.errors import UserError
from dopi_jax.formats import read_kitti_poses, write_kitti_poses, write_tum_trajectory

STANDING = "1 0 0 0 0 1 0 0 0 0 1 0"


def random_poses(count):
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(size=(count, 3)) * 2).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 100
    return poses


def test_kitti_layout_is_the_upper_rows_of_the_matrix(tmp_path):
    (tmp_path / "poses.txt").write_text(f"{STANDING}\n0 -1 0 1.5 1 0 0 -2 0 0 1 3e1\n\n")
    poses = read_kitti_poses(tmp_path / "poses.txt")
    np.testing.assert_array_equal(poses[0], np.eye(4))
    np.testing.assert_array_equal(poses[1], [[0, -1, 0, 1.5], [1, 0, 0, -2], [0, 0, 1, 30], [0, 0, 0, 1]])


def test_kitti_round_trip(tmp_path):
    poses = random_poses(20)
    write_kitti_poses(tmp_path / "poses.txt", poses)
    np.testing.assert_allclose(read_kitti_poses(tmp_path / "poses.txt"), poses, rtol=1e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["poses.txt"]


@pytest.mark.parametrize(("sequence", "frames"), [("03", 801), ("09", 1591), ("10", 1201)])
def test_official_poses_are_read(shared, sequence, frames):
    poses = read_kitti_poses(shared / "data" / "kitti_odometry" / "poses" / f"{sequence}.txt")
    assert poses.shape == (frames, 4, 4)
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "poses.txt is empty: expected one camera pose a line"),
        (f"{STANDING}\n1 2 3\n", "poses.txt, line 2 has 3 numbers: expected 12"),
        (f"{STANDING}\n\n{STANDING}\n", "poses.txt, line 2 has 0 numbers: expected 12"),
        (STANDING.replace("0 1 0 0", "0 x 0 0", 1), "poses.txt, line 1 has 'x' as value 6 of 12: expected a number"),
        (f"{STANDING[:-1]}nan", "poses.txt, line 1 has a value that is not finite"),
        ("0 " * 12, "poses.txt, line 1 has no rotation"),
        ("-1 0 0 0 0 1 0 0 0 0 1 0", "poses.txt, line 1 has no rotation"),
    ],
)
def test_malformed_lines_are_told_with_their_number(tmp_path, text, message):
    (tmp_path / "poses.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_kitti_poses(tmp_path / "poses.txt")


def test_unreadable_files_are_told(tmp_path):
    with pytest.raises(UserError, match=r"missing\.txt cannot be read"):
        read_kitti_poses(tmp_path / "missing.txt")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"picture\.png cannot be read"):
        read_kitti_poses(tmp_path / "picture.png")


def test_tum_lines_are_time_position_and_quaternion_with_w_last(tmp_path):
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # a quarter turn about y
    poses[1, :3, 3] = [1, 2, 3]
    write_tum_trajectory(tmp_path / "trajectory.txt", [0.0, 0.1], poses)
    comment, first, second = (tmp_path / "trajectory.txt").read_text().splitlines()
    assert comment.startswith("#")
    assert first.split()[0] == "0.000000"
    np.testing.assert_allclose([float(word) for word in first.split()], [0, 0, 0, 0, 0, 0, 0, 1], atol=1e-9)
    half = np.sqrt(0.5)
    np.testing.assert_allclose([float(word) for word in second.split()], [0.1, 1, 2, 3, 0, half, 0, half], atol=1e-9)


def test_tum_quaternions_of_all_kinds_of_rotation(tmp_path):
    poses = random_poses(50)
    half_turns = [Rotation.from_rotvec(np.pi * axis).as_matrix() for axis in np.eye(3)]  # w = 0
    poses[:3, :3, :3] = half_turns
    write_tum_trajectory(tmp_path / "trajectory.txt", np.arange(50), poses)
    quaternions = np.loadtxt(tmp_path / "trajectory.txt")[:, 4:]
    np.testing.assert_allclose(Rotation.from_quat(quaternions).as_matrix(), poses[:, :3, :3], atol=1e-8)
    assert np.all(quaternions[:, 3] >= 0)


def test_timestamps_and_poses_must_be_as_many(tmp_path):
    with pytest.raises(UserError, match="2 timestamps for 3 poses"):
        write_tum_trajectory(tmp_path / "trajectory.txt", [0, 1], random_poses(3))
    assert not list(tmp_path.iterdir())
