"""Small made recordings: a drive past things at several distances, a camera that turns, one that stands."""

import pathlib

import cv2
import numpy as np
import pytest

SIZE = (192, 320)


class MadeFootage:
    """Grey scenes as lists of uint8 [192, 320, 3] frames, written as a folder of images or a video."""

    @staticmethod
    def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
        """Uint8 [height, width] with detail of all sizes."""
        rng = np.random.default_rng(seed)
        picture = np.zeros((height, width))
        for cell in (4, 8, 16, 64):
            coarse = rng.standard_normal((height // cell + 2, width // cell + 2))
            picture += cell**0.5 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(128 + 60 * (picture - picture.mean()) / picture.std(), 0, 255).astype(np.uint8)

    def drive(self, count: int, speed: float = 1.0, seed: int = 0) -> list[np.ndarray]:
        """A camera that moves to the right: bands of the image move by 6, 1, 4 and 2 pixels a frame times the speed."""
        bands = [self.texture(SIZE[0] // 4, SIZE[1] + 700, seed + band) for band in range(4)]
        frames = []
        for index in range(count):
            moves = [np.float32([[1, 0, -pace * speed * index], [0, 1, 0]]) for pace in (6, 1, 4, 2)]
            shape = (SIZE[1], SIZE[0] // 4)
            rows = [cv2.warpAffine(band, move, shape) for band, move in zip(bands, moves, strict=True)]
            frames.append(np.repeat(np.vstack(rows)[..., None], 3, -1))
        return frames

    def turn(self, count: int) -> list[np.ndarray]:
        """A camera that turns by half a degree a frame, of a focal length of 300 pixels."""
        picture = self.texture(400, 1000)
        stored, seen = (np.array([[300, 0, w / 2], [0, 300, h / 2], [0, 0, 1]]) for h, w in (picture.shape, SIZE))
        frames = []
        for index in range(count):
            turned, _ = cv2.Rodrigues(np.array([0.0, np.deg2rad(0.5 * (index - count / 2)), 0.0]))
            homography = seen @ turned @ np.linalg.inv(stored)
            frames.append(np.repeat(cv2.warpPerspective(picture, homography, SIZE[::-1])[..., None], 3, -1))
        return frames

    def stand(self, count: int) -> list[np.ndarray]:
        """The same picture with a sensor's noise."""
        rng = np.random.default_rng(0)
        picture = self.texture(*SIZE)[..., None]
        return [np.clip(picture + rng.normal(0, 2, (*SIZE, 3)), 0, 255).astype(np.uint8) for _ in range(count)]

    @staticmethod
    def folder(folder: pathlib.Path, frames: list[np.ndarray], first: int = 0) -> pathlib.Path:
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, first):
            cv2.imwrite(str(folder / f"{number:06d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 92])
        return folder

    @staticmethod
    def video(path: pathlib.Path, frames: list[np.ndarray], rate: float = 12, code: str = "MJPG") -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, frames[0].shape[1::-1])
        for frame in frames:
            writer.write(frame)
        writer.release()
        return path


@pytest.fixture(scope="session")
def made() -> MadeFootage:
    return MadeFootage()


@pytest.fixture(autouse=True)
def frames_cache(tmp_path_factory, monkeypatch) -> pathlib.Path:
    """Videos of a test are unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DOPI_CACHE", str(folder))
    return folder
