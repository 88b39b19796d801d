import numpy as np
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


@pytest.mark.parametrize(
    ("focal", "centre", "native"),
    [(718.856, (607.1928, 185.2157), 1241), (721.5377, (609.5593, 172.854), 1242), (707.0912, (601.8873, 183.1104), 1226)],
)
def test_official_calibrations_are_scaled_to_smaller_frames(kitti, focal, centre, native):
    """calib.txt does not say the size that it is for; the frames as they are usually prepared have 832x256 pixels."""
    kitti.odometry("00", range(3), cameras=(2,), size=(256, 832))
    line = f"P2: {focal} 0 {centre[0]} 45 0 {focal} {centre[1]} -0.1 0 0 1 0.004\n"
    (kitti.root / "kitti_odometry/sequences/00/calib.txt").write_text(line)
    with pytest.warns(UserWarning, match=rf"calibration in .*sequences/00 is for images of {native}x37\d pixels"):
        sequence = kitti_odometry.read_sequence(kitti.root, "00", 2)
    np.testing.assert_allclose(sequence.intrinsics[0], [focal * 832 / native, 0, centre[0] * 832 / native])
    assert sequence.image_size == (256, 832)


def test_an_official_calibration_refuses_frames_of_another_aspect(kitti):
    kitti.odometry("00", range(3), cameras=(2,), size=(256, 512))
    (kitti.root / "kitti_odometry/sequences/00/calib.txt").write_text("P2: 718.856 0 607 0 0 718.856 185 0 0 0 1 0\n")
    with pytest.raises(UserError, match=r"calib\.txt is for images of 1241x376 .*, the frames have 512x256, 39% narrower"):
        kitti_odometry.read_sequence(kitti.root, "00", 2)


def test_files_that_are_no_frames_are_told(kitti):
    kitti.odometry("00", range(3), cameras=(2,))
    folder = kitti.root / "kitti_odometry/sequences/00/image_2"
    for path in folder.iterdir():
        path.rename(path.with_suffix(".bmp"))
    with pytest.raises(UserError, match=r"image_2 \(000000\.bmp, 000001\.bmp, 000002\.bmp\) are no frames by their names"):
        kitti_odometry.list_cameras(kitti.root, "00")


def test_missing_frames_tell_where_they_were_looked_for(kitti):
    kitti.odometry("00", range(3), cameras=(1,))
    with pytest.raises(UserError, match=r"sequences/00/image_2, image_3 and image_0.*data_odometry_color\.zip"):
        kitti_odometry.list_cameras(kitti.root, "00")
    with pytest.raises(UserError, match=r"looked for .*sequences/00/image_2"):
        kitti_odometry.read_sequence(kitti.root, "00", 2)


def test_missing_set_and_poses_tell_where_they_were_looked_for(tmp_path):
    with pytest.raises(UserError, match=rf"kitti_odometry/sequences/00 in {tmp_path}.*data_odometry_color\.zip"):
        kitti_odometry.choose("train", kitti_odometry.items(tmp_path), str(tmp_path))
    with pytest.raises(UserError, match=r"kitti_odometry/poses/11\.txt"):
        kitti_odometry.poses_file("11", tmp_path)


def test_real_sequence(shared):
    root = shared / "data"
    assert kitti_odometry.items(root) == ["03"]
    assert kitti_odometry.list_cameras(root, "03") == [0]
    sequence = kitti_odometry.read_sequence(root, "03", 0)
    assert len(sequence) == 801 and len(sequence.snippets()) == 799
    assert sequence.image_size == (375, 1242)
    assert sequence.intrinsics[0, 0] == 721.5377
    assert len(kitti_odometry.poses_file("03", root).read_text().splitlines()) == 801
