import pathlib

import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.snippets import (
    Sequence,
    count_snippets,
    frame_size,
    ignored_files,
    numbered_frames,
    require_snippets,
)
from dopi_jax.errors import UserError


def sequence_of(*numbers):
    frames = tuple(pathlib.Path(f"{number}.png") for number in numbers)
    return Sequence("drive_02", frames, numbers, np.diag([100.0, 80.0, 1.0]), (50, 200))


def centres(sequence):
    return [int(snippet.target.stem) for snippet in sequence.snippets()]


def test_snippets_are_consecutive_frames_in_time_order():
    snippets = sequence_of(4, 5, 6, 7).snippets()
    assert [[path.name for path in snippet.frames] for snippet in snippets] == [
        ["4.png", "5.png", "6.png"],
        ["5.png", "6.png", "7.png"],
    ]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0, 1, 2, 4, 5, 6), [1, 5]),
        ((0, 1, 3, 4), []),
        ((0, 2, 4, 6), []),
        ((0, 1, 2, 5, 8, 9, 10, 11), [1, 9, 10]),
        ((0, 1), []),
        ((), []),
    ],
)
def test_no_snippet_straddles_a_gap(numbers, expected):
    assert centres(sequence_of(*numbers)) == expected


def test_removing_frames_leaves_a_gap():
    assert centres(sequence_of(*range(9)).without(frozenset({4}))) == [1, 2, 6, 7]


@pytest.mark.parametrize(
    ("places", "kept"),
    [(range(2), (3, 4)), (range(2, 4), (9, 10)), (range(3, 4), (10,)), (range(4), (3, 4, 9, 10))],
)
def test_part_counts_places(places, kept):
    part = sequence_of(3, 4, 9, 10).part(places)
    assert part.numbers == kept and len(part) == len(kept)
    assert [int(path.stem) for path in part.frames] == list(kept)


def test_a_part_of_a_part_counts_in_the_whole():
    part = sequence_of(*range(10)).part(range(4, 9))
    assert part.part(range(5, 7)).numbers == (5, 6)
    assert (part.places, part.whole_length) == ((4, 5, 6, 7, 8), 10)


def test_count_adds_up():
    assert count_snippets([sequence_of(0, 1, 2, 3), sequence_of(0, 1), sequence_of(5, 6, 7)]) == 3


def test_intrinsics_follow_the_size():
    snippet = sequence_of(0, 1, 2).snippets()[0]
    np.testing.assert_array_equal(snippet.intrinsics_at((25, 100)), np.diag([50.0, 40.0, 1.0]))


def test_short_sequence_is_named():
    with pytest.raises(UserError, match="drive_02 has 2 frames, expected at least 3"):
        require_snippets(sequence_of(0, 1))
    with pytest.raises(UserError, match="drive_02 has 4 frames but no 3 of them have consecutive numbers"):
        require_snippets(sequence_of(0, 1, 3, 4))


def test_frames_left_out_for_standing_are_remembered():
    driving = sequence_of(*range(6)).without(frozenset({0, 1, 9})).part(range(1, 4))
    assert (driving.numbers, driving.standing) == ((3, 4, 5), 2)
    with pytest.raises(
        UserError, match="drive_02 has no frame to learn from: the car stands still on all of its 3, by the lis"
    ):
        require_snippets(sequence_of(0, 1, 2).without(frozenset(range(9))))
    with pytest.raises(UserError, match="drive_02 has 4 frames beside 1 on which the car stands still but no 3 of them"):
        require_snippets(sequence_of(0, 1, 2, 3, 4).without(frozenset({2})))


def picture(path, size):
    Image.new("RGB", size[::-1]).save(path)
    return path


def test_one_size_for_all_frames(tmp_path):
    frames = [picture(tmp_path / f"{number}.png", (5, 8)) for number in range(4)]
    assert frame_size(frames) == (5, 8)
    picture(frames[-1], (5, 9))
    with pytest.raises(
        UserError, match=r"different sizes .*0\.png 8x5 pixels and .*3\.png 9x5, expected one, for which one cam"
    ):
        frame_size(frames)
    frames[-1].write_bytes(b"")  # which is told when it is read
    frames[0].write_bytes(b"")
    assert frame_size(iter(frames)) == (5, 8)
    for path in frames:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"0\.png cannot be read"):
        frame_size(frames)


def test_frames_are_ordered_by_number_and_png_is_preferred(tmp_path):
    for name in [
        "10.png",
        "9.jpg",
        "0100.png",
        "9.png",
        "._9.png",
        "notes.txt",
        "11.jpg",
        "timestamps.png",
        "12.JPG",
        "13.jpeg",
        "13.Jpg",
        "14.JPEG",
        "15.PNG",
        "Thumbs.db",
        ".16.png",
        "17.png~",
        "18",
    ]:
        (tmp_path / name).touch()
    (tmp_path / "19").mkdir()
    frames = numbered_frames(tmp_path)
    assert [(number, path.name) for number, path in frames.items()] == [
        (9, "9.png"),
        (10, "10.png"),
        (11, "11.jpg"),
        (12, "12.JPG"),
        (13, "13.Jpg"),
        (14, "14.JPEG"),
        (15, "15.PNG"),
        (100, "0100.png"),
    ]
    assert numbered_frames(tmp_path / "nowhere") == {}


def test_why_a_folder_has_no_frames(tmp_path):
    assert ignored_files(tmp_path, "0.png") == ignored_files(tmp_path / "nowhere", "0.png") == ""
    for name in ("b.webp", "a.png", "._0.png", "Thumbs.db"):
        (tmp_path / name).touch()
    assert ignored_files(tmp_path, "0.png") == (
        f"; the files in {tmp_path} (._0.png, Thumbs.db, a.png and 1 more) are no frames by their names, expected such as "
        "0.png with one of .png, .jpg, .jpeg"
    )
