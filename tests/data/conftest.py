"""Tiny data sets in KITTI's official layouts, generated where a test needs one."""

import pathlib

import numpy as np
import pytest
from PIL import Image

CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 1.240000e+02 3.700000e+01
S_rect_03: 1.240000e+02 3.700000e+01
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 72 0 60 4.5 0 72 17 0.2 0 0 1 0.003
P_rect_03: 74 0 61 -33 0 74 18 2.2 0 0 1 0.003
"""


class KittiFolder:
    """Writes into `root`; frames of one colour each: red = frame number, green = camera."""

    def __init__(self, root: pathlib.Path):
        self.root = root

    def frames(self, folder: str, numbers, camera: int, digits: int, size=(37, 124)) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            image = np.full((*size, 3), (number % 256, camera, 128), np.uint8)
            Image.fromarray(image).save(self.root / folder / f"{number:0{digits}d}.png")

    def drive(self, name: str, numbers, cameras=(2, 3), size=(37, 124), calibration: str = CAM_TO_CAM) -> None:
        date = name[:10]
        for camera in cameras:
            self.frames(f"kitti_raw/{date}/{name}_sync/image_{camera:02d}/data", numbers, camera, 10, size)
        (self.root / "kitti_raw" / date / "calib_cam_to_cam.txt").write_text(calibration)

    def odometry(self, name: str, numbers, cameras=(2, 3)) -> None:
        for camera in cameras:
            self.frames(f"kitti_odometry/sequences/{name}/image_{camera}", numbers, camera, 6)
        lines = [f"P{camera}: {70 + camera} 0 60 0 0 {70 + camera} 17 0 0 0 1 0\n" for camera in range(4)]
        (self.root / f"kitti_odometry/sequences/{name}/calib.txt").write_text("".join(lines))


@pytest.fixture
def kitti(tmp_path) -> KittiFolder:
    return KittiFolder(tmp_path)
