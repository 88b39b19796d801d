"""The files of every frame: depth, what the next frame shows, flow, and a picture of both."""

import io
import pathlib

import numpy as np
from PIL import Image

from dopi_jax import formats, visualization
from dopi_jax.picture_files import write_depth_map, write_picture
from dopi_jax.prediction import FramePrediction

PICTURE_WIDTH = 640  # pixels at most, of each of the two images in a picture


class FrameFiles:
    """Writes what a model says of each frame into folders by kind.

    depth/NAME.png            16 bits, depth times scale times 256, 0 for none
    depth_npy/NAME.npy        float32, depth times scale; if asked for
    depth_colours/NAME.jpg    near is bright; colours mean the same in all frames
    visible/NAME.png          white where the next frame shows the pixel
    flow/NAME.flo, flow_kitti/NAME.png, flow_colours/NAME.jpg, flow_back/NAME.flo
    pictures/NAME.jpg         the frame and its depth, small
    """

    def __init__(self, out: pathlib.Path, scale: float, disparity_range: tuple[float, float], *, npy: bool = False):
        """Sets up the writer; nothing is written yet.

        Args:
          out: The folder.
          scale: What depth is multiplied by.
          disparity_range: Of the darkest and of the brightest colour.
          npy: Write depth as .npy, too.
        """
        self._out = out
        self._scale = scale
        self._range = disparity_range
        self._npy = npy

    def write(self, name: str, frame: np.ndarray, found: FramePrediction) -> np.ndarray | None:
        """Writes the files of one frame.

        Args:
          name: Of the files, without suffix.
          frame: uint8 [H, W, 3].
          found: What the model says of it.

        Returns:
          The picture, uint8; None without depth.
        """
        if found.visible is not None:
            self._save("visible", f"{name}.png", found.visible.astype(np.uint8) * 255)
        if found.flow is not None:
            formats.write_flo(self._path("flow", f"{name}.flo"), found.flow)
            formats.write_kitti_flow(self._path("flow_kitti", f"{name}.png"), found.flow)
            self._save("flow_colours", f"{name}.jpg", visualization.flow_colours(found.flow))
        if found.flow_back is not None:
            formats.write_flo(self._path("flow_back", f"{name}.flo"), found.flow_back)
        if found.depth is None:
            return None
        depth = found.depth * np.float32(self._scale)
        write_depth_map(self._path("depth", f"{name}.png"), depth)
        if self._npy:
            content = io.BytesIO()
            np.save(content, depth)
            formats.write_bytes(self._path("depth_npy", f"{name}.npy"), content.getvalue())
        colours = visualization.depth_colours(found.disparity, *self._range)
        self._save("depth_colours", f"{name}.jpg", colours)
        picture = self._picture(frame, colours)
        self._save("pictures", f"{name}.jpg", picture)
        return picture

    def _picture(self, frame: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Both small, the wide ones on top of each other."""
        height, width = frame.shape[:2]
        zoom = min(1.0, PICTURE_WIDTH / width)
        size = 2 * round(zoom * width / 2), 2 * round(zoom * height / 2)  # even, as videos need it
        pair = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BILINEAR)) for p in (frame, colours)]
        return visualization.stack_panels([[p] for p in pair] if width >= height else [pair])

    def _path(self, kind: str, name: str) -> pathlib.Path:
        (self._out / kind).mkdir(parents=True, exist_ok=True)
        return self._out / kind / name

    def _save(self, kind: str, name: str, pixels: np.ndarray) -> None:
        write_picture(self._path(kind, name), pixels)
