import numpy as np
import pytest

from dopi_jax.data.calibration import CalibrationFile, RawCalibration, read_odometry_intrinsics
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


def test_what_is_no_number_is_kept_apart(day):
    read = CalibrationFile.read(day / "calib_cam_to_cam.txt")
    assert sorted(read.values) == ["P_rect_01", "P_rect_02", "R_rect_00", "S_rect_02"]
    assert read.texts == {"calib_time": "09-Jan-2012 13:57:47"}


def test_windows_line_ends_and_mark_do_not_matter(tmp_path):
    (tmp_path / "calib.txt").write_bytes(b"\xef\xbb\xbfP2: 70 0 60 0 0 71 17 0 0 0 1 0\r\n")
    np.testing.assert_array_equal(read_odometry_intrinsics(tmp_path / "calib.txt", 2), [[70, 0, 60], [0, 71, 17], [0, 0, 1]])


def test_intrinsics_at_the_calibrated_size(day):
    intrinsics = RawCalibration.read(day).intrinsics(2, (370, 1240))
    np.testing.assert_array_equal(intrinsics, [[100, 0, 50], [0, 100, 20], [0, 0, 1]])
    assert intrinsics.dtype == np.float64


def test_intrinsics_of_frames_stored_smaller(day):
    with pytest.warns(
        UserWarning, match=r"1240x370 pixels \(width x height\), the frames have 310x93: it is scaled to them"
    ):
        intrinsics = RawCalibration.read(day).intrinsics(2, (93, 310))
    np.testing.assert_allclose(intrinsics, [[25, 0, 12.5], [0, 100 * 93 / 370, 20 * 93 / 370], [0, 0, 1]])


def test_frames_of_another_aspect_are_refused(day):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt is for images of 1240x370 .* 310x185, 50% narrower"):
        RawCalibration.read(day).intrinsics(2, (185, 310))


def test_pixels_from_velodyne_by_hand(day):
    """Laser point (2, 3, 4): camera 0 (-3+.1, -4+.2, 2+.3), rectified (y, -x, z), then P_rect."""
    u, v, depth = RawCalibration.read(day).pixels_from_velodyne(2) @ [2.0, 3.0, 4.0, 1.0]
    x, y, z = -3.8, 2.9, 2.3
    np.testing.assert_allclose([u, v, depth], [100 * x + 50 * z + 40, 100 * y + 20 * z + 2, z + 0.5])


def test_missing_key_names_file_and_key(day):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt has no P_rect_03 \(found P_rect_01, P_rect_02"):
        RawCalibration.read(day).intrinsics(3, (370, 1240))


def test_wrong_count_names_file_and_key(day):
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt: P_rect_01 has 3 numbers, expected 12"):
        RawCalibration.read(day).intrinsics(1, (370, 1240))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"calib\.txt is empty, expected lines such as"),
        ("\n \n", r"calib\.txt is empty"),
        ("not a calibration", r"calib\.txt has no P2 \(found nothing\)"),
        (
            "P2: 718,856 0 607,1928 0 0 718,856 1 0 0 0 1 0",
            r"calib\.txt: P2 is '718,856 0 607,1928 0 0 718,856\.\.\.', expec",
        ),
        ("P2:", r"calib\.txt: P2 has 0 numbers, expected 12"),
        ("P2: nan 0 60 0 0 70 17 0 0 0 1 0", r"calib\.txt: P2 has nan, expected finite numbers"),
        ("P2: inf 0 60 0 0 70 17 0 0 0 1 0", r"calib\.txt: P2 has inf, expected finite numbers"),
        ("P2: 0 0 60 0 0 70 17 0 0 0 1 0", r"P2 of .*calib\.txt is no camera: focal lengths \(0, 70\)"),
        ("P2: 70 0 60 0 0 -200 17 0 0 0 1 0", r"P2 of .*calib\.txt is no camera: focal lengths \(70, -200\)"),
        ("P2: 70 0 60 0 0 70 17 0 0 0 0 1", r"P2 of .*calib\.txt is no camera: .* last row 0 0 0, expected 0 0 1"),
    ],
)
def test_a_calibration_that_is_none_names_file_and_key(tmp_path, text, message):
    (tmp_path / "calib.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_odometry_intrinsics(tmp_path / "calib.txt", 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "P_rect_02: -200 0 50 40 0 100 20 2 0 0 1 0.5",
            r"P_rect_02 of .*cam_to_cam\.txt is no camera: focal lengths \(-200",
        ),
        (
            "P_rect_02: 100 0 2000 40 0 100 20 2 0 0 1 0.5",
            r"principal point \(2000, 20\) far outside its images of 1240x370",
        ),
        ("S_rect_02: 0 370", r"calib_cam_to_cam\.txt: S_rect_02 is 0 370, expected a width and a height"),
        ("S_rect_02: 1240,5 370", r"calib_cam_to_cam\.txt: S_rect_02 is '1240,5 370', expected 2 numbers"),
    ],
)
def test_a_raw_camera_that_is_none_is_refused_for_frames_and_laser_points(day, line, message):
    path = day / "calib_cam_to_cam.txt"
    key = line.partition(":")[0]
    path.write_text("".join(f"{line}\n" if kept.startswith(key) else kept for kept in path.open()))
    with pytest.raises(UserError, match=message):
        RawCalibration.read(day).intrinsics(2, (370, 1240))
    with pytest.raises(UserError, match=message):
        RawCalibration.read(day).pixels_from_velodyne(2)


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
