import contextlib
import subprocess
import sys

import pytest

from dopi_jax.data import splits
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.data.snippets import count_snippets
from dopi_jax.errors import UserError

TRAINING = ["2011_09_26_drive_0001", "2011_09_28_drive_0001", "2011_10_03_drive_0042"]
TESTING = ["2011_09_26_drive_0002", "2011_09_26_drive_0052", "2011_10_03_drive_0027"]
VALIDATING = [
    drive for drive in (f"2011_09_26_drive_{number:04d}" for number in range(200, 240)) if splits.is_validation(drive)
]


@pytest.fixture
def many_drives(kitti):
    for drive in TRAINING + TESTING + VALIDATING:
        kitti.drive(drive, range(20, 30))
    return kitti.root


def names(sequences):
    return [sequence.name for sequence in sequences]


def test_eigen_takes_both_cameras_of_the_training_drives(many_drives):
    sequences = select_sequences(many_drives, "kitti_raw:eigen", for_training=True)
    assert names(sequences) == [f"{drive}_{camera}" for drive in TRAINING for camera in ("02", "03")]
    assert count_snippets(sequences) == 3 * 2 * 8


def test_training_and_test_never_meet(many_drives):
    test = {(drive, number) for drive, numbers in splits.eigen_test_frames().items() for number in numbers}
    trained_on = {
        (sequence.name.rpartition("_")[0], number)
        for selection in ("kitti_raw:eigen", "kitti_raw:eigen_val")
        for sequence in select_sequences(many_drives, selection, for_training=True)
        for number in sequence.numbers
    }
    assert len(trained_on) == 10 * len(TRAINING + VALIDATING)
    assert not trained_on & test
    at_hand = {(drive, number) for drive in TESTING for number in range(20, 30)}
    assert at_hand & test, "the folder must hold test frames for this test to mean anything"


def test_folds_are_disjoint_and_do_not_depend_on_what_is_at_hand(many_drives, kitti):
    training = set(names(select_sequences(many_drives, "kitti_raw:eigen")))
    validating = set(names(select_sequences(many_drives, "kitti_raw:eigen_val")))
    assert validating == {f"{drive}_{camera}" for drive in VALIDATING for camera in ("02", "03")}
    assert not training & validating
    kitti.drive("2011_09_26_drive_0003", range(20, 30))
    assert validating == set(names(select_sequences(many_drives, "kitti_raw:eigen_val")))
    assert training < set(names(select_sequences(many_drives, "kitti_raw:eigen")))


@pytest.mark.parametrize("drive", TESTING)
def test_test_scene_is_refused_for_training_only(many_drives, drive):
    with pytest.raises(UserError, match=f"{drive} is one of the 28 scenes"):
        select_sequences(many_drives, f"kitti_raw:{drive}", for_training=True)
    assert len(select_sequences(many_drives, f"kitti_raw:{drive}")) == 2


@pytest.mark.parametrize(
    ("text", "kept"), [("[:6]", range(20, 26)), ("[4:8]", range(24, 28)), ("[-3:]", range(27, 30)), ("", range(20, 30))]
)
def test_range_counts_positions_in_each_sequence(many_drives, text, kept):
    for sequence in select_sequences(many_drives, f"kitti_raw:2011_09_26_drive_0001{text}"):
        assert sequence.numbers == tuple(kept)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("[:90%]", range(20, 29)), ("[90%:]", [29]), ("[25%:-4]", range(22, 26)), ("[-30%:]", range(27, 30))],
)
def test_ranges_in_percent(kitti, text, kept):
    kitti.odometry("03", range(20, 30), cameras=(2,))
    with contextlib.suppress(UserError):  # the last ones hold no snippet
        (sequence,) = select_sequences(kitti.root, f"kitti_odometry:03{text}")
        assert sequence.numbers == tuple(kept)


def test_several_roots_are_one(kitti, tmp_path_factory, kitti_folder):
    """What either has is at hand, and of what both have the first one's is read."""
    kitti.odometry("03", range(20, 30), cameras=(2,))
    other = kitti_folder(tmp_path_factory.mktemp("other"))
    other.odometry("03", range(3), cameras=(2,))
    other.odometry("04", range(4), cameras=(2,))
    roots = find_data_roots(f"{kitti.root}, {other.root}")
    sequences = select_sequences(roots, "kitti_odometry:train")
    assert [(sequence.name, len(sequence)) for sequence in sequences] == [("03_2", 10), ("04_2", 4)]
    with pytest.raises(UserError, match="no data at gone"):
        find_data_roots(f"{kitti.root},gone")


@pytest.mark.parametrize(
    "selection",
    ["", "kitti", "kitti_raw", "kitti_raw:", "kitti_odometry:03[600]", "kitti_odometry:03[:600:2]", "cityscapes:"],
)
def test_unreadable_selection_shows_the_grammar(tmp_path, selection):
    with pytest.raises(UserError, match=r"cannot be read, expected kitti_raw:eigen"):
        select_sequences(tmp_path, selection)


