import numpy as np
import pytest

from dopi_jax.data.calibration import CalibrationFile, RawCalibration, read_odometry_intrinsics, scale_rows
from dopi_jax.errors import UserError


@pytest.fixture
def day(tmp_path):
    (tmp_path / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n\n"
        "S_rect_02: 1.24e+03 3.7e+02\n"
        "R_rect_00: 0 1 0 -1 0 0 0 0 1\n"
        "P_rect_02: 100 0 50 40 0 100 20 2 0 0 1 0.5\n"
        "P_rect_01: 1 2 3\n"
    )
    (tmp_path / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0.1 0.2 0.3\n")
    return tmp_path


def test_only_numbers_are_kept(day):
    values = CalibrationFile.read(day / "calib_cam_to_cam.txt").values
    assert sorted(values) == ["P_rect_01", "P_rect_02", "R_rect_00", "S_rect_02"]


def test_intrinsics_at_the_calibrated_size(day):
    intrinsics = RawCalibration.read(day).intrinsics(2, (370, 1240))
    np.testing.assert_array_equal(intrinsics, [[100, 0, 50], [0, 100, 20], [0, 0, 1]])
    assert intrinsics.dtype == np.float64


def test_intrinsics_of_frames_stored_smaller(day):
    intrinsics = RawCalibration.read(day).intrinsics(2, (185, 310))
    np.testing.assert_array_equal(intrinsics, [[25, 0, 12.5], [0, 50, 10], [0, 0, 1]])


def test_pixels_from_velodyne_by_hand(day):
    """Laser point (2, 3, 4): camera 0 (-3+.1, -4+.2, 2+.3), rectified (y, -x, z), then P_rect."""
    u, v, depth = RawCalibration.read(day).pixels_from_velodyne(2) @ [2.0, 3.0, 4.0, 1.0]
    x, y, z = -3.8, 2.9, 2.3
    np.testing.assert_allclose([u, v, depth], [100 * x + 50 * z + 40, 100 * y + 20 * z + 2, z + 0.5])


def test_scale_rows_scales_focal_lengths_and_centre():
    scaled = scale_rows(np.array([[100.0, 0, 50], [0, 90, 20], [0, 0, 1]]), zoom_y=0.5, zoom_x=2)
    np.testing.assert_array_equal(scaled, [[200, 0, 100], [0, 45, 10], [0, 0, 1]])


def test_missing_key_names_file_and_key(day):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt has no P_rect_03 \(found P_rect_01, P_rect_02"):
        RawCalibration.read(day).intrinsics(3, (370, 1240))


def test_wrong_count_names_file_and_key(day):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt: P_rect_01 has 3 numbers, expected 12"):
        RawCalibration.read(day).intrinsics(1, (370, 1240))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt does not exist"):
        RawCalibration.read(tmp_path)


def test_real_files(shared):
    raw = RawCalibration.read(shared / "data/kitti_raw/2011_09_26").intrinsics(2, (375, 1242))
    odometry = read_odometry_intrinsics(shared / "data/kitti_odometry/sequences/03/calib.txt", 0)
    expected = [[721.5377, 0, 609.5593], [0, 721.5377, 172.854], [0, 0, 1]]
    np.testing.assert_allclose(raw, expected, rtol=1e-12)
    np.testing.assert_allclose(odometry, expected, rtol=1e-12)
    with pytest.raises(UserError, match=r"calib\.txt has no P2 \(found P0\)"):
        read_odometry_intrinsics(shared / "data/kitti_odometry/sequences/03/calib.txt", 2)
