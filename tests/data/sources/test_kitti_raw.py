import numpy as np
import pytest

from dopi_jax.data.selection import select_sequences
from dopi_jax.data.sources import kitti_raw
from dopi_jax.errors import UserError


def test_each_colour_camera_is_a_sequence_with_its_own_intrinsics(kitti):
    kitti.drive("2011_09_26_drive_0001", range(4))
    left, right = kitti_raw.read(kitti.root, "2011_09_26_drive_0001")
    assert (left.name, right.name) == ("2011_09_26_drive_0001_02", "2011_09_26_drive_0001_03")
    assert left.numbers == right.numbers == (0, 1, 2, 3)
    assert left.image_size == (37, 124)
    np.testing.assert_array_equal(left.intrinsics, [[72, 0, 60], [0, 72, 17], [0, 0, 1]])
    np.testing.assert_array_equal(right.intrinsics, [[74, 0, 61], [0, 74, 18], [0, 0, 1]])
    assert all("image_02" in str(path) for path in left.frames)
    assert all("image_03" in str(path) for path in right.frames)


def test_a_camera_without_frames_is_left_out(kitti):
    kitti.drive("2011_09_26_drive_0001", range(4), cameras=(3,))
    assert [s.name for s in kitti_raw.read(kitti.root, "2011_09_26_drive_0001")] == ["2011_09_26_drive_0001_03"]


def test_static_frames_are_left_out(kitti):
    """2011_09_26_drive_0022 stands still in frames 0 to 4 and 575, 576."""
    kitti.drive("2011_09_26_drive_0022", [*range(3, 9), *range(573, 579)], cameras=(2,))
    (sequence,) = kitti_raw.read(kitti.root, "2011_09_26_drive_0022")
    assert sequence.numbers == (5, 6, 7, 8, 573, 574, 577, 578)
    assert [int(snippet.target.stem) for snippet in sequence.snippets()] == [6, 7]


def test_a_drive_on_which_the_car_only_stands_is_told(kitti):
    """2011_09_26_drive_0060 is on the list of static frames as a whole."""
    kitti.drive("2011_09_26_drive_0060", range(6), cameras=(2,))
    (sequence,) = kitti_raw.read(kitti.root, "2011_09_26_drive_0060")
    assert len(sequence) == 0 and sequence.standing == 6
    with pytest.raises(UserError, match="drive_0060_02 has no frame to learn from: the car stands still on all of its 6"):
        select_sequences(kitti.root, "kitti_raw:2011_09_26_drive_0060")


def test_frames_left_out_for_standing_are_counted_where_too_few_are_left(kitti):
    kitti.drive("2011_09_26_drive_0022", range(7), cameras=(2,))
    with pytest.raises(UserError, match="drive_0022_02 has 2 frames beside 5 on which the car stands still, expected at le"):
        select_sequences(kitti.root, "kitti_raw:2011_09_26_drive_0022")


def test_frames_stored_smaller_keep_right_intrinsics(kitti):
    calibration = "S_rect_02: 248 74\nP_rect_02: 72 0 60 0 0 72 17 0 0 0 1 0\n"
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(2,), calibration=calibration)
    with pytest.warns(UserWarning, match=r"2011_09_26 is for images of 248x74 pixels .*, the frames have 124x37"):
        (sequence,) = kitti_raw.read(kitti.root, "2011_09_26_drive_0001")
    np.testing.assert_array_equal(sequence.intrinsics, [[36, 0, 30], [0, 36, 8.5], [0, 0, 1]])


def test_frames_of_another_aspect_are_refused(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(2,), size=(37, 62))
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt is for images of 124x37 .* have 62x37, 50% narrower"):
        kitti_raw.read(kitti.root, "2011_09_26_drive_0001")


def test_frames_that_change_their_size_are_refused(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(2,))
    kitti.drive("2011_09_26_drive_0001", range(3, 5), cameras=(2,), size=(36, 124))
    with pytest.raises(UserError, match=r"0000000000\.png 124x37 pixels and .*0000000004\.png 124x36, expected one"):
        kitti_raw.read(kitti.root, "2011_09_26_drive_0001")


def test_files_that_are_no_frames_are_told(kitti):
    folder = kitti.root / "kitti_raw/2011_09_26/2011_09_26_drive_0001_sync/image_02/data"
    folder.mkdir(parents=True)
    for name in ("._0000000000.png", "Thumbs.db", "frame0.png", "notes.txt"):
        (folder / name).touch()
    with pytest.raises(
        UserError,
        match=r"drive_0001 has no colour frames.*; the files in .*image_02/data \(\._0000000000\.png, Thumbs\.db, "
        r"frame0\.png and 1 more\) are no frames by their names, expected such as 0000000000\.png",
    ):
        select_sequences(kitti.root, "kitti_raw:2011_09_26_drive_0001")
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(3,))
    with pytest.warns(UserWarning, match="camera 02 of drive 2011_09_26_drive_0001 is left out; the files in .*image_02"):
        assert len(kitti_raw.read(kitti.root, "2011_09_26_drive_0001")) == 1


def test_calibration_without_the_camera_is_named(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), calibration="P_rect_00: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(UserError, match=r"2011_09_26/calib_cam_to_cam\.txt has no P_rect_02"):
        kitti_raw.read(kitti.root, "2011_09_26_drive_0001")


def test_drives_are_listed_by_name(kitti):
    for name in ["2011_10_03_drive_0042", "2011_09_26_drive_0001"]:
        kitti.drive(name, range(1))
    assert kitti_raw.items(kitti.root) == ["2011_09_26_drive_0001", "2011_10_03_drive_0042"]


def test_no_drive_tells_where_it_looked_and_how_to_get_it(tmp_path):
    with pytest.raises(UserError, match=rf"kitti_raw/<date>/<drive>_sync in {tmp_path}: .*raw_data_downloader\.sh"):
        kitti_raw.choose("eigen", kitti_raw.items(tmp_path), str(tmp_path))


def test_real_drive(shared):
    (sequence,) = kitti_raw.read(shared / "data", "2011_09_26_drive_0095")
    assert len(sequence) == 268 and sequence.image_size == (375, 1242)
    assert sequence.intrinsics[0, 0] == 721.5377
    assert len(sequence.snippets()) == 266
