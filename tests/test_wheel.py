"""The package as it is installed from a wheel, in a folder that holds nothing of the project."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import dopi_jax

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(out)]
    # From a copy, so that nothing is left in the project's folder.
    copy = out / "copy"
    shutil.copytree(REPOSITORY / "dopi_jax", copy / "dopi_jax", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copy)], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a command with the unpacked wheel in place of the project, in an empty folder."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    empty = tmp_path_factory.mktemp("empty")

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "JAX_PLATFORMS": "cpu"}
        return subprocess.run([sys.executable, *arguments], cwd=empty, env=environment, capture_output=True, text=True)

    return run


def test_the_wheel_holds_what_is_no_code(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    for name in ("py.typed", "weights/driving.npz", "output/page.html", "configs/kitti_depthpose.py"):
        assert f"dopi_jax/{name}" in names
    assert any(name.endswith("entry_points.txt") for name in names)
    assert f"dopi_jax-{dopi_jax.__version__}" in wheel.name


def test_commands_work_without_the_project(installed):
    where = installed("-c", "import dopi_jax; print(dopi_jax.__file__, dopi_jax.__version__)")
    assert str(REPOSITORY) not in where.stdout and dopi_jax.__version__ in where.stdout
    listing = installed("-m", "dopi_jax")
    assert listing.returncode == 0 and "predict" in listing.stdout and "train" in listing.stdout
    assert "dopi-jax predict my.mp4" in installed("-m", "dopi_jax", "predict", "--help").stdout


@pytest.mark.slow
def test_a_config_is_known_by_its_name(installed):
    said = installed("-m", "dopi_jax", "train", "--config=demo_depthpose:full", "--config.data.root=nowhere")
    assert said.returncode == 1
    assert said.stderr.strip().splitlines()[-1].startswith("error: no data at nowhere")
    said = installed("-m", "dopi_jax.commands.evaluate", "--task=depth", "--workdir=nothing")
    assert said.returncode == 1 and "error: " in said.stderr and "Traceback" not in said.stderr
    said = installed("-m", "dopi_jax", "train", "--config=nothing")
    assert "config file 'nothing' does not exist" in said.stderr and "kitti_depthpose" in said.stderr


def test_the_shipped_model_predicts(installed, shared):
    picture = next((shared / "data/kitti_raw").glob("*/*/image_02/data/*.*"))
    said = installed("-m", "dopi_jax", "predict", picture, "--out", "out", "--field-of-view", "80")
    assert said.returncode == 0, said.stderr
    assert "out/index.html shows it all" in said.stdout
