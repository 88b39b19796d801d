import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from dopi_jax.errors import UserError
from dopi_jax.formats import (
    read_flo,
    read_kitti_flow,
    read_kitti_poses,
    write_flo,
    write_kitti_flow,
    write_kitti_poses,
    write_tum_trajectory,
)

STANDING = "1 0 0 0 0 1 0 0 0 0 1 0"


def random_poses(count):
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(size=(count, 3)) * 2).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 100
    return poses


def test_kitti_layout_is_the_upper_rows_of_the_matrix(tmp_path):
    (tmp_path / "poses.txt").write_text(f"{STANDING}\n0 -1 0 1.5 1 0 0 -2 0 0 1 3e1\n\n")
    poses = read_kitti_poses(tmp_path / "poses.txt")
    np.testing.assert_array_equal(poses[0], np.eye(4))
    np.testing.assert_array_equal(poses[1], [[0, -1, 0, 1.5], [1, 0, 0, -2], [0, 0, 1, 30], [0, 0, 0, 1]])


def test_kitti_round_trip(tmp_path):
    poses = random_poses(20)
    write_kitti_poses(tmp_path / "poses.txt", poses)
    np.testing.assert_allclose(read_kitti_poses(tmp_path / "poses.txt"), poses, rtol=1e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["poses.txt"]


@pytest.mark.parametrize(("sequence", "frames"), [("03", 801), ("09", 1591), ("10", 1201)])
def test_official_poses_are_read(shared, sequence, frames):
    poses = read_kitti_poses(shared / "data" / "kitti_odometry" / "poses" / f"{sequence}.txt")
    assert poses.shape == (frames, 4, 4)
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "poses.txt is empty: expected one camera pose a line"),
        (f"{STANDING}\n1 2 3\n", "poses.txt, line 2 has 3 numbers: expected 12"),
        (f"{STANDING}\n\n{STANDING}\n", "poses.txt, line 2 has 0 numbers: expected 12"),
        (STANDING.replace("0 1 0 0", "0 x 0 0", 1), "poses.txt, line 1 has 'x' as value 6 of 12: expected a number"),
        (f"{STANDING[:-1]}nan", "poses.txt, line 1 has a value that is not finite"),
        ("0 " * 12, "poses.txt, line 1 has no rotation"),
        ("-1 0 0 0 0 1 0 0 0 0 1 0", "poses.txt, line 1 has no rotation"),
    ],
)
def test_malformed_lines_are_told_with_their_number(tmp_path, text, message):
    (tmp_path / "poses.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_kitti_poses(tmp_path / "poses.txt")


def test_unreadable_files_are_told(tmp_path):
    with pytest.raises(UserError, match=r"missing\.txt cannot be read"):
        read_kitti_poses(tmp_path / "missing.txt")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"picture\.png cannot be read"):
        read_kitti_poses(tmp_path / "picture.png")


def test_tum_lines_are_time_position_and_quaternion_with_w_last(tmp_path):
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # a quarter turn about y
    poses[1, :3, 3] = [1, 2, 3]
    write_tum_trajectory(tmp_path / "trajectory.txt", [0.0, 0.1], poses)
    comment, first, second = (tmp_path / "trajectory.txt").read_text().splitlines()
    assert comment.startswith("#")
    assert first.split()[0] == "0.000000"
    np.testing.assert_allclose([float(word) for word in first.split()], [0, 0, 0, 0, 0, 0, 0, 1], atol=1e-9)
    half = np.sqrt(0.5)
    np.testing.assert_allclose([float(word) for word in second.split()], [0.1, 1, 2, 3, 0, half, 0, half], atol=1e-9)


def test_tum_quaternions_of_all_kinds_of_rotation(tmp_path):
    poses = random_poses(50)
    half_turns = [Rotation.from_rotvec(np.pi * axis).as_matrix() for axis in np.eye(3)]  # w = 0
    poses[:3, :3, :3] = half_turns
    write_tum_trajectory(tmp_path / "trajectory.txt", np.arange(50), poses)
    quaternions = np.loadtxt(tmp_path / "trajectory.txt")[:, 4:]
    np.testing.assert_allclose(Rotation.from_quat(quaternions).as_matrix(), poses[:, :3, :3], atol=1e-8)
    assert np.all(quaternions[:, 3] >= 0)


