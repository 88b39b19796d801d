import dataclasses
import pathlib

import numpy as np
import pytest

from dopi_jax.data.footage import Footage
from dopi_jax.data.preflight import check_footage
from dopi_jax.data.recording import Bars, Calibration, Recording, Survey
from dopi_jax.data.snippets import Sequence
from dopi_jax.data.sources import images, video

CAMERA = np.array([[300, 0, 160], [0, 300, 96], [0, 0, 1.0]])
GOOD = Survey(cuts=(), exposure_jumps=(), bars=Bars(), stride=1, motions=(0.01,) * 40, parallax=1.0)


def report(survey=GOOD, frames=300, size=(192, 320), image_size=(192, 320), guessed=False, rate=0.0, **options):
    """Of a recording of which this is known."""
    calibration = Calibration(CAMERA, "guessed" if guessed else "from intrinsics.txt", guessed)
    paths = tuple(pathlib.Path(f"{number}.jpg") for number in range(frames))
    recording = Recording("walk", rate, calibration, survey)
    sequence = Sequence("walk", paths, tuple(range(frames)), CAMERA, image_size, step=survey.stride, recording=recording)
    (found,) = check_footage([sequence], size, **options)
    return found


def report_on(made, tmp_path, frames):
    root = made.folder(tmp_path / "clip", frames)
    (found,) = check_footage(images.read(root, "clip", Footage(field_of_view=60)), (192, 320))
    return found


def test_the_report_of_good_footage():
    assert report(rate=25).render().splitlines() == [
        "walk: 300 frames of 320x192 at 25 frames a second, 298 snippets of consecutive frames",
        "  intrinsics   fx 300.0, fy 300.0, cx 160.0, cy 96.0 (field of view 56 x 35 degrees), from intrinsics.txt",
        "  motion       3.2 pixels at 320x192 (median of 40 pairs); 0% of them stand still",
        "  parallax     in 100% of the pairs that move",
        "  cuts         none",
        "  exposure     no jumps",
        "  black bars   none",
    ]


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"exposure_jumps": (40, 80)}, "the brightness jumps at 2 frames"),
        ({"bars": Bars(top=0.125, bottom=0.25)}, r"the black bars (top 24 pixels, bottom 48 pixels) are not cut off"),
        ({"motions": (0.01,) * 20 + (0.0001,) * 20}, "the camera stands still in 50% of the pairs"),
        ({"motions": (0.001,) * 40, "stride": 8}, "little moves, 0.3 pixels: .* a longer --config.data.stride than 8"),
        ({"parallax": 0.3}, "only 30% of the pairs that move show parallax"),
    ],
)
def test_what_makes_it_worse_is_a_warning(changes, sentence):
    found = report(dataclasses.replace(GOOD, **changes))
    assert found.can_work and len(found.warnings) == 1
    assert all(part in found.warnings[0] for part in sentence.split(" .* "))
    assert f"  warning: {found.warnings[0]}" in found.render()


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"motions": (0.0001,) * 40, "parallax": float("nan")}, "almost nothing moves from frame to frame"),
        ({"parallax": 0.05}, "near and far things move alike (no parallax)"),
    ],
)
def test_what_cannot_work_is_said(changes, sentence):
    found = report(dataclasses.replace(GOOD, **changes))
    assert not found.can_work and sentence in found.failures[0]
    assert f"  cannot work: {found.failures[0]}" in found.render()


def test_few_snippets():
    assert "28 snippets are too few" in report(frames=30).failures[0]
    assert "98 snippets are few and soon overfitted" in report(frames=100).warnings[0]


def test_a_guessed_camera_is_a_warning_that_says_how_to_give_it():
    assert "--config.data.intrinsics=fx,fy,cx,cy" in report(guessed=True).warnings[0]


def test_where_the_focal_length_is_learnt_a_guess_is_where_it_starts():
    found = report(guessed=True, learns_focal_length=True)
    assert found.warnings == []
    assert "guessed; the focal length is learnt from here on" in found.render()


def test_a_squeezed_picture_is_a_warning_with_a_size_that_fits():
    (warning,) = report(image_size=(480, 640), size=(128, 416)).warnings
    assert "squeezed 2.4 times in height: --config.data.width=256 --config.data.height=192 keep" in warning
    (warning,) = report(image_size=(640, 360), size=(256, 832)).warnings
    assert "squeezed 5.8 times in height: --config.data.width=320 --config.data.height=640" in warning


def test_many_cuts_are_listed_in_short():
    text = report(dataclasses.replace(GOOD, cuts=tuple(range(10, 110, 10)))).render()
    assert "  cuts         10, before frames 10, 20, 30, 40, 50, 60, 70, 80 and 2 more" in text


def test_sequences_of_data_sets_are_left_out():
    sequence = Sequence("drive_02", (), (), CAMERA, (10, 10))
    assert check_footage([sequence], (128, 416)) == []


def test_a_drive_can_work(made, tmp_path):
    found = report_on(made, tmp_path, made.drive(40))
    assert found.can_work and found.snippets == 38
    assert found.recording.survey.parallax > 0.9


def test_a_camera_that_only_turns_cannot(made, tmp_path):
    found = report_on(made, tmp_path, made.turn(40))
    assert found.recording.survey.parallax < 0.05
    assert "no parallax" in found.failures[0]


def test_a_camera_that_stands_cannot(made, tmp_path):
    found = report_on(made, tmp_path, made.stand(40))
    assert "almost nothing moves" in found.failures[0]
    assert "100% of them stand still" in found.render() and "not measured" in found.render()


def test_the_cuts_of_a_film_are_listed_and_nothing_straddles_them(made, tmp_path):
    film = made.video(tmp_path / "film.avi", made.drive(20) + made.drive(18, seed=50))
    shots = video.read(film, "film", Footage(stride=1))
    (found,) = check_footage(shots, (192, 320))
    assert found.recording.survey.cuts == (20,)
    assert (found.frames, found.snippets) == (38, 18 + 16)
    assert "cuts         1, before frames 20" in found.render()


def test_a_jump_of_the_exposure_is_no_cut(made, tmp_path):
    frames = made.drive(30)
    frames[15:] = [np.clip(frame * 0.6, 0, 255).astype(np.uint8) for frame in frames[15:]]
    survey = report_on(made, tmp_path, frames).recording.survey
    assert (survey.cuts, survey.exposure_jumps) == ((), (15,))


def test_black_bars_are_measured_and_a_dark_sky_is_none(made, tmp_path):
    frames = made.drive(30)
    for frame in frames:
        frame[:24] = 0
        frame[-36:] = 0
    bars = report_on(made, tmp_path, frames).recording.survey.bars
    np.testing.assert_allclose(bars, [24 / 192, 36 / 192, 0, 0], atol=0.012)
    rng = np.random.default_rng(0)
    for frame in frames:
        frame[:24] = rng.integers(0, 25, (24, 320, 1))
    assert report_on(made, tmp_path / "sky", frames).recording.survey.bars.top == 0


@pytest.mark.parametrize("item", ["malaga", "karlsruhe"])
def test_real_drives_can_work(shared, item):
    (found,) = check_footage(images.read(shared / "more/own_footage", item, Footage()), (128, 416))
    assert found.can_work and found.recording.survey.cuts == () and found.recording.survey.stride == 1
    assert 2.5 < 416 * np.median(found.recording.survey.motions) < 5
