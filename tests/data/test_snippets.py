import pathlib

import numpy as np
import pytest

from dopi_jax.data.snippets import Sequence, count_snippets, numbered_frames, require_snippets
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
    ("indices", "kept"),
    [(slice(None, 2), (3, 4)), (slice(2, None), (9, 10)), (slice(-1, None), (10,)), (slice(None), (3, 4, 9, 10))],
)
def test_part_counts_positions(indices, kept):
    part = sequence_of(3, 4, 9, 10).part(indices)
    assert part.numbers == kept and len(part) == len(kept)
    assert [int(path.stem) for path in part.frames] == list(kept)


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


def test_frames_are_ordered_by_number_and_png_is_preferred(tmp_path):
    for name in ["10.png", "9.jpg", "0100.png", "9.png", "._9.png", "notes.txt", "11.jpg", "timestamps.png"]:
        (tmp_path / name).touch()
    (tmp_path / "12").mkdir()
    frames = numbered_frames(tmp_path)
    assert [(number, path.name) for number, path in frames.items()] == [
        (9, "9.png"),
        (10, "10.png"),
        (11, "11.jpg"),
        (100, "0100.png"),
    ]
    assert numbered_frames(tmp_path / "nowhere") == {}
