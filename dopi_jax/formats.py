"""File formats that other programs of the field read and write.

Camera trajectories as KITTI and TUM store them; optical flow as KITTI (16-bit PNG) and Middlebury (.flo) store it.
"""

import io
import os
import pathlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from dopi_jax import opencv as cv2
from dopi_jax.errors import UserError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
_FLO_MAGIC = b"PIEH"
_FLO_UNKNOWN = 1e9  # anything beyond it says that the flow of this pixel is not known; written as ten times as much


def read_kitti_poses(path: str | os.PathLike) -> np.ndarray:
    """Reads a trajectory in the format of the KITTI odometry benchmark.

    Args:
      path: a text file with one pose a line: the 12 numbers of the upper 3x4 of the matrix, row by row.

    Returns:
      Camera-to-world poses [N, 4, 4], float64, in metres where the file comes from KITTI.

    Raises:
      UserError: the file cannot be read, has no pose, or has a line that is not a pose.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a text file of poses: {error}") from None
    if not lines:
        raise UserError(f"{path} is empty: expected one camera pose a line, 12 numbers each")
    return np.stack([_parse_pose(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)])


def write_kitti_poses(path: str | os.PathLike, poses: np.ndarray) -> None:
    """Writes a trajectory in the format of the KITTI odometry benchmark, to 10 digits.

    Args:
      path: the text file to write; one pose a line.
      poses: camera-to-world poses [N, 4, 4].

    Raises:
      UserError: a pose has a number that is not finite.
    """
    rows = _finite_poses(path, poses)[:, :3].reshape(-1, 12)
    _write_lines(path, [" ".join(f"{value:.9e}" for value in row) for row in rows])


def write_tum_trajectory(path: str | os.PathLike, timestamps: np.ndarray, poses: np.ndarray) -> None:
    """Writes a trajectory in the format of the TUM RGB-D benchmark, which evo and other viewers read.

    Args:
      path: the text file to write; a line is `timestamp tx ty tz qx qy qz qw`.
      timestamps: [N] in seconds.
      poses: camera-to-world poses [N, 4, 4].

    Raises:
      UserError: there are not as many timestamps as poses, or one of them has a number that is not finite.
    """
    if len(timestamps) != len(poses):
        raise UserError(f"{path} was to get {len(timestamps)} timestamps for {len(poses)} poses: expected one each")
    if not np.all(np.isfinite(timestamps)):
        raise UserError(f"{path} was to get a timestamp that is not finite: expected seconds")
    poses = _finite_poses(path, poses)
    rows = np.concatenate([poses[:, :3, 3], _quaternions(poses[:, :3, :3])], axis=1)
    lines = [
        " ".join([f"{time:.6f}", *(f"{value:.9f}" for value in row)]) for time, row in zip(timestamps, rows, strict=True)
    ]
    _write_lines(path, ["# timestamp tx ty tz qx qy qz qw", *lines])


def read_kitti_flow(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Reads a flow map in the format of the KITTI 2012 and 2015 benchmarks.

    Args:
      path: a 16-bit RGB PNG: 64 u + 2¹⁵, 64 v + 2¹⁵, and whether the pixel is valid.

    Returns:
      Flow [H, W, 2] = (u, v) in pixels, float32, 0 where it is not valid; and boolean [H, W], True where it is.

    Raises:
      UserError: the file cannot be read, is damaged, or is not a 16-bit RGB PNG.
    """
    pixels = _decode_png16(_read_bytes(path, "flow map"), f"flow map {path}")
    valid = pixels[..., 2] > 0
    flow = (pixels[..., :2].astype(np.float32) - 2**15) / 64
    return np.where(valid[..., None], flow, np.float32(0)), valid


def write_kitti_flow(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Writes a flow map in the format of the KITTI benchmarks, as their server takes it.

    Args:
      path: the PNG file to write.
      flow: [H, W, 2] = (u, v) in pixels; rounded to 1/64 px, and beyond -512 or 511.98 px to these.
      valid: boolean [H, W]; None for all valid.

    Raises:
      UserError: a valid flow is not finite.
    """
    flow, valid = _flow_and_valid(path, flow, valid)
    pixels = np.zeros((*valid.shape, 3), np.uint16)
    pixels[..., :2][valid] = np.clip(np.rint(flow[valid] * 64 + 2**15), 0, 2**16 - 1)
    pixels[..., 2] = valid
    write_bytes(path, cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())  # OpenCV has blue first


def read_flo(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Reads a flow map in the format of the Middlebury benchmark.

    Args:
      path: a .flo file.

    Returns:
      Flow [H, W, 2] = (u, v) in pixels, float32, 0 where it is marked as unknown; and boolean [H, W], True where it is
      known.

    Raises:
      UserError: the file cannot be read, or is not a whole .flo file.
    """
    data = _read_bytes(path, "flow map")
    if len(data) < 12 or not data.startswith(_FLO_MAGIC):
        raise UserError(f"flow map {path} is not a .flo file: expected it to start with {_FLO_MAGIC.decode()} and its size")
    width, height = np.frombuffer(data, "<i4", 2, offset=4).tolist()
    if min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        raise UserError(
            f"flow map {path} has {len(data)} bytes but says that its size is {width}x{height}: expected 12 bytes and 8 a "
            "pixel; the file is damaged"
        )
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)
    valid = np.all(np.abs(flow) <= _FLO_UNKNOWN, axis=-1)
    return np.where(valid[..., None], flow, np.float32(0)), valid


