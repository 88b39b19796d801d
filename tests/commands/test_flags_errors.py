"""Mistakes on the command line and in the data: one sentence that helps, no traceback, exit status 1."""

import pathlib
import re
import subprocess
import sys

import pytest

from dopi_jax.commands import ablation, demo

REPOSITORY = pathlib.Path(__file__).parents[2]
DRIVE = "2011_09_26_drive_0095"

pytestmark = pytest.mark.usefixtures("quick_compile")


def assert_one_sentence(said, pattern):
    assert said.status == 1
    assert "Traceback" not in said.err
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert said.err.endswith(sentence + "\n")
    assert re.search(pattern, sentence), sentence


@pytest.mark.parametrize(
    "arguments, pattern",
    [
        (["--config.lr=1"], r"config.lr names no field.*nearest is --config.optimizer.learning_rate.*config/fields.py"),
        (["--config.optimiser.learning_rate=1"], r"nearest is --config.optimizer.learning_rate"),
        (["--config.train.learning_rate=1"], r"nearest is --config.optimizer.learning_rate"),
        (["--config.xyz", "1"], r"config.xyz names no field.*the sections data, model, loss, flow_loss, optimizer, train"),
        (["--config.optimizer=1"], r"config.optimizer .*it is a section, with fields such as --config.optimizer.l"),
        (["--noconfig.data.augmentt"], r"nearest is --config.data.augment"),
        (["--config.optimizer.learning_rate=abc"], r"config.optimizer.learning_rate is 'abc': expected float"),
        (["--config.train.steps=1.5"], r"config.train.steps is '1.5': expected int"),
        (["--config.data.augment=maybe"], r"config.data.augment is 'maybe': expected bool"),
        (["--config.train.steps=-1"], r"config.train.steps is -1: expected 1 to 2147483647"),
        (["--config.data.train=5"], r"config.data.train is \(5,\): expected a tuple of strings"),
        (["--config.model.depth=vgg"], r"config.model.depth is 'vgg': expected one of resnet6, resnet_s6, lite"),
        (["--config", "nofile.py"], r"config file 'nofile.py' does not exist.*kitti_depthpose"),
        (["--config=nofile.py:full"], r"config file 'nofile.py' does not exist"),
        (["--config=nofile.py", "--config.train.steps=1"], r"config file 'nofile.py' does not exist"),
        (["--config"], r"Missing value for flag --config; --help"),
        (["--config="], r"config file '' does not exist"),
        (["--config=README.md"], r"config file 'README.md' fails in line \d+ \(SyntaxError: .*expected Python"),
        (["--config=dopi_jax/errors.py"], r"config file 'dopi_jax/errors.py' has no function get_config: expected Python"),
        (["--config.=1"], r"config. names no field of the config: expected --config.SECTION.FIELD"),
        (["--noconfig.data.augment=1"], r"augment=1 does not take an argument; --help"),
        (["--config.train.seed=100000000000000000000"], r"config.train.seed is 10{20}: expected 0 to 4294967295"),
        (["--config.name=../x"], r"config.name is '../x': expected a folder's name"),
        (["--config.optimizer.beta1=1"], r"config.optimizer.beta1 is 1.0: expected 0 or more and less than 1"),
        (["--config.data.train=()"], r"config.data.train is \(\): expected at least one selection"),
        (["--flagfile=nofile"], r"Unable to open flagfile: .*'nofile': --flagfile names a file"),
        (["--config=configs/kitti_depthpose.py:foo"], r"variant is 'foo': expected one of basic, occ, occ_ltm, full"),
        (["--process=two"], r"--process is 'two': expected a whole number"),
        (["--cofnig=configs/kitti_depthpose.py"], r"cofnig.*--help"),
        (
            ["configs/kitti_depthpose.py"],
            r"unexpected argument 'configs/kitti_depthpose.py': options are written --name=value",
        ),
    ],
)
def test_the_command_line(command, arguments, pattern):
    said = command("train", *arguments)
    assert_one_sentence(said, pattern)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, pattern",
    [
        (["--task=foo"], r"--task is 'foo': expected .*depth.*pose"),
        ([], r"--task is None: expected"),
        (["--task=depth", "--checkpoint=last"], r"--checkpoint is 'last': expected best or latest"),
        (["--task=depth", "--config.lr=1"], r"config.lr names no field"),
        (
            ["--task=depth", "--workdir=/nowhere"],
            r"no run in /nowhere: expected /nowhere/config.json; train first, .*--workdir",
        ),
    ],
)
def test_the_command_line_of_evaluation(command, arguments, pattern):
    assert_one_sentence(command("evaluate", *arguments), pattern)


