import math
import pathlib

import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.footage import Footage, check_plausible, find_calibration, split_into_sequences
from dopi_jax.data.recording import Calibration
from dopi_jax.data.sources.images import list_frames, read
from dopi_jax.errors import UserError

SIZE = (480, 640)


def camera(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def test_intrinsics_as_text(tmp_path):
    found = find_calibration(Footage(intrinsics="500, 510,320,240"), SIZE, beside=tmp_path)
    np.testing.assert_allclose(found.intrinsics, camera(500, 510, 320, 240))
    assert found.how == "from config.data.intrinsics" and not found.guessed


@pytest.mark.parametrize("text", ["500 510 320 240\n", "500,510,320,240", "500 0 320\n0 510 240\n0 0 1\n"])
def test_intrinsics_from_a_file_beside_the_frames_or_named(tmp_path, text):
    (tmp_path / "intrinsics.txt").write_text(text)
    beside = find_calibration(Footage(), SIZE, beside=tmp_path)
    named = find_calibration(Footage(intrinsics=str(tmp_path / "intrinsics.txt")), SIZE, beside=pathlib.Path("/"))
    for found in (beside, named):
        np.testing.assert_allclose(found.intrinsics, camera(500, 510, 320, 240))
        assert found.how == f"from {tmp_path}/intrinsics.txt"


def test_given_intrinsics_are_in_pixels_of_the_recording(tmp_path):
    # Stored at half the width and a quarter of the height, as after square pixels were made of wide ones.
    found = find_calibration(
        Footage(intrinsics="1000,2000,640,960"), SIZE, beside=tmp_path, recorded_size=(4 * SIZE[0], 2 * SIZE[1])
    )
    np.testing.assert_allclose(found.intrinsics, camera(500, 500, 320, 240))


def test_a_field_of_view_is_across_the_width(tmp_path):
    # 90 degrees: as far as half of the width.
    for size in (SIZE, SIZE[::-1]):
        found = find_calibration(Footage(field_of_view=90), size, beside=tmp_path, recorded_size=(1, 1))
        np.testing.assert_allclose(found.intrinsics, camera(size[1] / 2, size[1] / 2, (size[1] - 1) / 2, (size[0] - 1) / 2))


@pytest.mark.parametrize("size", [SIZE, SIZE[::-1]], ids=["landscape", "portrait"])
def test_exif_gives_the_focal_length_along_the_longer_side(tmp_path, size):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 27
    Image.new("RGB", size[::-1]).save(tmp_path / "0.jpg", exif=exif)
    found = find_calibration(Footage(), size, beside=tmp_path, frame=tmp_path / "0.jpg")
    # 27 mm before 36 mm of film, which are 640 pixels.
    np.testing.assert_allclose(np.diag(found.intrinsics), [480, 480, 1])
    assert found.how == "from the EXIF data of 0.jpg, a focal length of 27 mm (35 mm equivalent)"


@pytest.mark.parametrize("size", [SIZE, SIZE[::-1]], ids=["landscape", "portrait"])
@pytest.mark.parametrize("equivalent", [None, 0, 65535])
def test_where_nothing_is_known_the_guess_is_announced(tmp_path, size, equivalent):
    exif = Image.Exif()
    if equivalent is not None:
        exif.get_ifd(0x8769)[0xA405] = equivalent
    Image.new("RGB", size[::-1]).save(tmp_path / "0.jpg", exif=exif)
    found = find_calibration(Footage(), size, beside=tmp_path, frame=tmp_path / "0.jpg")
    assert found.guessed and found.how.startswith("guessed: 65 degrees along the longer side")
    np.testing.assert_allclose(np.diag(found.intrinsics)[:2], 320 / math.tan(math.radians(32.5)))


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("500,510,320", r"config.data.intrinsics has 3 numbers: expected 4 \(fx fy cx cy, in pixels\) or the 9"),
        ("learn", r"config.data.intrinsics is 'learn': expected fx,fy,cx,cy in pixels, such as .*, or a file that exists"),
        ("nan,510,320,240", r"config.data.intrinsics has fx nan, fy 510, cx 320, cy 240: expected focal lengths of 32 to"),
        ("inf,510,320,240", r"has fx inf"),
        ("-500,510,320,240", r"has fx -500"),
        ("0,510,320,240", r"has fx 0"),
        ("500,510,700,240", r"principal point inside the frames of 640x480 pixels"),
        ("500,510,320,-1", r"cy -1"),
        ("500,510,nan,240", r"cx nan"),
        ("0.58,1.92,0.5,0.5", r"has fx 0.58, .*; give them in pixels of these frames"),
        ("500 0 320 0 500 240 0 0 2", r"has \[\[500.0, 0.0, 320.0\], .* as \[fx 0 cx; 0 fy cy; 0 0 1\]"),
        ("500 90 320 0 500 240 0 0 1", r"has \[\[500.0, 90.0, 320.0\]"),
    ],
)
def test_what_is_no_camera_is_refused(tmp_path, text, sentence):
    with pytest.raises(UserError, match=sentence):
        find_calibration(Footage(intrinsics=text), SIZE, beside=tmp_path)


