import pytest

from dopi_jax.data.sources import kitti_odometry
from dopi_jax.errors import UserError


def test_colour_cameras_go_with_their_line_of_the_calibration(kitti):
    kitti.odometry("00", range(4), cameras=(0, 2, 3))
    assert kitti_odometry.list_cameras(kitti.root, "00") == [2, 3]
    right = kitti_odometry.read_sequence(kitti.root, "00", 3)
    assert right.name == "00_3" and right.numbers == (0, 1, 2, 3) and right.image_size == (37, 124)
    assert right.intrinsics[0, 0] == 73
    assert right.frames[0] == kitti.root / "kitti_odometry/sequences/00/image_3/000000.png"


def test_grey_camera_stands_in_when_there_is_no_colour(kitti):
    kitti.odometry("00", range(3), cameras=(0,))
    assert kitti_odometry.list_cameras(kitti.root, "00") == [0]
    assert kitti_odometry.read_sequence(kitti.root, "00", 0).intrinsics[0, 0] == 70


def test_missing_frames_tell_where_they_were_looked_for(kitti):
    kitti.odometry("00", range(3), cameras=(1,))
    with pytest.raises(UserError, match=r"sequences/00/image_2, image_3 and image_0.*data_odometry_color\.zip"):
        kitti_odometry.list_cameras(kitti.root, "00")
    with pytest.raises(UserError, match=r"looked for .*sequences/00/image_2"):
        kitti_odometry.read_sequence(kitti.root, "00", 2)


def test_missing_set_and_poses_tell_where_they_were_looked_for(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path}/kitti_odometry/sequences.*data_odometry_color\.zip"):
        kitti_odometry.list_sequences(tmp_path)
    with pytest.raises(UserError, match=r"kitti_odometry/poses/11\.txt"):
        kitti_odometry.poses_file(tmp_path, "11")


def test_real_sequence(shared):
    root = shared / "data"
    assert kitti_odometry.list_sequences(root) == ["03"]
    assert kitti_odometry.list_cameras(root, "03") == [0]
    sequence = kitti_odometry.read_sequence(root, "03", 0)
    assert len(sequence) == 801 and len(sequence.snippets()) == 799
    assert sequence.image_size == (375, 1242)
    assert len(kitti_odometry.poses_file(root, "03").read_text().splitlines()) == 801
