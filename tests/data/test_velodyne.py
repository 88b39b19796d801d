import numpy as np
import pytest

from dopi_jax.data import splits
from dopi_jax.data.calibration import RawCalibration
from dopi_jax.data.velodyne import eigen_test_images, ground_truth_depth, read_scan
from dopi_jax.errors import UserError

DRIVE = "2011_09_26_drive_0052"


@pytest.fixture
def day(tmp_path):
    """A camera at the laser's place, looking along its x axis: u = 10 - 10 y/x, v = 5 - 10 z/x, depth = x - 0.5."""
    (tmp_path / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.5\n")
    (tmp_path / "calib_cam_to_cam.txt").write_text("R_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 10 0 10 0 0 10 5 0 0 0 1 0\n")
    return tmp_path


def depth_of(day, *points, shape=(10, 20)):
    scan = np.array([(*point, 0.7) for point in points], np.float32)
    scan.tofile(day / "scan.bin")
    return ground_truth_depth(day / "scan.bin", RawCalibration.read(day), 2, shape)


def expected(*entries, shape=(10, 20)):
    depth = np.zeros(shape)
    for row, column, value in entries:
        depth[row, column] = value
    return depth


def test_point_ahead_falls_one_pixel_up_and_left(day):
    """u = 10, v = 5, and the lineage's pixel is round - 1."""
    np.testing.assert_allclose(depth_of(day, (4.5, 0, 0)), expected((4, 9, 4.0)))


def test_nearest_of_several_points_wins_in_any_order(day):
    points = [(8.5, 0, 0), (4.5, 0, 0), (6.5, 0, 0)]
    np.testing.assert_allclose(depth_of(day, *points), expected((4, 9, 4.0)))
    np.testing.assert_allclose(depth_of(day, *points[::-1]), expected((4, 9, 4.0)))


def test_points_behind_or_outside_are_dropped(day):
    points = [(-4.5, 0, 0), (0.25, 0, 0), (4.5, 100, 0), (4.5, 0, -100), (0.5, 1, 0)]
    np.testing.assert_array_equal(depth_of(day, *points), expected())


def test_corner_pixels_are_reached(day):
    """Depth 10; u = 1 and 20, v = 1 and 10 are the first and last pixels."""
    np.testing.assert_allclose(depth_of(day, (10.5, 9, 4), (10.5, -10, -5)), expected((0, 0, 10), (9, 19, 10)))
    np.testing.assert_array_equal(depth_of(day, (10.5, 9.8, 4), (10.5, -11, -5)), expected())


def test_last_pixel_of_a_row_meets_the_first_of_the_next(day):
    """The slip of the lineage that published numbers contain: (4, 19) and (5, 0) share their nearest depth."""
    end_of_row, start_of_row = (8.5, -8, 0), (4.5, 3.6, -0.4)
    np.testing.assert_allclose(depth_of(day, end_of_row, start_of_row), expected((4, 19, 4), (5, 0, 4)))
    np.testing.assert_allclose(depth_of(day, start_of_row, end_of_row), expected((4, 19, 8), (5, 0, 4)))


def test_damaged_scan_is_named(tmp_path):
    (tmp_path / "cut.bin").write_bytes(b"\0" * 35)
    with pytest.raises(UserError, match=r"cut\.bin has 35 bytes, expected a multiple of 16"):
        read_scan(tmp_path / "cut.bin")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(UserError, match=r"laser scan .*empty\.bin has 0 bytes, expected a multiple of 16"):
        read_scan(tmp_path / "empty.bin")
    with pytest.raises(UserError, match=r"gone\.bin cannot be read \(No such file or directory\)"):
        read_scan(tmp_path / "gone.bin")


def test_frames_stored_smaller_have_the_same_truth(kitti):
    """It is made at the size that was calibrated, whatever the frame's."""
    kitti.drive(DRIVE, [0], cameras=(2,))
    kitti.scans(DRIVE, [0])
    (native,), _ = eigen_test_images(kitti.root)
    truth = native.ground_truth()
    assert truth.shape == (37, 124) and truth.any()
    kitti.drive(DRIVE, [0], cameras=(2,), size=(74, 248))
    with pytest.warns(UserWarning, match="is for images of 124x37 pixels .*, the frames have 248x74"):
        np.testing.assert_array_equal(native.ground_truth(), truth)
    kitti.drive(DRIVE, [0], cameras=(2,), size=(37, 148))
    with pytest.raises(UserError, match=r"calib_cam_to_cam\.txt is for images of 124x37 .*, 19% wider"):
        native.ground_truth()


def test_a_test_frame_without_its_scan_is_listed_where_the_drive_has_scans(kitti):
    kitti.drive(DRIVE, range(5), cameras=(2,))
    with pytest.raises(UserError, match="none of the 697 Eigen test frames"):
        eigen_test_images(kitti.root)
    kitti.scans(DRIVE, [0, 4])
    images, _ = eigen_test_images(kitti.root)
    assert [int(image.image.stem) for image in images] == [0, 2, 4]
    with pytest.raises(UserError, match=r"laser scan .*0000000002\.bin cannot be read"):
        images[1].ground_truth()


@pytest.mark.parametrize("frame", [0, 26])
def test_equals_the_reference_projection(shared, frame):
    golden = np.load(shared / "golden/evaluation.npz")[f"depth_{frame:02d}/gt"]
    day = shared / "data/kitti_raw/2011_09_26"
    scan = day / f"{DRIVE}_sync/velodyne_points/data/{frame:010d}.bin"
    depth = ground_truth_depth(scan, RawCalibration.read(day), 2, golden.shape)
    np.testing.assert_array_equal(depth.astype(np.float32), golden)


def test_test_frames_at_hand(shared):
    images, total = eigen_test_images(shared / "data")
    assert total == 697
    assert [int(image.image.stem) for image in images] == list(splits.eigen_test_frames()[DRIVE])
    for image in images:
        assert image.image.is_file() and image.scan.is_file() and image.image.stem == image.scan.stem
        assert DRIVE in str(image.image) and "image_02" in str(image.image)


def test_no_test_frame_says_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=rf"none of the 697 .*{tmp_path}/kitti_raw/2011_09_26/.*raw_data_downloader"):
        eigen_test_images(tmp_path)