def test_a_file_that_holds_words_is_refused(tmp_path):
    (tmp_path / "intrinsics.txt").write_text("fx: 500\n")
    with pytest.raises(UserError, match=r"intrinsics.txt holds something else than numbers: expected fx fy cx cy"):
        find_calibration(Footage(), SIZE, beside=tmp_path)


def test_real_cameras_pass():
    check_plausible(camera(721.5, 721.5, 609.6, 172.9), "KITTI", (375, 1242))
    check_plausible(camera(307.3, 307.0, 302.6, 92.1), "Karlsruhe", (177, 640))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"field_of_view": 200.0}, r"config.data.field_of_view is 200: expected degrees between 5 and 165"),
        ({"field_of_view": -1.0}, r"config.data.field_of_view is -1"),
        ({"field_of_view": math.nan}, r"config.data.field_of_view is nan"),
        ({"field_of_view": 60.0, "intrinsics": "1,1,1,1"}, r"expected one of them, leave the other one out"),
        ({"stride": -1}, r"config.data.stride is -1: expected a number of frames"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        Footage(**options)


# The median of the bands' 1, 2, 4 and 6 pixels is about 3 of 320, 3.9 of 416; KITTI has 2.9 to 4.9.
@pytest.mark.parametrize("speed, strides", [(1.0, {1}), (0.4, {2}), (0.2, {3, 4}), (0.02, {8})])
def test_the_stride_follows_the_motion(made, tmp_path, speed, strides):
    root = made.folder(tmp_path / "drive", made.drive(24, speed))
    (sequence,) = read(root, "drive", Footage())
    assert sequence.step in strides
    assert len(sequence.snippets()) == 24 - 2 * sequence.step


def test_a_recording_that_stands_keeps_its_stride(made, tmp_path):
    root = made.folder(tmp_path / "stand", made.stand(20))
    assert read(root, "stand", Footage())[0].step == 1


def test_a_stride_is_no_longer_than_a_short_recording_bears(made, tmp_path):
    root = made.folder(tmp_path / "short", made.drive(6, 0.1))
    (sequence,) = read(root, "short", Footage())
    assert sequence.step == 2 and len(sequence.snippets()) == 2


def test_shots_are_sequences_of_their_own(made, tmp_path):
    root = made.folder(tmp_path / "film", made.drive(12) + made.drive(9, seed=50) + made.turn(10))
    shots = read(root, "film", Footage(stride=2))
    assert [(shot.name, len(shot), len(shot.snippets())) for shot in shots] == [
        ("film_000000", 12, 8),
        ("film_000012", 9, 5),
        ("film_000021", 10, 6),
    ]


def test_a_frame_that_cannot_be_read_is_no_cut(made, tmp_path):
    root = made.folder(tmp_path / "drive", made.drive(12))
    (root / "000005.jpg").write_bytes(b"damaged")
    (sequence,) = read(root, "drive", Footage())
    assert len(sequence) == 12 and sequence.recording.survey.cuts == ()


def test_a_recording_of_which_nothing_can_be_read_is_refused(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"damaged")
    known = Calibration(camera(500, 500, 320, 240), "from a test")
    with pytest.raises(UserError, match=r"none of the 3 frames in .* can be read"):
        split_into_sequences("drive", list_frames(tmp_path), (0, 1, 2), SIZE, known, 1)
