"""KITTI raw: drives of one day with images, laser scans and GPS/IMU records.

<folder>/2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
<folder>/2011_09_26/<drive>_sync/image_02/data/0000000000.png
<folder>/2011_09_26/<drive>_sync/velodyne_points/data/0000000000.bin
<folder>/2011_09_26/<drive>_sync/oxts/data/0000000000.txt            (timestamps.txt beside each data/)
"""

import datetime
import pathlib

from PIL import Image
from tqdm import tqdm

from dopi_jax.errors import UserError
from dopi_jax.synthetic.layouts import rig
from dopi_jax.synthetic.layouts.laser import scan
from dopi_jax.synthetic.layouts.oxts import oxts_records
from dopi_jax.synthetic.layouts.streets import make_street, write_frames
from dopi_jax.synthetic.street import Street

# Real drives' names, because splits go by name. None of the training drives has frames on the list of static ones.
TRAINING_DRIVES = tuple(f"2011_09_26_drive_{number:04d}" for number in (1, 5, 14, 15))
VALIDATION_DRIVE = "2011_09_26_drive_0113"
# Drives of the Eigen test list, most of whose first frames are on it.
TEST_DRIVES = tuple(f"2011_09_26_drive_{number:04d}" for number in (2, 20, 48, 52))

_DAY = "2011_09_26"
_START = datetime.datetime(2011, 9, 26, 13, 0, 0)
_SNIPPET = 3  # frames
_DRIVES = len(TRAINING_DRIVES) + 1 + len(TEST_DRIVES)
_FEWEST = _SNIPPET * _DRIVES
_VALIDATION_LIMIT = 30  # frame 30 of this drive is on the list of static frames
_TEST_LIMIT = 22  # of the first so many frames of drive 0048 all are on the list, of the others a half or a third


def streets(frames: int, seed: int, size: tuple[int, int]) -> dict[str, Street]:
    """Returns the street of each drive: an eighth of the frames validates, an eighth tests, as far as the lists let them.

    Args:
      frames: how many all drives have together.
      seed: each gives other streets.
      size: (height, width) of the images in pixels.

    Raises:
      UserError: there are too few frames for a snippet in each drive.
    """
    if frames < _FEWEST:
        raise UserError(
            f"--frames is {frames}: expected at least {_FEWEST} for kitti_raw, {_SNIPPET} (t-1, t, t+1) for each of its "
            f"{_DRIVES} drives"
        )
    eighth = max(_SNIPPET, frames // 8)
    tested = min(max(_SNIPPET, eighth // len(TEST_DRIVES)), _TEST_LIMIT)
    lengths = {VALIDATION_DRIVE: min(eighth, _VALIDATION_LIMIT)} | dict.fromkeys(TEST_DRIVES, tested)
    share, rest = divmod(frames - sum(lengths.values()), len(TRAINING_DRIVES))
    lengths |= {drive: share + (index < rest) for index, drive in enumerate(TRAINING_DRIVES)}
    return {drive: make_street(f"kitti_raw {drive}", length, seed, size) for drive, length in sorted(lengths.items())}


def write(folder: pathlib.Path, streets: dict[str, Street]) -> None:
    """Writes drives, from `streets`, into a folder that is there."""
    day = folder / _DAY
    day.mkdir()
    rig.write_cameras(day / "calib_cam_to_cam.txt", next(iter(streets.values())))
    rig.write_transform(day / "calib_velo_to_cam.txt", rig.CAMERA_FROM_VELODYNE)
    rig.write_transform(day / "calib_imu_to_velo.txt", rig.VELODYNE_FROM_IMU)
    with tqdm(total=sum(street.frames for street in streets.values()), unit="frame") as progress:
        for drive, street in streets.items():
            _write_drive(day / f"{drive}_sync", street, progress)


def _write_drive(folder: pathlib.Path, street: Street, progress: tqdm) -> None:
    records = oxts_records(street.poses)
    for sensor in ("image_02", "velodyne_points", "oxts"):
        (folder / sensor / "data").mkdir(parents=True)
        rig.write_lines(folder / sensor / "timestamps.txt", [_timestamp(number) for number in range(street.frames)])

    def write_frame(number: int) -> None:
        frame = street.frame(number)
        Image.fromarray(frame.image).save(folder / "image_02" / "data" / f"{number:010d}.png")
        points = scan(frame, street.K).astype("<f4")
        (folder / "velodyne_points" / "data" / f"{number:010d}.bin").write_bytes(points.tobytes())
        rig.write_lines(folder / "oxts" / "data" / f"{number:010d}.txt", [records[number]])

    write_frames(write_frame, street.frames, progress)


def _timestamp(number: int) -> str:
    """When a frame was taken, in nanoseconds as on KITTI."""
    time = _START + datetime.timedelta(seconds=number / rig.FRAME_RATE)
    return f"{time:%Y-%m-%d %H:%M:%S.%f}000"