def test_short_sequence_is_an_error_when_named_and_counted_in_a_split(kitti):
    kitti.drive("2011_09_26_drive_0001", range(2))
    with pytest.raises(UserError, match="2011_09_26_drive_0001_02 has 2 frames, expected at least 3"):
        select_sequences(kitti.root, "kitti_raw:2011_09_26_drive_0001")
    with pytest.raises(UserError, match="kitti_raw:eigen holds no snippet: none of its 2 sequences"):
        select_sequences(kitti.root, "kitti_raw:eigen")
    kitti.drive("2011_09_28_drive_0001", range(20, 25))
    with pytest.warns(UserWarning, match="2 of 4 sequences have no 3 consecutive frames"):
        sequences = select_sequences(kitti.root, "kitti_raw:eigen")
    assert names(sequences) == ["2011_09_28_drive_0001_02", "2011_09_28_drive_0001_03"]


def test_missing_drive_lists_what_is_there(many_drives):
    with pytest.raises(UserError, match=r"drive 2011_09_26_drive_0099 is not at hand.*2011_09_26_drive_0001"):
        select_sequences(many_drives, "kitti_raw:2011_09_26_drive_0099")


def test_drive_without_colour_frames(kitti):
    kitti.drive("2011_09_26_drive_0001", range(3), cameras=(0,))
    with pytest.raises(UserError, match="no colour frames, looked for image_02/data and image_03/data"):
        select_sequences(kitti.root, "kitti_raw:2011_09_26_drive_0001")


def test_empty_fold_says_what_is_there(kitti):
    kitti.drive("2011_09_26_drive_0052", range(3))
    with pytest.raises(UserError, match=r"kitti_raw:eigen is empty: none of the 1 drives"):
        select_sequences(kitti.root, "kitti_raw:eigen")


def test_odometry_train_holds_no_test_sequence(kitti):
    for name in ("02", "08", "09", "10", "11"):
        kitti.odometry(name, range(4))
    sequences = select_sequences(kitti.root, "kitti_odometry:train", for_training=True)
    assert names(sequences) == ["02_2", "02_3", "08_2", "08_3"]
    assert names(select_sequences(kitti.root, "kitti_odometry:09")) == ["09_2", "09_3"]
    with pytest.raises(UserError, match=r"kitti_odometry:04 is not at hand.*found 02, 08, 09, 10, 11"):
        select_sequences(kitti.root, "kitti_odometry:04")


@pytest.mark.parametrize("drive", ["2011_09_30_drive_0033", "2011_09_30_drive_0034"])
def test_training_on_raw_drives_of_the_pose_test_warns(kitti, drive):
    kitti.drive(drive, range(3))
    with pytest.warns(UserWarning, match="seen the pose test"):
        select_sequences(kitti.root, f"kitti_raw:{drive}", for_training=True)


def test_training_on_odometry_cut_from_depth_test_scenes_warns(kitti):
    kitti.odometry("00", range(3))
    with pytest.warns(UserWarning, match=r"Eigen test scenes \(2011_10_03_drive_0027\)"):
        select_sequences(kitti.root, "kitti_odometry:00", for_training=True)


@pytest.mark.filterwarnings("error")
def test_no_warning_without_cause(many_drives, kitti):
    kitti.odometry("00", range(3))
    select_sequences(many_drives, "kitti_raw:eigen", for_training=True)
    select_sequences(many_drives, "kitti_odometry:00")


def test_root_is_the_argument_else_the_environment(kitti, tmp_path_factory, monkeypatch):
    kitti.odometry("00", range(3))
    monkeypatch.setenv("DOPI_DATA", str(kitti.root))
    assert find_data_roots() == (kitti.root,)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(UserError, match=rf"{empty} \(from --config.data.root\): it has none of kitti_raw/"):
        find_data_roots(str(empty))
    monkeypatch.setenv("DOPI_DATA", str(empty / "gone"))
    assert find_data_roots(str(kitti.root)) == (kitti.root,)
    with pytest.raises(UserError, match=r"gone \(from the environment variable DOPI_DATA\): it does not exist"):
        find_data_roots()


def test_no_root_says_how_to_set_and_get_it(monkeypatch):
    monkeypatch.delenv("DOPI_DATA", raising=False)
    with pytest.raises(UserError, match=r"--config\.data\.root or the environment variable DOPI_DATA.*raw_data_downl"):
        find_data_roots()


def test_real_extracts(shared):
    root = find_data_roots(str(shared / "data"))
    (drive,) = select_sequences(root, "kitti_raw:eigen", for_training=True)
    assert drive.name == "2011_09_26_drive_0095_02" and len(drive) == 268
    (grey,) = select_sequences(root, "kitti_odometry:train[540:600]", for_training=True)
    assert grey.name == "03_0" and grey.numbers == tuple(range(540, 600))
    with pytest.raises(UserError, match="28 scenes"):
        select_sequences(root, "kitti_raw:2011_09_26_drive_0052", for_training=True)


def test_selecting_needs_no_tensorflow():
    code = "import sys, dopi_jax.data.selection, dopi_jax.data.velodyne; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
