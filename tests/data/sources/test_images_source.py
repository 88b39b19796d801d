import pathlib

import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.footage import Footage
from dopi_jax.data.sources import images
from dopi_jax.errors import UserError


def named(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(np.full((24, 40, 3), 10 * index, np.uint8)).save(folder / name)
    return folder


def numbers(*names):
    return images.number_frames(tuple(map(pathlib.Path, names)))


def test_a_folder_of_images_is_the_recording(tmp_path):
    root = named(tmp_path / "walk", "0.png", "1.png", "2.png")
    assert images.items(root) == ["walk"]
    (sequence,) = images.read(root, "walk", Footage())
    assert (sequence.name, len(sequence.snippets()), sequence.image_size) == ("walk", 1, (24, 40))


def test_folders_with_images_are_recordings_but_data_sets_and_hidden_ones_are_not(tmp_path):
    for folder in ("clip10", "clip9", ".hidden", "kitti_raw", "cityscapes"):
        named(tmp_path / folder, "0.png", "1.png", "2.png")
    named(tmp_path / "two", "0.png", "1.png")
    named(tmp_path, "preview.png")
    assert images.items(tmp_path) == ["clip9", "clip10"]
    assert images.read(tmp_path, "clip10", Footage())[0].frames[0].parent == tmp_path / "clip10"


def test_a_root_without_images_holds_nothing(tmp_path):
    (tmp_path / "README.md").write_text("nothing here")
    assert images.items(tmp_path) == images.items(tmp_path / "README.md") == images.items(tmp_path / "absent") == []


def test_names_sort_by_their_numbers_and_suffixes_in_any_case(tmp_path):
    root = named(tmp_path / "a", "f10.JPG", "f9.jpeg", "f11.PNG", "f8.webp", "f12.bmp", "f13.TIF")
    for noise in ("._f9.jpeg", "Thumbs.db", "f14.txt"):
        (root / noise).write_text("no image")
    expected = ["f8.webp", "f9.jpeg", "f10.JPG", "f11.PNG", "f12.bmp", "f13.TIF"]
    assert [path.name for path in images.list_frames(root)] == expected


def test_of_a_frame_and_its_copy_the_original_is_used(tmp_path):
    root = named(tmp_path / "a", "0.jpg", "0.png", "1.jpg", "2.jpg")
    assert [path.name for path in images.list_frames(root)] == ["0.png", "1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    "names, expected",
    [
        (("f_003.png", "f_004.png", "f_007.png", "f_008.png"), (3, 4, 7, 8)),
        (("a.png", "b1.png", "c2.png"), (0, 1, 2)),
        (("cam1_7.png", "cam2_3.png", "cam2_4.png"), (0, 1, 2)),
        (("0.png", "5.png", "10.png", "20.png", "25.png"), (0, 1, 2, 4, 5)),
        (("1403636579763.png", "1403636579813.png", "1403636579864.png", "1403636579965.png"), (0, 1, 2, 4)),
        (("1.0.png", "1.9.png", "2.1.png"), (0, 1, 2)),
        (("5.png",), (0,)),
        ((), ()),
    ],
    ids=["gap", "no number", "not rising", "every fifth", "milliseconds", "seconds with a point", "one", "none"],
)
def test_frame_numbers(names, expected):
    assert numbers(*names) == expected


def test_no_snippet_straddles_a_missing_frame(tmp_path):
    root = named(tmp_path / "a", *(f"{n}.png" for n in (0, 1, 2, 4, 5, 6)))
    (sequence,) = images.read(root, "a", Footage(stride=1))
    assert [snippet.target.stem for snippet in sequence.snippets()] == ["1", "5"]


def test_with_a_stride_every_frame_is_a_target(tmp_path):
    root = named(tmp_path / "a", *(f"{n}.png" for n in range(7)))
    (sequence,) = images.read(root, "a", Footage(stride=2))
    steps = [tuple(int(path.stem) for path in snippet.frames) for snippet in sequence.snippets()]
    assert steps == [(0, 2, 4), (1, 3, 5), (2, 4, 6)]


def test_a_folder_whose_files_are_all_ignored_says_why(tmp_path):
    for name in ("a.heic", "b.heic", "._c.png", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    sentence = r"has 0 images, 2 ignored \(\.heic is no image that is read\), .*1 ignored \(hidden\).*, expected at least 3"
    with pytest.raises(UserError, match=sentence):
        images.read(tmp_path, tmp_path.name, Footage())


def test_an_absent_recording_is_told(tmp_path):
    with pytest.raises(UserError, match=r"images:walk cannot be used: the folder .*/walk does not exist; set --config"):
        images.read(tmp_path, "walk", Footage())


def test_own_footage_is_read_as_it_is(shared):
    root = shared / "more/own_footage"
    assert images.items(root) == ["karlsruhe", "malaga"]
    assert images.items(root / "malaga") == ["malaga"]
    (sequence,) = images.read(root, "karlsruhe", Footage())
    assert (len(sequence), len(sequence.snippets()), sequence.image_size) == (373, 371, (177, 640))
    np.testing.assert_allclose(np.diag(sequence.intrinsics), [307.257190, 307.009402, 1])
    assert sequence.recording.calibration.how.endswith("karlsruhe/intrinsics.txt")
    assert images.items(shared / "data") == images.items(shared / "more") == []


def test_frames_of_kitti_as_a_folder(shared):
    folder = shared / "data/kitti_raw/2011_09_26/2011_09_26_drive_0095_sync/image_02/data"
    (sequence,) = images.read(folder, "data", Footage(field_of_view=81))
    assert (len(sequence.snippets()), sequence.step, sequence.recording.survey.cuts) == (266, 1, ())
    assert sequence.recording.survey.parallax > 0.9
    # KITTI's camera 02 has fx = 721.5.
    assert sequence.intrinsics[0, 0] == pytest.approx(721.5, rel=0.02)
