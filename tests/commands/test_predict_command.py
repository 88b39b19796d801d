"""`dopi-jax predict`: what it writes, opened by other programs, and what it says to wrong input."""

import json

import cv2
import numpy as np
import plyfile
import pytest
from PIL import Image

from dopi_jax import __main__ as entry
from dopi_jax.commands import predict
from dopi_jax.config import Config
from dopi_jax.model_file import write_model
from dopi_jax.networks import network_variables
from dopi_jax.training import create_state

pytestmark = pytest.mark.usefixtures("quick_compile")

HEIGHT, WIDTH = 60, 100


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Lite untrained networks of both phases, as files."""
    folder = tmp_path_factory.mktemp("models")
    for phase in ("depthpose", "flow"):
        config = Config(phase=phase)
        config.data.height, config.data.width = 64, 128
        config.model.depth = config.model.pose = config.model.flow = "lite"
        state = create_state(config)
        write_model(folder / f"{phase}.npz", config, network_variables(state.params, state.batch_stats), 3)
    return folder


@pytest.fixture(autouse=True)
def frames_cache(monkeypatch, tmp_path_factory):
    """Videos are unpacked into a folder of the tests."""
    monkeypatch.setenv("DOPI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five frames of a texture that moves, and the camera."""
    folder = tmp_path_factory.mktemp("frames") / "walk"
    folder.mkdir()
    texture = cv2.resize(np.random.default_rng(0).integers(0, 255, (20, 60, 3), np.uint8), (240, 80))
    for index in range(5):
        cv2.imwrite(str(folder / f"{index + 8}.png"), texture[:HEIGHT, 4 * index : 4 * index + WIDTH])
    (folder / "intrinsics.txt").write_text("90 90 49.5 29.5")
    return folder


def run(*arguments):
    predict.main([str(argument) for argument in arguments])


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ")
    return said[-1]


