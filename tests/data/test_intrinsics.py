import pathlib
import warnings

import numpy as np
import pytest

from dopi_jax.data.intrinsics import check_intrinsics, intrinsics_of_stored, is_scaled, scale_rows
from dopi_jax.errors import UserError

PATH = pathlib.Path("03/calib.txt")


def camera(fx=100.0, fy=90.0, cx=60.0, cy=20.0):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def test_scale_rows_scales_focal_lengths_and_centre():
    scaled = scale_rows(camera(cx=50), zoom_y=0.5, zoom_x=2)
    np.testing.assert_array_equal(scaled, [[200, 0, 100], [0, 45, 10], [0, 0, 1]])


@pytest.mark.parametrize("cx", [-62, 0, 62, 124, 186])
def test_a_principal_point_up_to_half_an_image_outside_will_do(cx):
    check_intrinsics(camera(cx=cx), "P2 of calib.txt", (37, 124))


@pytest.mark.parametrize("entry", [{"fx": np.nan}, {"fx": 0}, {"fy": -200}, {"fx": np.inf}, {"cx": np.nan}, {"cy": np.inf}])
def test_what_is_no_camera_is_named(entry):
    with pytest.raises(
        UserError, match=r"^P2 of calib\.txt is no camera: focal lengths .*, expected finite numbers and pos"
    ):
        check_intrinsics(camera(**entry), "P2 of calib.txt")


@pytest.mark.parametrize("entry", [{"cx": -63}, {"cx": 187}, {"cy": -19}, {"cy": 56}])
def test_an_absurd_principal_point_is_named(entry):
    check_intrinsics(camera(**entry), "P2 of calib.txt")
    with pytest.raises(UserError, match=r"P2 of calib\.txt is no camera: .* far outside its images of 124x37 pixels"):
        check_intrinsics(camera(**entry), "P2 of calib.txt", (37, 124))


@pytest.mark.filterwarnings("error")
def test_frames_of_the_calibrated_size_keep_their_camera():
    for calibrated in ((37, 124), None):
        np.testing.assert_array_equal(intrinsics_of_stored(camera(), calibrated, (37, 124), PATH, "P2"), camera())


@pytest.mark.parametrize("stored", [(256, 832), (192, 640), (188, 621), (750, 2484)])
def test_usual_sizes_of_kitti_count_as_smaller_copies(stored):
    """832x256 is 1.9 % narrower than 1242x375."""
    with pytest.warns(UserWarning, match="calibration in 03 is for images of 1242x375"):
        assert is_scaled((375, 1242), stored, PATH)


@pytest.mark.parametrize(("stored", "told"), [((320, 1024), "3% narrower"), ((375, 1280), "3% wider"), ((1242, 375), "91%")])
def test_another_aspect_shows_another_part_of_the_scene(stored, told):
    with pytest.raises(UserError, match=rf"calibration file 03/calib\.txt is for images of 1242x375 .*, {told}"):
        is_scaled((375, 1242), stored, PATH)


def test_smaller_copies_are_told_once_a_folder(recwarn):
    warnings.simplefilter("default")
    for folder in ("03", "04", "03"):
        for key in ("P2", "P3"):
            half = intrinsics_of_stored(camera(), (38, 124), (19, 62), pathlib.Path(folder) / "calib.txt", key)
            np.testing.assert_array_equal(half, [[50, 0, 30], [0, 45, 10], [0, 0, 1]])
    assert [str(w.message)[:22] for w in recwarn] == ["the calibration in 03 ", "the calibration in 04 "]


def test_of_an_unknown_size_a_point_outside_the_frames_is_told():
    """As of frames stored at half their size."""
    with pytest.warns(
        UserWarning, match=r"P2 of 03/calib\.txt has its principal point \(60, 20\) outside the frames of 60x19"
    ):
        intrinsics_of_stored(camera(), None, (19, 60), PATH, "P2")