def test_timestamps_and_poses_must_be_as_many(tmp_path):
    with pytest.raises(UserError, match="2 timestamps for 3 poses"):
        write_tum_trajectory(tmp_path / "trajectory.txt", [0, 1], random_poses(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_kitti_poses, lambda path, poses: write_tum_trajectory(path, range(3), poses)])
@pytest.mark.parametrize("where", [(1, 0, 0), (1, 2, 3), (slice(1, 3), slice(3), slice(3))])
def test_poses_that_are_not_finite_are_told_and_nothing_is_written(tmp_path, write, where):
    poses = random_poses(3)
    poses[where] = np.nan
    with pytest.raises(UserError, match=r"trajectory\.txt was to get [12] of 3 poses with numbers .*the first with index 1"):
        write(tmp_path / "trajectory.txt", poses)
    assert not list(tmp_path.iterdir())


def test_a_timestamp_that_is_not_finite_is_told(tmp_path):
    with pytest.raises(UserError, match="timestamp that is not finite"):
        write_tum_trajectory(tmp_path / "trajectory.txt", [0.0, np.nan, 1.0], random_poses(3))
    assert not list(tmp_path.iterdir())


# --- Optical flow ---------------------------------------------------------------------------------------------------


def random_flow(shape=(6, 8)):
    """Flow on KITTI's grid of 1/64 px, up to the ends of its range, and a mask."""
    rng = np.random.default_rng(1)
    flow = (rng.integers(-(2**15), 2**15, (*shape, 2)) / 64).astype(np.float32)
    flow[0, :2] = [[-512, 512 - 1 / 64], [0, 0]]
    return flow, rng.random(shape) < 0.7


