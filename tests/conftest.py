"""What every test file may use: four devices, folders in KITTI's layouts, and the real recordings where they are at hand."""

import atexit
import importlib.metadata
import os
import pathlib
import shutil
import tempfile

# Before anything imports JAX. A CPU counts as four devices, so that data parallelism is seen to work anywhere; a program
# that several tests need, or a command run by a test, is compiled once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
# The newer of the two ways in which JAX 0.10 compiles fused loops for a CPU takes half of the time that it compiles, and
# tests hardly do anything else: a step of phase 2 compiles in 13 s instead of 26. JAX 0.11 has one way and no such flag.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
# Two processes test at a time: on a GPU neither may take most of its memory at once.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="dopi_jax_tests_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax
import numpy as np
import pytest
from PIL import Image

from dopi_jax.formats import write_kitti_flow


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with real recordings and reference outputs; a user's checkout has none, so such tests are skipped."""
    folder = pathlib.Path(os.environ.get("DOPI_SHARED", pathlib.Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"reference data not found at {folder}: set DOPI_SHARED to the folder that has golden/ and data/")
    return folder


@pytest.fixture
def quick_compile():
    """For tests of what happens around a program of the networks: compiling it is what takes the time, not running it."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 1.240000e+02 3.700000e+01
S_rect_03: 1.240000e+02 3.700000e+01
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 72 0 60 4.5 0 72 17 0.2 0 0 1 0.003
P_rect_03: 74 0 61 -33 0 74 18 2.2 0 0 1 0.003
"""
VELO_TO_CAM = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.3\n"


class KittiFolder:
    """Writes tiny data sets in KITTI's official layouts into `root`.

    Frames are of one colour each, red = frame number and green = camera, or show a texture that moves from frame to frame.
    """

    def __init__(self, root: pathlib.Path):
        self.root = root

    def frames(self, folder: str, numbers, camera: int, digits: int, size=(37, 124), texture: bool = False) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        wide = np.random.default_rng(0).integers(0, 256, (size[0] // 4 + 1, size[1] // 2, 3), np.uint8)
        for number in numbers:
            image = np.full((*size, 3), (number % 256, camera, 128), np.uint8)
            if texture:
                image = np.roll(wide.repeat(4, 0).repeat(4, 1), -number, 1)[: size[0], : size[1]]
            Image.fromarray(image).save(self.root / folder / f"{number:0{digits}d}.png")

    def drive(
        self, name: str, numbers, cameras=(2, 3), size=(37, 124), calibration: str = CAM_TO_CAM, texture: bool = False
    ) -> None:
        date = name[:10]
        for camera in cameras:
            self.frames(f"kitti_raw/{date}/{name}_sync/image_{camera:02d}/data", numbers, camera, 10, size, texture)
        (self.root / "kitti_raw" / date / "calib_cam_to_cam.txt").write_text(calibration)

    def scans(self, drive: str, numbers) -> None:
        """Laser scans of a wall 7 to 23 m ahead, nearer on the right, and their calibration."""
        date = drive[:10]
        (self.root / "kitti_raw" / date / "calib_velo_to_cam.txt").write_text(VELO_TO_CAM)
        folder = self.root / f"kitti_raw/{date}/{drive}_sync/velodyne_points/data"
        folder.mkdir(parents=True)
        sideways, upwards = np.meshgrid(np.linspace(-0.8, 0.8, 60), np.linspace(-0.2, 0.2, 20))
        ahead = 15 + 10 * sideways
        points = np.stack([ahead, ahead * sideways, ahead * upwards, np.ones_like(ahead)], axis=-1)
        for number in numbers:
            points.astype(np.float32).tofile(folder / f"{number:010d}.bin")

    def odometry(self, name: str, numbers, cameras=(2, 3), size=(37, 124), texture: bool = False) -> None:
        for camera in cameras:
            self.frames(f"kitti_odometry/sequences/{name}/image_{camera}", numbers, camera, 6, size, texture)
        lines = [f"P{camera}: {70 + camera} 0 60 0 0 {70 + camera} 17 0 0 0 1 0\n" for camera in range(4)]
        (self.root / f"kitti_odometry/sequences/{name}/calib.txt").write_text("".join(lines))

    def poses(self, name: str, count: int) -> None:
        """True poses of a car that drives a slight bend at 1 m a frame."""
        (self.root / "kitti_odometry/poses").mkdir(parents=True, exist_ok=True)
        rows = []
        for frame in range(count):
            angle = 0.01 * frame
            position = [100 * (1 - np.cos(angle)), 0, 100 * np.sin(angle)]
            rotation = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
            rows.append(np.column_stack([rotation, position]).ravel())
        np.savetxt(self.root / f"kitti_odometry/poses/{name}.txt", rows)

    def flow_scene(self, name: str, part: str = "training") -> None:
        """A scene of KITTI 2015 whose texture moves by a pixel to the left; its last column leaves the image."""
        folder = self.root / "kitti_flow_2015" / part
        self.frames(f"kitti_flow_2015/{part}/image_2", (9, 10, 11), 2, 2, texture=True)
        for number in (9, 10, 11):
            (folder / f"image_2/{number:02d}.png").rename(folder / f"image_2/{name}_{number:02d}.png")
        (folder / "calib_cam_to_cam").mkdir(exist_ok=True)
        (folder / f"calib_cam_to_cam/{name}.txt").write_text(CAM_TO_CAM)
        if part == "training":
            valid = np.ones((37, 124), bool)
            for kind in ("flow_occ", "flow_noc"):
                (folder / kind).mkdir(exist_ok=True)
                write_kitti_flow(folder / f"{kind}/{name}_10.png", np.tile([-1.0, 0.0], (37, 124, 1)), valid)
                valid[:, 0] = False


@pytest.fixture
def kitti(tmp_path) -> KittiFolder:
    return KittiFolder(tmp_path)


@pytest.fixture(scope="session")
def kitti_folder() -> type[KittiFolder]:
    return KittiFolder
