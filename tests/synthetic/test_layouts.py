"""What is written in the official layouts, seen through the readers of the real data sets and beside the street's truth."""

import pathlib
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from dopi_jax import evaluation
from dopi_jax.data.calibration import CalibrationFile
from dopi_jax.data.images import read_image
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.snippets import count_snippets
from dopi_jax.data.sources import kitti_flow as flow_reader
from dopi_jax.data.sources import kitti_odometry as odometry_reader
from dopi_jax.data.sources import kitti_raw as raw_reader
from dopi_jax.data.splits import static_frames
from dopi_jax.data.velodyne import eigen_test_images, read_scan
from dopi_jax.errors import UserError
from dopi_jax.formats import read_kitti_poses
from dopi_jax.synthetic import OUT_OF_VIEW, VISIBLE
from dopi_jax.synthetic.__main__ import main
from dopi_jax.synthetic.layouts import cityscapes, kitti_flow, kitti_odometry, kitti_raw, rig, write_layout

SIZE = (24, 80)
FRAMES = {"kitti_raw": 28, "kitti_odometry": 16, "kitti_flow_2015": 3, "cityscapes": 90}
SEED = 4
TEST_DRIVE = kitti_raw.TEST_DRIVES[2]
LAYOUTS = {
    "kitti_raw": kitti_raw,
    "kitti_odometry": kitti_odometry,
    "kitti_flow_2015": kitti_flow,
    "cityscapes": cityscapes,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    for layout, frames in FRAMES.items():
        assert write_layout(layout, folder, frames, SEED, SIZE) == folder / layout
    return folder


@pytest.fixture(scope="module")
def streets():
    """The street of each recording, by data set and name."""
    return {layout: module.streets(FRAMES[layout], SEED, SIZE) for layout, module in LAYOUTS.items()}


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_raw_drives_fall_into_the_three_folds(root, streets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training = select_sequences(root, "kitti_raw:eigen", for_training=True)
        validation = select_sequences(root, "kitti_raw:eigen_val")
        tested, expected = eigen_test_images(root)
    assert [sequence.name for sequence in training] == [f"{drive}_02" for drive in kitti_raw.TRAINING_DRIVES]
    assert [len(sequence) for sequence in training] == [4, 3, 3, 3] and count_snippets(training) == 5
    assert [sequence.name for sequence in validation] == [f"{kitti_raw.VALIDATION_DRIVE}_02"]
    assert count_snippets(validation) == 1
    # The list has frames 0 to 2 of drive 0048, 0 and 2 of 0052, and 0 of both others.
    assert [int(image.image.stem) for image in tested] == [0, 0, 0, 1, 2, 0, 2] and expected == 697
    for sequence in training + validation:
        np.testing.assert_array_equal(sequence.intrinsics, streets["kitti_raw"][sequence.name[:-3]].K)
        assert sequence.image_size == SIZE


def test_long_raw_drives_stay_on_the_test_list_and_off_the_static_frames():
    lengths = {drive: street.frames for drive, street in kitti_raw.streets(800, SEED, SIZE).items()}
    assert sum(lengths.values()) == 800
    assert lengths[kitti_raw.VALIDATION_DRIVE] == 30
    assert [lengths[drive] for drive in kitti_raw.TEST_DRIVES] == [22] * 4
    for drive, length in lengths.items():
        assert not static_frames().get(drive, frozenset()).intersection(range(length))


def test_every_recording_shows_a_street_of_its_own(streets):
    seeds = [street.seed for recordings in streets.values() for street in recordings.values()]
    other = [street.seed for street in kitti_raw.streets(27, SEED + 1, SIZE).values()]
    assert len(set(seeds + other)) == len(seeds) + len(other) == 9 + 3 + 6 + 3 + 9


def test_images_are_the_streets_frames(root, streets):
    paths = {
        ("kitti_raw", TEST_DRIVE): f"2011_09_26/{TEST_DRIVE}_sync/image_02/data/0000000002.png",
        ("kitti_odometry", "09"): "sequences/09/image_2/000002.png",
        ("kitti_flow_2015", "testing/000001"): "testing/image_2/000001_11.png",
        ("cityscapes", "train/bochum_000000_000000"): (
            "leftImg8bit_sequence/train/bochum/bochum_000000_000002_leftImg8bit.png"
        ),
    }
    for (layout, name), path in paths.items():
        image = read_image(root / layout / path)
        np.testing.assert_array_equal(image, streets[layout][name].frame(2).image)


def test_laser_scans_give_the_true_depth_back(root, streets):
    for image in eigen_test_images(root)[0]:
        drive = image.image.parents[2].name.removesuffix("_sync")
        depth = streets["kitti_raw"][drive].frame(int(image.image.stem)).depth
        truth = image.ground_truth()
        measured = truth > 0
        np.testing.assert_allclose(truth[measured], depth[measured], rtol=1e-5)
        # At this size a beam meets every pixel but those above the scanner's view and the first column.
        assert measured[12:, 1:].mean() > 0.9 and measured.mean() > 0.5
        for protocol in ("cc", "monodepth2"):
            metrics = evaluation.depth_metrics(truth, np.minimum(depth, 1e3), protocol=protocol)
            assert metrics["abs_rel"] < 1e-5 and abs(metrics["scale"] - 1) < 1e-5


def test_laser_points_are_in_range_with_reflectance(root):
    for path in root.glob("kitti_raw/*/*/velodyne_points/data/*.bin"):
        points = read_scan(path)
        assert np.linalg.norm(points[:, :3], axis=-1).max() <= 80.001
        # The ground lies 1.65 m below the camera, which is a little below the laser.
        assert -3 < np.percentile(points[:, 2], 5) < -1.3
        assert points[:, 3].min() >= 0 and 0.1 < points[:, 3].max() <= 1


def test_gps_and_imu_give_the_poses(root, streets):
    """Positions and angles are undone here as the development kit does it."""
    day = root / "kitti_raw/2011_09_26"
    for drive, street in streets["kitti_raw"].items():
        paths = sorted((day / f"{drive}_sync/oxts/data").glob("*.txt"))
        records = np.array([[float(word) for word in path.read_text().split()] for path in paths])
        assert records.shape == (street.frames, 30)
        stamps = (day / f"{drive}_sync/oxts/timestamps.txt").read_text().splitlines()
        assert stamps[:2] == ["2011-09-26 13:00:00.000000000", "2011-09-26 13:00:00.100000000"]
        assert len(stamps) == street.frames
        poses = np.stack([pose_from_oxts(record, records[0, 0]) for record in records])
        velodyne_from_imu = read_transform(day / "calib_imu_to_velo.txt")
        camera_from_imu = read_transform(day / "calib_velo_to_cam.txt") @ velodyne_from_imu
        for number in range(1, street.frames):
            source_from_target = camera_from_imu @ np.linalg.inv(poses[number]) @ poses[0] @ np.linalg.inv(camera_from_imu)
            np.testing.assert_allclose(source_from_target, street.source_from_target(0, number), atol=1e-5)
        speed = np.linalg.norm(np.diff(street.poses[:, :3, 3], axis=0), axis=-1).mean() * rig.FRAME_RATE
        np.testing.assert_allclose(records[:, 8].mean(), speed, rtol=0.02)  # forward
        np.testing.assert_allclose(records[:, 13].mean(), 9.81, atol=1.0)  # upward, gravity included
        np.testing.assert_allclose(np.gradient(np.unwrap(records[:, 5]), 0.1), records[:, 22], atol=0.01)  # turning


def pose_from_oxts(record: np.ndarray, first_latitude: float) -> np.ndarray:
    latitude, longitude, altitude, roll, pitch, yaw = record[:6]
    scale = np.cos(np.radians(first_latitude))
    pose = np.eye(4)
    pose[:3, 3] = (
        scale * np.radians(longitude) * 6378137.0,
        scale * 6378137.0 * np.log(np.tan((90 + latitude) * np.pi / 360)),
        altitude,
    )
    (cx, cy, cz), (sx, sy, sz) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pose[:3, :3] = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x
    return pose


def read_transform(path: pathlib.Path) -> np.ndarray:
    calibration, pose = CalibrationFile.read(path), np.eye(4)
    pose[:3, :3], pose[:3, 3] = calibration.matrix("R", 3, 3), calibration.matrix("T", 3)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    return pose


def test_odometry_sequences_train_and_test(root, streets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (training,) = select_sequences(root, "kitti_odometry:train", for_training=True)
        tests = [select_sequences(root, f"kitti_odometry:{name}")[0] for name in ("09", "10")]
    assert [len(sequence) for sequence in (training, *tests)] == [6, 5, 5]
    for sequence in (training, *tests):
        street = streets["kitti_odometry"][sequence.name[:2]]
        np.testing.assert_array_equal(sequence.intrinsics, street.K)
        times = np.loadtxt(root / f"kitti_odometry/sequences/{sequence.name[:2]}/times.txt")
        np.testing.assert_allclose(times, 0.1 * np.arange(len(sequence)))


def test_odometry_poses_are_the_streets(root, streets):
    for name, street in streets["kitti_odometry"].items():
        poses = read_kitti_poses(odometry_reader.poses_file(name, root))
        np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
        for target in range(street.frames - 1):
            motion = np.linalg.inv(poses[target + 1]) @ poses[target]
            np.testing.assert_allclose(motion, street.source_from_target(target, target + 1), atol=1e-7)
        for length in (3, 5):
            true_snippets = evaluation.trajectory_snippets(poses, length)
            ate, rotation = evaluation.snippet_ate(true_snippets, evaluation.trajectory_snippets(street.poses, length))
            assert ate.max() < 1e-7 and rotation.max() < 1e-7
            straight, _ = evaluation.snippet_ate(true_snippets, evaluation.straight_ahead_baseline(length))
            assert straight.min() > 1e-4


def test_flow_scenes_are_found(root, streets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scenes = {"training": flow_reader.training_scenes([root]), "testing": flow_reader.testing_scenes([root])}
    for part, found in scenes.items():
        assert [scene.name for scene in found] == ["000000", "000001", "000002"]
        for scene in found:
            np.testing.assert_array_equal(scene.snippet.intrinsics, streets["kitti_flow_2015"][f"{part}/{scene.name}"].K)
            assert [path.stem[-2:] for path in scene.snippet.frames] == ["09", "10", "11"]


def test_flow_is_the_streets(root, streets):
    anything_moves = False
    for scene in flow_reader.training_scenes([root]):
        street = streets["kitti_flow_2015"][f"training/{scene.name}"]
        truth, pair, depth = scene.ground_truth(), street.pair(1, 2), street.frame(1).depth
        np.testing.assert_array_equal(truth.valid, np.isfinite(depth))
        np.testing.assert_allclose(truth.flow[truth.valid], pair.flow[truth.valid], atol=1 / 64)
        np.testing.assert_array_equal(truth.valid_noc, truth.valid & (pair.visibility == VISIBLE))
        assert np.any(truth.valid & ~truth.valid_noc & (pair.visibility == OUT_OF_VIEW))
        np.testing.assert_array_equal(truth.moving, pair.moving)
        anything_moves |= truth.moving.any()
        regions = evaluation.flow_regions(truth.valid, truth.valid_noc, truth.moving)
        metrics = evaluation.regional_flow_metrics(truth.flow, truth.flow, regions)
        assert {"all", "noc", "occ", "static"} <= set(metrics)
        assert all(region["epe"] == region["fl"] == 0 for region in metrics.values())
    assert anything_moves


def test_flow_of_what_passes_the_camera_is_unknown():
    """A wall nearer than the camera moves is behind the next camera, where its projection means nothing."""
    street = kitti_flow.streets(1, SEED, SIZE)["training/000000"]
    target, pair = street.frame(1), street.pair(1, 2)
    speed = -street.source_from_target(1, 2)[2, 3]
    target.depth[:, :10] = 0.9 * speed
    known = kitti_flow._known_flow(street, target, pair)
    assert not known[:, :10].any() and known[-1, 10:].all()
    pair.flow[-1, 20] = (-600, 0)
    assert not kitti_flow._known_flow(street, target, pair)[-1, 20]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_seed_gives_the_same_bytes(layout, root, tmp_path):
    again = write_layout(layout, tmp_path, FRAMES[layout], SEED, SIZE)
    assert files(again) == files(root / layout)


def test_an_existing_folder_is_left_alone(root):
    before = files(root / "kitti_raw")
    with pytest.raises(UserError, match=r"data.*/kitti_raw already exists: remove it, or choose another --out"):
        write_layout("kitti_raw", root, 27, 0, SIZE)
    assert files(root / "kitti_raw") == before


def test_nothing_is_left_of_an_interrupted_run(tmp_path, monkeypatch):
    def interrupted(folder, _streets):
        (folder / "half").write_text("written")
        raise KeyboardInterrupt

    monkeypatch.setattr(kitti_flow, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_layout("kitti_flow_2015", tmp_path, 1, 0, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/kitti_flow_2015 cannot be written .*: choose another --out"):
        write_layout("kitti_flow_2015", tmp_path / "file", 1, 0, SIZE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout=kitti"], r"--layout is 'kitti': expected one of kitti_raw, kitti_odometry, kitti_flow_2015, cityscapes"),
        (["--frames=26"], r"--frames is 26: expected at least 27 for kitti_raw"),
        (["--layout=kitti_odometry", "--frames=14"], r"--frames is 14: expected at least 15 for kitti_odometry"),
        (["--layout=kitti_flow_2015", "--frames=0"], r"--frames is 0: expected at least 1"),
        (["--layout=cityscapes", "--frames=60"], r"--frames is 60: expected a multiple of 30 for cityscapes, at least 90"),
        (["--layout=cityscapes", "--frames=100"], r"--frames is 100: expected a multiple of 30 for cityscapes"),
        (["--frames=many"], r"argument --frames: invalid int value: 'many'; --help lists the options"),
        (["--height=0"], r"--height is 0: expected 16 to 4096 pixels"),
        (["--width=5000"], r"--width is 5000: expected 16 to 4096 pixels"),
        (["--seed=-1"], r"--seed is -1: expected 0 or more"),
        (["--movers=3"], r"unrecognized arguments: --movers=3"),
    ],
)
def test_a_mistake_is_one_sentence(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--layout=kitti_raw", f"--out={tmp_path / 'data'}", "--frames=30", *options])
    out, err = capsys.readouterr()
    assert exit_.value.code == 1 and out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert re.search(message, err)
    assert not (tmp_path / "data").exists()


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "dopi_jax.synthetic", "--layout", "kitti_flow_2015", "--out", str(tmp_path)]
    options = ["--frames", "1", "--seed", "2", "--height", "16", "--width", "32"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'kitti_flow_2015'}\n" and "2/2" in done.stderr
    (scene,) = flow_reader.training_scenes([tmp_path])
    assert scene.snippet.image_size == (16, 32)
    again = subprocess.run([*command, *options], capture_output=True, text=True)
    assert again.returncode == 1 and "already exists" in again.stderr and "Traceback" not in again.stderr


def test_drives_are_listed(root):
    assert raw_reader.items(root) == sorted(
        [*kitti_raw.TRAINING_DRIVES, kitti_raw.VALIDATION_DRIVE, *kitti_raw.TEST_DRIVES]
    )