def png(pixels, depth, colour):
    """The contents of a PNG file: unsigned integers [H, W, C], no prediction of pixels from their neighbours."""
    rows = [b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    palette = [(b"PLTE", bytes(range(6)))] if colour == 3 else []
    chunks = [(b"IHDR", header), *palette, (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def test_kitti_flow_by_hand(tmp_path):
    pixels = np.array([[[2**15 + 64, 2**15 - 32, 1], [0, 5, 0]]], np.uint16)
    (tmp_path / "flow.png").write_bytes(png(pixels, 16, 2))
    flow, valid = read_kitti_flow(tmp_path / "flow.png")
    np.testing.assert_array_equal(flow, [[[1, -0.5], [0, 0]]])
    np.testing.assert_array_equal(valid, [[True, False]])


@pytest.mark.parametrize(("write", "read"), [(write_kitti_flow, read_kitti_flow), (write_flo, read_flo)])
def test_flow_round_trip_with_invalid_pixels(tmp_path, write, read):
    flow, valid = random_flow()
    marred = np.where(valid[..., None], flow, np.nan)
    write(tmp_path / "flow", marred, valid)
    read_flow, read_valid = read(tmp_path / "flow")
    assert read_flow.dtype == np.float32 and read_valid.dtype == bool
    np.testing.assert_array_equal(read_valid, valid)
    np.testing.assert_array_equal(read_flow, np.where(valid[..., None], flow, 0))
    write(tmp_path / "flow", flow)
    read_flow, read_valid = read(tmp_path / "flow")
    assert read_valid.all()
    np.testing.assert_array_equal(read_flow, flow)
    assert [path.name for path in tmp_path.iterdir()] == ["flow"]


def test_kitti_flow_is_rounded_and_kept_in_its_range(tmp_path):
    write_kitti_flow(tmp_path / "flow.png", np.array([[[0.01, -0.01], [700.0, -700.0]]]))
    flow, _ = read_kitti_flow(tmp_path / "flow.png")
    np.testing.assert_array_equal(flow, [[[1 / 64, -1 / 64], [512 - 1 / 64, -512]]])


@pytest.mark.parametrize(("kind", "valid_pixels"), [("occ", 111_664), ("noc", 109_063)])
def test_an_official_flow_map_is_read(shared, kind, valid_pixels):
    golden = np.load(shared / "golden" / "evaluation.npz")
    flow, valid = read_kitti_flow(shared / f"data/kitti_flow_2015/training/flow_{kind}/000010_10.png")
    assert valid.sum() == valid_pixels
    np.testing.assert_array_equal(valid, golden[f"flow/valid_{kind}"])
    np.testing.assert_array_equal(flow * 64, golden["flow/gt_occ_x64"] * valid[..., None])


def test_flo_layout_is_magic_width_height_and_pairs_row_by_row(tmp_path):
    flow = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_flo(tmp_path / "flow.flo", flow, np.array([[True, True, True], [True, True, False]]))
    data = (tmp_path / "flow.flo").read_bytes()
    assert struct.unpack("<f2i", data[:12]) == (202021.25, 3, 2)
    assert struct.unpack("<12f", data[12:]) == (*range(10), 1e10, 1e10)


def test_other_programs_read_what_is_written(tmp_path):
    """Pillow checks the file but keeps the upper bits only: flow in steps of 4 px, red, green and blue in their order."""
    write_kitti_flow(tmp_path / "flow.png", np.array([[[8.0, -12.0], [0.0, 4.0]]]))
    with Image.open(tmp_path / "flow.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), [[[130, 125, 0], [128, 129, 0]]])


@pytest.mark.parametrize(
    ("depth", "colour", "channels", "found"),
    [(8, 2, 3, "8-bit RGB"), (8, 3, 1, "8-bit palette"), (16, 0, 1, "16-bit grey"), (16, 6, 4, "16-bit RGB and alpha")],
)
def test_other_kinds_of_png_are_told(tmp_path, depth, colour, channels, found):
    (tmp_path / "000000_10.png").write_bytes(png(np.zeros((4, 5, channels), int), depth, colour))
    with pytest.raises(UserError, match=rf"^flow map .*000000_10\.png is a PNG with {found}: expected 16-bit RGB"):
        read_kitti_flow(tmp_path / "000000_10.png")


def test_what_is_no_png_is_told(tmp_path):
    (tmp_path / "000000_10.png").write_bytes(b"PIEH")
    with pytest.raises(UserError, match=r"^flow map .*000000_10\.png is not a PNG file: expected"):
        read_kitti_flow(tmp_path / "000000_10.png")


def test_a_damaged_flow_map_is_a_user_error(tmp_path, capfd):
    path = tmp_path / "flow.png"
    write_kitti_flow(path, random_flow((12, 10))[0])
    whole = path.read_bytes()
    for length in range(8, len(whole) - 12, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"^flow map .*flow\.png is a damaged PNG file.*: copy or download it again$"):
            read_kitti_flow(path)
    changed = bytearray(whole)
    changed[-40] ^= 1
    path.write_bytes(changed)
    with pytest.raises(UserError, match="damaged PNG file .*checksum"):
        read_kitti_flow(path)
    assert capfd.readouterr().err == "", "OpenCV says nothing of its own"


@pytest.mark.parametrize("read", [read_kitti_flow, read_flo])
def test_a_missing_flow_map_is_told(tmp_path, read):
    with pytest.raises(UserError, match=r"flow map .*gone cannot be read: No such file"):
        read(tmp_path / "gone")


def test_a_wrong_flo_file_is_told(tmp_path):
    path = tmp_path / "flow.flo"
    path.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"flow\.flo is not a \.flo file"):
        read_flo(path)
    write_flo(path, random_flow()[0])
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"flow\.flo has 392 bytes but says that its size is 8x6"):
        read_flo(path)


@pytest.mark.parametrize("write", [write_kitti_flow, write_flo])
def test_flow_that_cannot_be_written_is_told(tmp_path, write):
    flow, _ = random_flow()
    flow[2, 3, 1] = np.inf
    with pytest.raises(UserError, match="flow that is not finite"):
        write(tmp_path / "flow", flow)
    with pytest.raises(UserError, match=r"flow of the shape \(6, 8, 1\)"):
        write(tmp_path / "flow", flow[..., :1])
    assert not list(tmp_path.iterdir())