def test_help_shows_the_options_of_the_command(command):
    said = command("evaluate", "--help")
    for option in ("--task", "--config", "--workdir", "--checkpoint"):
        assert option in said.out


@pytest.mark.parametrize(
    "code, pattern",
    [
        (b"def get_config():\n    return int('x')\n", r"mine.py' fails in line 2 \(ValueError: invalid literal for int"),
        (b"import nowhere_at_all\n", r"mine.py' fails in line 1 \(ModuleNotFoundError: No module named"),
        (b"raise SystemExit\n", r"mine.py' fails in line 1 \(SystemExit\)"),
        (b"", r"mine.py' has no function get_config"),
        (b"get_config = 5\n", r"mine.py' has no function get_config"),
        (b"def get_config():\n    return {'train': 5}\n", r"mine.py' returns dict: expected .*dopi_jax.config.Config"),
        (bytes(range(256)), r"mine.py' fails .*SyntaxError"),
        (
            b"from dopi_jax.config import Config\ndef get_config():\n    c = Config()\n    c.train.step = 5\n    return c\n",
            r"config.train.step is set, but no config has this field: the nearest is config.train.steps",
        ),
    ],
)
def test_a_config_file_that_is_none_is_told_with_its_reason(command, tmp_path, code, pattern):
    (tmp_path / "mine.py").write_bytes(code)
    assert_one_sentence(command("train", f"--config={tmp_path / 'mine.py'}"), pattern)


@pytest.mark.parametrize(
    "lines, pattern",
    [
        (b"--config.train.step=3\n", r"config.train.step names no field.*nearest is --config.train.steps"),
        (b"# three steps\n\n--config.train.steps=three\n", r"config.train.steps is 'three': expected int"),
        (b"--config=nofile.py\n", r"config file 'nofile.py' does not exist"),
        (b"--config.data.root=a\0b\n", r"root=a.x00b' is no option: expected text without control characters"),
        (b"\xff\xfe\n", r"the file that --flagfile names is no text"),
    ],
)
def test_a_flag_file_is_read_as_the_command_line_is(command, tmp_path, lines, pattern):
    (tmp_path / "flags").write_bytes(lines)
    assert_one_sentence(command("train", f"--flagfile={tmp_path / 'flags'}"), pattern)


def test_overrides_of_a_flag_file_count(command, tmp_path):
    (tmp_path / "flags").write_text("--config=configs/demo_depthpose.py\n--config.data.root=/nowhere\n")
    assert_one_sentence(command("train", f"--flagfile={tmp_path / 'flags'}"), r"no data at /nowhere \(from --config.data")


@pytest.mark.parametrize("named", [["--config=demo_depthpose"], ["--config", "demo_depthpose"]])
def test_overrides_may_come_before_the_config(command, tmp_path, named):
    said = command("train", "--config.data.root=/nowhere", *named, f"--workdir={tmp_path}")
    assert_one_sentence(said, r"no data at /nowhere \(from --config.data.root")