@pytest.fixture(scope="module")
def predicted(models, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("predicted") / "out"
    run(folder, "--out", out, "--model", models / "depthpose.npz", "--npy")
    return out


def test_every_frame_has_its_files_by_its_name(predicted):
    names = ["8", "9", "10", "11", "12"]
    for kind, suffix in (("depth", "png"), ("depth_npy", "npy"), ("depth_colours", "jpg"), ("pictures", "jpg")):
        assert sorted(p.name for p in (predicted / kind).iterdir()) == sorted(f"{n}.{suffix}" for n in names)
    assert sorted(p.stem for p in (predicted / "visible").iterdir()) == sorted(names[:-1])  # the last has no next frame
    assert not list(predicted.rglob("*unfinished*"))


def test_depth_is_a_16_bit_picture_in_256ths(predicted):
    stored = cv2.imread(str(predicted / "depth/8.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and stored.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(stored / 256, np.load(predicted / "depth_npy/8.npy"), atol=1 / 512)
    medians = [np.median(np.load(path)) for path in (predicted / "depth_npy").iterdir()]
    np.testing.assert_allclose(np.median(medians), 10, rtol=0.05)
    assert np.asarray(Image.open(predicted / "visible/8.png")).shape == (HEIGHT, WIDTH)


def test_trajectories_follow_the_rules_of_kitti_and_tum(predicted):
    kitti = np.loadtxt(predicted / "trajectory_kitti.txt").reshape(-1, 3, 4)
    tum = np.loadtxt(predicted / "trajectory_tum.txt")
    assert len(kitti) == len(tum) == 5 and tum.shape[1] == 8
    np.testing.assert_allclose(kitti[0], np.eye(4)[:3], atol=1e-6)
    np.testing.assert_allclose(tum[:, 1:4], kitti[:, :, 3], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(tum[:, 4:], axis=1), 1, atol=1e-5)
    assert (np.diff(tum[:, 0]) > 0).all()


def test_the_cloud_opens_as_ply(predicted):
    vertices = plyfile.PlyData.read(predicted / "cloud.ply")["vertex"]
    assert [p.name for p in vertices.properties] == ["x", "y", "z", "red", "green", "blue"]
    points = np.stack([vertices[axis] for axis in "xyz"], axis=-1)
    assert len(points) > 100 and np.isfinite(points).all() and (points[:, 2] < 60).all()


def test_the_video_has_every_frame(predicted):
    video = cv2.VideoCapture(str(predicted / "depth.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    assert video.read()[1].shape == (2 * HEIGHT + 4, WIDTH, 3)


def test_the_page_names_what_is_there(predicted):
    page = (predicted / "index.html").read_text()
    assert "$" not in page.replace("$/", "")
    for text in ("pictures/8.jpg", "walk", "trajectory_tum.txt", "cloud.ply", "no metres", "intrinsics.txt"):
        assert text in page
    assert "flow/" not in page
    summary = json.loads((predicted / "prediction.json").read_text())
    assert summary["frames"] == 5 and summary["step"] == 3 and summary["intrinsics"][0][0] == 90


def test_one_image_has_depth_alone(models, folder, tmp_path):
    run(folder / "8.png", "--out", tmp_path / "out", "--model", models / "depthpose.npz", "--field-of-view", 60)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "depth", "depth_colours", "pictures", "cloud.ply", "index.html", "prediction.json",
    }  # fmt: skip


def test_flow_is_asked_for_left_out_and_refused(models, folder, tmp_path, capsys, monkeypatch):
    depth_alone = "--model", models / "depthpose.npz"
    assert "has no flow network" in told(capsys, folder, "--out", tmp_path / "0", *depth_alone, "--flow")
    run(folder, "--out", tmp_path / "1", "--model", models / "flow.npz", "--no-flow")
    monkeypatch.setattr(predict, "_FLOW_FRAMES", 4)
    capsys.readouterr()
    run(folder, "--out", tmp_path / "2", "--model", models / "flow.npz")
    assert "no flow of 5 frames, which would take long: --flow writes it" in capsys.readouterr().err
    assert not (tmp_path / "1/flow").exists() and not (tmp_path / "2/flow").exists()
    run(folder, "--out", tmp_path / "3", "--model", models / "flow.npz", "--flow")
    assert len(list((tmp_path / "3/flow").iterdir())) == 4


def test_flow_is_written_in_three_formats(models, folder, tmp_path):
    run(folder, "--out", tmp_path, "--model", models / "flow.npz")
    flow = cv2.readOpticalFlow(str(tmp_path / "flow/8.flo"))
    assert flow.shape == (HEIGHT, WIDTH, 2)
    stored = cv2.imread(str(tmp_path / "flow_kitti/8.png"), cv2.IMREAD_UNCHANGED)[:, :, ::-1].astype(float)
    np.testing.assert_allclose((stored[:, :, :2] - 2**15) / 64, flow, atol=1 / 64)
    assert (tmp_path / "flow_back/9.flo").exists() and not (tmp_path / "flow/12.flo").exists()


def test_a_video_keeps_its_frame_rate(models, folder, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "my.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    for name in range(8, 13):
        writer.write(cv2.imread(str(folder / f"{name}.png")))
    writer.release()
    run(tmp_path / "my.mp4", "--out", tmp_path / "out", "--model", models / "depthpose.npz", "--intrinsics", "90,90,50,30")
    assert cv2.VideoCapture(str(tmp_path / "out/depth.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "out/trajectory_tum.txt")[:, 0], np.arange(5) / 25, atol=1e-4)


def median_step(out):
    """Between two frames, in the unit of the trajectory."""
    path = np.loadtxt(out / "trajectory_tum.txt")[:, 1:4]
    return np.median(np.linalg.norm(np.diff(path, axis=0), axis=1))


def test_metres_from_a_known_speed(models, folder, tmp_path):
    model = ("--model", models / "depthpose.npz", "--speed", 36, "--frame-rate", 10)
    run(folder, "--out", tmp_path / "out", *model)
    assert median_step(tmp_path / "out") == pytest.approx(1.0, rel=0.01)
    assert "if the camera moves at 36 km/h" in (tmp_path / "out/index.html").read_text()


def test_metres_from_true_poses(models, folder, kitti, tmp_path, capsys):
    model = ("--model", models / "depthpose.npz")
    poses = np.tile(np.eye(4)[:3], (5, 1, 1))
    poses[:, 0, 3] = [0, 2, 4, 6, 8]
    np.savetxt(tmp_path / "poses.txt", poses.reshape(5, 12))
    run(folder, "--out", tmp_path / "a", *model, "--true-poses", tmp_path / "poses.txt")
    assert median_step(tmp_path / "a") == pytest.approx(2.0, rel=0.01)
    assert "poses.txt are true in the first frames" in (tmp_path / "a/index.html").read_text()

    kitti.odometry("03", range(5), cameras=(2,), texture=True)
    part = ("kitti_odometry:03[1:4]", "--source", kitti.root, *model, "--true-poses", tmp_path / "poses.txt")
    run(*part, "--out", tmp_path / "b")  # those of the whole sequence
    assert median_step(tmp_path / "b") == pytest.approx(2.0, rel=0.01)

    np.savetxt(tmp_path / "poses.txt", poses[:4].reshape(4, 12))
    wrong = told(capsys, folder, "--out", tmp_path / "c", *model, "--true-poses", tmp_path / "poses.txt")
    assert "poses.txt has 4 poses for 5 frames: expected one for each frame" in wrong
    np.savetxt(tmp_path / "poses.txt", poses[:1].repeat(5, 0).reshape(5, 12))
    wrong = told(capsys, folder, "--out", tmp_path / "c", *model, "--true-poses", tmp_path / "poses.txt")
    assert "does not move in the first frames" in wrong


def test_metres_from_the_recorded_speed_of_a_drive(models, kitti, tmp_path, capsys):
    name = "2011_09_26_drive_0001"
    kitti.drive(name, range(5), cameras=(2,), texture=True)
    drive = kitti.root / f"kitti_raw/2011_09_26/{name}_sync"
    command = (drive, "--model", models / "depthpose.npz", "--speed", "oxts")
    assert "does not tell its frame rate" in told(capsys, *command, "--out", tmp_path / "a")
    lines = [f"2011-09-26 13:02:{25.9 + 0.1 * index:.9f}" for index in range(5)]
    (drive / "image_02/timestamps.txt").write_text("\n".join(lines) + "\n")
    assert "is no KITTI raw drive with its oxts/data" in told(capsys, *command, "--out", tmp_path / "a")
    (drive / "oxts/data").mkdir(parents=True)
    for index in range(5):
        numbers = np.zeros(30)
        numbers[8:11] = 12, 3, 4  # m/s forward, to the left, up: 13 m/s
        (drive / f"oxts/data/{index:010d}.txt").write_text(" ".join(map(str, numbers)))
    run(*command, "--out", tmp_path / "a")
    assert median_step(tmp_path / "a") == pytest.approx(1.3, rel=0.01)
    times = np.loadtxt(tmp_path / "a/trajectory_tum.txt")[:, 0]
    np.testing.assert_allclose(times, 0.1 * np.arange(5), atol=1e-6)
    (drive / "oxts/data/0000000002.txt").write_text("1 2 3")
    assert "0000000002.txt has 3 numbers" in told(capsys, *command, "--out", tmp_path / "b")


def test_a_sequence_of_kitti_by_folder_and_by_selection(models, kitti, tmp_path):
    kitti.odometry("03", range(5), cameras=(2,), texture=True)
    sequence = kitti.root / "kitti_odometry/sequences/03"
    run(sequence, "--out", tmp_path / "a", "--model", models / "depthpose.npz")
    (sequence / "times.txt").write_text("".join(f"{0.1037 * index:e}\n" for index in range(5)))
    run("kitti_odometry:03[:4]", "--source", kitti.root, "--out", tmp_path / "b", "--model", models / "depthpose.npz")
    a, b = (json.loads((tmp_path / name / "prediction.json").read_text()) for name in "ab")
    assert (a["frames"], b["frames"]) == (5, 4)
    assert np.loadtxt(tmp_path / "b/trajectory_tum.txt")[:, 0] == pytest.approx(0.1037 * np.arange(4), abs=1e-5)
    assert a["intrinsics"] == b["intrinsics"] and a["intrinsics_are"] == "from the data set"


def test_mistakes_are_one_sentence(models, folder, tmp_path, capsys):
    model = ("--model", models / "depthpose.npz")
    out = ("--out", tmp_path / "out")
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    assert "text.mp4 cannot be opened as a video" in told(capsys, tmp_path / "text.mp4", *out, *model)
    assert "song.mp3 is no image and no video by its name" in told(capsys, tmp_path / "song.mp3", *out, *model)
    assert "empty has no images" in told(capsys, tmp_path / "empty", *out, *model)
    assert "walk has: name it" in told(capsys, folder.parent, *out, *model)
    assert "nowhere.mp4 does not exist" in told(capsys, "nowhere.mp4", *out, *model)
    assert "'nothing' is no model" in told(capsys, folder, *out, "--model", "nothing")
    assert "--intrinsics has 2 numbers" in told(capsys, folder, *out, *model, "--intrinsics", "1,2")
    assert "--field-of-view is 300" in told(capsys, folder, *out, *model, "--field-of-view", 300)
    assert "is there already and is no prediction" in told(capsys, folder, "--out", tmp_path / "notes", *model)
    assert "--camera-height is -1" in told(capsys, folder, *out, *model, "--camera-height", -1)
    assert "--speed is given, but" in told(capsys, folder, *out, *model, "--speed", 50)
    assert "--speed is 'fast': expected km/h" in told(capsys, folder, *out, *model, "--speed", "fast", "--frame-rate", 10)
    assert "--speed is '-3'" in told(capsys, folder, *out, *model, "--speed=-3", "--frame-rate", 10)
    assert "--frame-rate is nan" in told(capsys, folder, *out, *model, "--speed", 50, "--frame-rate", "nan")
    both = ("--speed", 50, "--camera-height", 1.6)
    assert "--camera-height and --speed are given" in told(capsys, folder, *out, *model, *both)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(models, folder, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict.formats, "write_bytes", full)
    assert "No space left" in told(capsys, folder, "--out", tmp_path / "out", "--model", models / "depthpose.npz")


def test_the_entry_lists_it(capsys):
    entry.main(["--help"])
    assert "predict" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        entry.main(["predict", "--help"])
    assert "dopi-jax predict my.mp4" in capsys.readouterr().out