def write_flo(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Writes a flow map in the format of the Middlebury benchmark.

    Args:
      path: the .flo file to write.
      flow: [H, W, 2] = (u, v) in pixels; kept to float32.
      valid: boolean [H, W], False for pixels to mark as unknown; None for all known.

    Raises:
      UserError: a known flow is not finite.
    """
    flow, valid = _flow_and_valid(path, flow, valid)
    height, width = valid.shape
    marked = np.where(valid[..., None], flow, 10 * _FLO_UNKNOWN)
    write_bytes(path, _FLO_MAGIC + np.array([width, height], "<i4").tobytes() + marked.astype("<f4").tobytes())


def _flow_and_valid(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise UserError(f"{path} was to get flow of the shape {flow.shape}: expected [height, width, 2]")
    valid = np.ones(flow.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    if not np.all(np.isfinite(flow[valid])):
        raise UserError(f"{path} was to get flow that is not finite: expected finite numbers, or such pixels not valid")
    return flow, valid


def _decode_png16(data: bytes, name: str) -> np.ndarray:
    """Decodes a PNG of 16-bit RGB, uint16 [H, W, 3]; Pillow would keep the upper 8 bits alone: flow rounded to 4 pixels."""
    if not data.startswith(_PNG_SIGNATURE):
        raise UserError(f"{name} is not a PNG file: expected a PNG with 16-bit RGB")
    damaged = f"{name} is a damaged PNG file%s: copy or download it again"
    try:
        # The checksums of all chunks: OpenCV tells of damage on stderr.
        with Image.open(io.BytesIO(data), formats=["PNG"]) as stored:
            stored.verify()
    except (OSError, SyntaxError, ValueError) as error:
        reason = "its header is incomplete" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(damaged % f" ({reason})") from error
    depth, colour = data[24:26]  # of the header, which is the first chunk
    if (depth, colour) != (16, 2):
        raise UserError(
            f"{name} is a PNG with {depth}-bit {_PNG_COLOURS.get(colour, 'unknown colours')}: expected 16-bit RGB; programs "
            "that convert pictures drop the lower bits, so use the original file"
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UserError(damaged % "")
    return pixels[..., ::-1]


def _parse_pose(line: str, where: str) -> np.ndarray:
    words = line.split()
    if len(words) != 12:
        raise UserError(f"{where} has {len(words)} numbers: expected 12, the upper 3x4 of a pose matrix row by row")
    pose = np.eye(4)
    for index, word in enumerate(words):
        try:
            pose[index // 4, index % 4] = float(word)
        except ValueError:
            raise UserError(f"{where} has {word!r} as value {index + 1} of 12: expected a number") from None
    if not np.all(np.isfinite(pose)):
        raise UserError(f"{where} has a value that is not finite: expected 12 finite numbers")
    rotation = pose[:3, :3]
    # Text files carry 6 or 7 digits, and some programs single precision: far better than this.
    if np.linalg.det(rotation) < 0 or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2):
        raise UserError(f"{where} has no rotation in its columns 1-3, 5-7, 9-11: expected an orthonormal matrix there")
    return pose


def _finite_poses(path: str | os.PathLike, poses: np.ndarray) -> np.ndarray:
    poses = np.asarray(poses)
    lost = np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))
    if lost.size:
        raise UserError(
            f"{path} was to get {lost.size} of {len(poses)} poses with numbers that are not finite, the first with index "
            f"{lost[0]}: expected finite poses; leave out frames whose pose is not known, or fill them in"
        )
    return poses


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions [N, 4] (x, y, z, w), w not negative, that come closest to the matrices [N, 3, 3].

    The quaternion is the eigenvector to the largest eigenvalue of a symmetric matrix (Bar-Itzhack, 2000): no case
    distinctions, and rounding errors of the rotation are spread evenly.
    """
    r = np.moveaxis(rotations, 0, -1)
    zero = np.zeros(len(rotations))
    lower = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], zero, zero, zero],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], zero, zero],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], zero],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    _, vectors = np.linalg.eigh(np.moveaxis(lower, -1, 0), UPLO="L")
    quaternions = vectors[..., -1]
    return quaternions * np.where(quaternions[:, 3:] < 0, -1.0, 1.0)


def _write_lines(path: str | os.PathLike, lines: list[str]) -> None:
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes under another name first, so that a file of this name is always a whole one."""
    path = pathlib.Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def _read_bytes(path: str | os.PathLike, what: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
