"""Intrinsics as numbers: what makes them a camera, and what they are for frames that are stored with another size.

Frames are often stored smaller than the calibrated images, beside the original calibration file. Where the calibrated size
is known, the intrinsics are scaled to the frames.
"""

import pathlib
import warnings

import numpy as np

from dopi_jax.errors import UserError

GUESSED_FIELD_OF_VIEW = 65.0  # degrees along the longer side: the main camera of a phone (28 mm equivalent)

_TOLERANCE = 0.02  # of the aspect: 1242x375 pixels are resized to 832x256 and to 640x192, which are not quite as wide


def check_intrinsics(intrinsics: np.ndarray, where: str, size: tuple[int, int] | None = None) -> None:
    """Checks that a matrix is a valid camera.

    Args:
      intrinsics: [3, 3] in pixels.
      where: what to call it in the message: key and file.
      size: (height, width) in pixels of the images that it belongs to; None if that is not known.

    Raises:
      UserError: a focal length is not finite and positive, or the principal point not finite or, where the size is known,
        further outside the image than half of it; or the last row is not 0 0 1.
    """
    (fx, _, cx), (_, fy, cy) = np.asarray(intrinsics)[:2].tolist()
    found = f"{where} is no camera: focal lengths ({fx:g}, {fy:g}), principal point ({cx:g}, {cy:g})"
    if not (np.all(np.isfinite(intrinsics)) and fx > 0 and fy > 0):
        raise UserError(f"{found}, expected finite numbers and positive focal lengths in pixels; correct them")
    if not np.array_equal(intrinsics[2], [0, 0, 1]):
        last = " ".join(f"{value:g}" for value in intrinsics[2])
        raise UserError(f"{found}, last row {last}, expected 0 0 1 there; correct it")
    if size is not None:
        height, width = size
        if not (-width / 2 <= cx <= 1.5 * width and -height / 2 <= cy <= 1.5 * height):
            raise UserError(
                f"{found} far outside its images of {width}x{height} pixels (width x height), expected a point near their "
                "middle; correct it, or use the images that it belongs to"
            )


def intrinsics_of_stored(
    intrinsics: np.ndarray,
    calibrated: tuple[int, int] | None,
    stored: tuple[int, int],
    path: pathlib.Path,
    key: str,
) -> np.ndarray:
    """Returns K of frames that may be stored smaller, or larger, than the images that were calibrated.

    Warns if they are, once for all files beside each other.

    Args:
      intrinsics: [3, 3] in pixels of the calibrated images.
      calibrated: (height, width) of these in pixels; None if that is not known, and taken to be that of the frames.
      stored: (height, width) of the frames in pixels.
      path: the calibration file, for messages.
      key: its entry.

    Returns:
      float64 [3, 3] in pixels of the frames.

    Raises:
      UserError: it is no camera, or the frames show another part of the scene than the calibrated images: their aspects
        differ by more than 2 %.
    """
    check_intrinsics(intrinsics, f"{key} of {path}", calibrated or stored)
    if calibrated is None and not (0 <= intrinsics[0, 2] < stored[1] and 0 <= intrinsics[1, 2] < stored[0]):
        warnings.warn(
            f"{key} of {path} has its principal point ({intrinsics[0, 2]:g}, {intrinsics[1, 2]:g}) outside the frames of "
            f"{_as_text(stored)} pixels: were they made smaller after the camera was calibrated?",
            stacklevel=2,
        )
    if calibrated is None or not is_scaled(calibrated, stored, path):
        return intrinsics
    return scale_rows(intrinsics, stored[0] / calibrated[0], stored[1] / calibrated[1])


def is_scaled(calibrated: tuple[int, int], stored: tuple[int, int], path: pathlib.Path) -> bool:
    """Returns whether frames are stored with another size than the images that were calibrated; warns if they are.

    Args:
      calibrated: (height, width) in pixels.
      stored: (height, width) of the frames in pixels.
      path: the calibration file. The warning names its folder alone, and so is the same, and said once, for all files there.

    Raises:
      UserError: the aspects differ by more than 2 %.
    """
    if calibrated == stored:
        return False
    sizes = f"images of {_as_text(calibrated)} pixels (width x height), the frames have {_as_text(stored)}"
    change = (stored[1] / stored[0]) / (calibrated[1] / calibrated[0])
    if abs(change - 1) > _TOLERANCE:
        difference = f"{abs(change - 1):.0%} {'wider' if change > 1 else 'narrower'} for their height"
        raise UserError(
            f"calibration file {path} is for {sizes}, {difference}: expected frames of that size, or such as show all of "
            "it made smaller"
        )
    # From one place in the code, whoever calls: Python tells the same warning once a place.
    warnings.warn(f"the calibration in {path.parent} is for {sizes}: it is scaled to them", stacklevel=1)
    return True


def scale_rows(intrinsics: np.ndarray, zoom_y: float, zoom_x: float) -> np.ndarray:
    """Returns the intrinsics of an image resized by the two factors, float64 [3, 3].

    Whole rows are scaled, principal point included, as in SfMLearner and CC, so that numbers are comparable.
    """
    return np.diag([zoom_x, zoom_y, 1.0]) @ intrinsics


def _as_text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def intrinsics_from_field_of_view(degrees: float, size: tuple[int, int], along: float | None = None) -> np.ndarray:
    """Returns the intrinsics of a camera of which only the angle of view is known.

    Args:
      degrees: the angle.
      size: (height, width) of the frames in pixels.
      along: the side in pixels that the angle is of; the width if None.

    Returns:
      float64 [3, 3], with square pixels and the principal point in the centre.
    """
    focal = (along or size[1]) / 2 / np.tan(np.deg2rad(degrees) / 2)
    return np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])
