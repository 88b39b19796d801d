import numpy as np
import pytest

from dopi_jax.data.sources import kitti_raw
from dopi_jax.errors import UserError


def test_each_colour_camera_is_a_sequence_with_its_own_intrinsics(kitti):
    kitti.drive("2011_09_26_drive_0001", range(4))
    left, right = kitti_raw.read_drive(kitti.root, "2011_09_26_drive_0001")
    assert (left.name, right.name) == ("2011_09_26_drive_0001_02", "2011_09_26_drive_0001_03")
    assert left.numbers == right.numbers == (0, 1, 2, 3)
    assert left.image_size == (37, 124)
    np.testing.assert_array_equal(left.intrinsics, [[72, 0, 60], [0, 72, 17], [0, 0, 1]])
    np.testing.assert_array_equal(right.intrinsics, [[74, 0, 61], [0, 74, 18], [0, 0, 1]])
    assert all("image_02" in str(path) for path in left.frames)
    assert all("image_03" in str(path) for path in right.frames)


def test_a_camera_without_frames_is_left_out(kitti):
    kitti.drive("2011_09_26_drive_0001", range(4), cameras=(3,))
    assert [s.name for s in kitti_raw.read_drive(kitti.root, "2011_09_26_drive_0001")] == ["2011_09_26_drive_0001_03"]


def test_static_frames_are_left_out(kitti):
    """2011_09_26_drive_0022 stands still in frames 0 to 4 and 575, 576."""
    kitti.drive("2011_09_26_drive_0022", [*range(3, 9), *range(573, 579)], cameras=(2,))
    (sequence,) = kitti_raw.read_drive(kitti.root, "2011_09_26_drive_0022")
    assert sequence.numbers == (5, 6, 7, 8, 573, 574, 577, 578)
    assert [int(snippet.target.stem) for snippet in sequence.snippets()] == [6, 7]


def test_frames_stored_smaller_keep_right_intrinsics(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(2,), size=(37, 62))
    (sequence,) = kitti_raw.read_drive(kitti.root, "2011_09_26_drive_0001")
    np.testing.assert_array_equal(sequence.intrinsics, [[36, 0, 30], [0, 72, 17], [0, 0, 1]])


def test_calibration_without_the_camera_is_named(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), calibration="P_rect_00: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(UserError, match=r"2011_09_26/calib_cam_to_cam\.txt has no P_rect_02"):
        kitti_raw.read_drive(kitti.root, "2011_09_26_drive_0001")


def test_drives_are_listed_by_name(kitti):
    for name in ["2011_10_03_drive_0042", "2011_09_26_drive_0001"]:
        kitti.drive(name, range(1))
    assert kitti_raw.list_drives(kitti.root) == ["2011_09_26_drive_0001", "2011_10_03_drive_0042"]


def test_no_drive_tells_where_it_looked_and_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path}/kitti_raw.*raw_data_downloader\.sh"):
        kitti_raw.list_drives(tmp_path)


def test_real_drive(shared):
    (sequence,) = kitti_raw.read_drive(shared / "data", "2011_09_26_drive_0095")
    assert len(sequence) == 268 and sequence.image_size == (375, 1242)
    assert sequence.intrinsics[0, 0] == 721.5377
    assert len(sequence.snippets()) == 266
