import pytest

from dopi_jax.data import splits


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7", (7,)), ("0-6:3,9", (0, 3, 6, 9)), ("386-387,390", (386, 387, 390)), ("0-100:50", (0, 50, 100))],
)
def test_runs_by_hand(text, numbers):
    assert splits.parse_runs(text) == numbers


def test_counts_of_the_official_lists():
    assert sum(map(len, splits.eigen_test_frames().values())) == 697
    assert sum(map(len, splits.static_frames().values())) == 8044
    assert len(splits.eigen_test_scenes()) == 28


def test_equal_to_the_official_lists(shared):
    folder = shared / "data/splits"
    test = {
        f"{drive[:10]}/{drive}_sync/image_02/data/{number:010d}.png"
        for drive, numbers in splits.eigen_test_frames().items()
        for number in numbers
    }
    static = {
        f"{drive[:10]} {drive}_sync {number:010d}" for drive, numbers in splits.static_frames().items() for number in numbers
    }
    assert test == set((folder / "test_files_eigen.txt").read_text().split())
    assert static == set((folder / "static_frames.txt").read_text().splitlines())
    assert splits.eigen_test_scenes() == set((folder / "test_scenes.txt").read_text().split())


def test_validation_fold_is_fixed_and_about_a_tenth():
    """The fold must not move between versions: it decides what earlier runs were trained on."""
    drives = [f"2011_09_26_drive_{number:04d}" for number in range(1000)]
    assert 60 < sum(map(splits.is_validation, drives)) < 140
    first = [drive[-4:] for drive in drives[:50] if splits.is_validation(drive)]
    assert first == ["0002", "0008", "0023", "0037", "0040", "0041", "0049"]


def test_odometry_split_covers_the_sequences_with_poses():
    assert {*splits.ODOMETRY_TRAIN, *splits.ODOMETRY_TEST} == set(splits.ODOMETRY_DRIVES)
    assert len(splits.ODOMETRY_DRIVES) == 11