@pytest.mark.parametrize("main", [demo.main, ablation.main])
@pytest.mark.parametrize("option", ["--steps=0", "--steps=-1"])
def test_steps_that_cannot_be_trained_are_refused_before_streets_are_drawn(main, option, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([option, f"--workdir={tmp_path}"])
    assert ended.value.code == 1
    assert re.fullmatch(r"error: config.train.steps is (0|-1): expected 1 to 2147483647\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_home_in_the_folder_of_the_run(monkeypatch, tmp_path, command):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_one_sentence(command("evaluate", "--task=depth", "--workdir=~/x"), rf"no run in {tmp_path}/x: expected")


def test_as_a_process_and_from_another_folder(tmp_path):
    """The default config comes with the package; data are missing."""
    done = subprocess.run([sys.executable, REPOSITORY / "train.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: no data folder is given: .*\n", done.stderr)


@pytest.fixture
def train_on(command, toy, tmp_path):
    """A function that trains on a selection of the data in tmp_path."""

    def train(selection=f"kitti_raw:{DRIVE}", *arguments):
        return command(
            "train",
            *toy,
            f"--config.data.root={tmp_path}",
            f"--config.data.train={selection}",
            "--config.data.validation=()",
            f"--workdir={tmp_path / 'run'}",
            *arguments,
        )

    return train


def test_no_data(train_on, tmp_path):
    assert_one_sentence(
        train_on(), rf"no data at {tmp_path} \(from --config.data.root\).*kitti_raw/.*raw_data_downloader.sh"
    )


def test_no_such_drive(train_on, kitti):
    kitti.drive(DRIVE, range(5))
    said = train_on("kitti_raw:2011_09_26_drive_0001")
    assert_one_sentence(said, rf"drive 2011_09_26_drive_0001 is not at hand.*found {DRIVE}")


def test_a_truncated_image(train_on, kitti):
    kitti.drive(DRIVE, range(5), texture=True)
    image = next(kitti.root.glob("kitti_raw/*/*/image_02/data/0000000002.png"))
    image.write_bytes(image.read_bytes()[:400])
    assert_one_sentence(
        train_on(), r"image .*image_02/data/0000000002.png cannot be read .*truncated.*copy or download it again"
    )


def test_calibration_without_the_cameras_matrix(train_on, kitti):
    kitti.drive(DRIVE, range(5), calibration="R_rect_00: 1 0 0 0 1 0 0 0 1\n")
    assert_one_sentence(train_on(), r"calibration file .*calib_cam_to_cam.txt has no P_rect_02 \(found R_rect_00\)")


def test_a_sequence_of_two_frames(train_on, kitti):
    kitti.drive(DRIVE, range(2))
    assert_one_sentence(train_on(), rf"sequence {DRIVE}_02 has 2 frames, expected at least 3 for a snippet")


def test_a_batch_that_the_devices_cannot_share(train_on, kitti):
    kitti.drive(DRIVE, range(5))
    assert_one_sentence(train_on(f"kitti_raw:{DRIVE}", "--config.train.batch_size=3"), r"3 snippets for \d+ devices")


def test_the_best_by_abs_rel_without_laser_scans(train_on, kitti):
    """Told before the first step, not at the first validation."""
    kitti.drive(DRIVE, range(5))
    said = train_on(f"kitti_raw:{DRIVE}", f"--config.data.validation=kitti_raw:{DRIVE}", "--config.train.best_by=abs_rel")
    assert_one_sentence(said, r"best_by is 'abs_rel', but no frame of config.data.validation has a laser scan.*photometric")


def test_going_on_with_other_networks(command, trained):
    said = command("train", *trained.arguments, "--config.model.depth=resnet6")
    assert_one_sentence(
        said, r"holds a run with model.depth = 'lite', but the config asks for 'resnet6'.*another --workdir"
    )


def test_evaluating_with_other_networks(command, trained):
    conflicting = command("evaluate", "--task=depth", "--config=configs/kitti_depthpose.py", f"--workdir={trained.workdir}")
    assert_one_sentence(conflicting, r"model.depth = 'lite', but the config asks for 'resnet6': use the run's own config")
    overridden = command("evaluate", "--task=depth", "--config.model.depth=resnet6", f"--workdir={trained.workdir}")
    assert_one_sentence(overridden, r"config.model.depth = 'resnet6' is not what .* was trained with \('lite'\)")


def test_evaluating_without_test_data(command, trained, kitti):
    kitti.drive(DRIVE, range(5))
    arguments = (f"--workdir={trained.workdir}", f"--config.data.root={kitti.root}")
    assert_one_sentence(command("evaluate", "--task=depth", *arguments), r"none of the 697 Eigen test frames is at hand")
    assert_one_sentence(command("evaluate", "--task=pose", *arguments), r"09 is not at hand, looked for kitti_odometry")


def test_evaluating_without_poses(command, trained, kitti):
    kitti.odometry("09", range(4))
    said = command("evaluate", "--task=pose", f"--workdir={trained.workdir}", f"--config.data.root={kitti.root}")
    assert_one_sentence(said, r"poses/09.txt")
