"""OpenCV, imported when it is first used: training from a prepared set does not need it."""

import functools
import importlib.util
import os
from typing import Any

from dopi_jax.errors import UserError

# Damaged videos are told of in one sentence of ours, not in FFmpeg's words on stderr as well.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@functools.cache
def is_installed() -> bool:
    """Returns whether there is an OpenCV to import."""
    return importlib.util.find_spec("cv2") is not None


def __getattr__(name: str) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "this needs OpenCV, which is not installed: install it by 'pip install opencv-python-headless'"
        ) from error
    return getattr(cv2, name)
