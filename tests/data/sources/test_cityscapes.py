"""Cityscapes as it is laid out on disk: clips, phases, standing frames, the rows that are kept, and what may be missing."""

import json
import pathlib
import warnings

import numpy as np
import pytest
from PIL import Image

from dopi_jax.data.images import read_image
from dopi_jax.data.pipeline import TrainingInput, validation_batches
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.data.snippets import Sequence, count_snippets
from dopi_jax.data.sources import cityscapes
from dopi_jax.errors import UserError

CAMERA = {
    "extrinsic": {"baseline": 0.209313, "pitch": 0.038, "roll": 0.0, "x": 1.7, "y": 0.1, "yaw": -0.0195, "z": 1.22},
    "intrinsic": {"fx": 30.0, "fy": 40.0, "u0": 15.0, "v0": 9.0},
}
SIZE = (16, 32)


class Cityscapes:
    """Writes a tiny data set in the official layout; frames are of one colour each, red = frame number."""

    def __init__(self, root: pathlib.Path):
        self.root = root

    def file(self, package: str, kind: str, number: int, city: str = "aachen", recording: int = 0, split: str = "train"):
        path = self.root / "cityscapes" / package / split / city / f"{city}_{recording:06d}_{number:06d}_{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def frame(self, number: int, **place) -> pathlib.Path:
        return self.file("leftImg8bit_sequence", "leftImg8bit.png", number, **place)

    def camera(self, number: int, content: dict = CAMERA, **place) -> pathlib.Path:
        path = self.file("camera", "camera.json", number, **place)
        path.write_text(json.dumps(content))
        return path

    def clip(self, numbers, speeds=10.0, size=SIZE, **place) -> None:
        numbers = list(numbers)
        for number, speed in zip(numbers, np.broadcast_to(speeds, len(numbers)).tolist(), strict=True):
            Image.new("RGB", size[::-1], (number, 0, 0)).save(self.frame(number, **place))
            content = {"gpsHeading": 281.0, "outsideTemperature": 18.5, "speed": speed, "yawRate": 0.1}
            self.file("vehicle_sequence", "vehicle.json", number, **place).write_text(json.dumps(content))
        self.camera(19, **place)

    def read(self, city: str = "aachen", split: str = "train") -> list[Sequence]:
        return cityscapes.read(self.root, f"{split}/{city}")


@pytest.fixture
def data(tmp_path) -> Cityscapes:
    return Cityscapes(tmp_path)


def numbers(sequences) -> dict[str, tuple[int, ...]]:
    return {sequence.name: sequence.numbers for sequence in sequences}


def test_a_clip_gives_two_sequences_of_every_second_frame(data):
    data.clip(range(30))
    even, odd = data.read()
    assert (even.name, odd.name) == ("aachen_000000_000000_0", "aachen_000000_000000_1")
    assert even.numbers == tuple(range(0, 30, 2)) and odd.numbers == tuple(range(1, 30, 2))
    assert even.frames == tuple(data.frame(number) for number in even.numbers)
    assert even.image_size == SIZE and even.kept_rows == 0.75
    np.testing.assert_array_equal(even.intrinsics, [[30, 0, 15], [0, 40, 9], [0, 0, 1]])
    # 15 frames give 13 snippets, of frames t-2, t and t+2.
    assert len(even.snippets()) == len(odd.snippets()) == 13
    assert even.snippets()[0].frames == tuple(data.frame(number) for number in (0, 2, 4))
    assert odd.snippets()[-1].frames == tuple(data.frame(number) for number in (25, 27, 29))


def test_clips_end_at_gaps_and_with_their_recording(data):
    data.clip([0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 20])
    data.clip([5, 6], recording=3)
    sequences = data.read()
    assert numbers(sequences) == {
        "aachen_000000_000000_0": (0, 2, 4),
        "aachen_000000_000000_1": (1, 3),
        "aachen_000000_000007_0": (7, 9, 11),
        "aachen_000000_000007_1": (8, 10, 12),
        "aachen_000000_000020_0": (20,),
        "aachen_000000_000020_1": (),
        "aachen_000003_000005_0": (5,),
        "aachen_000003_000005_1": (6,),
    }
    assert [len(sequence.snippets()) for sequence in sequences] == [1, 0, 1, 1, 0, 0, 0, 0]


def test_slow_frames_wait_until_the_speeds_add_up(data):
    """A frame is kept once the speeds since the last kept one add up to more than 2 / sqrt(3) = 1.1547 m/s."""
    even = {0: 0.0, 2: 1.2, 4: 1.1, 6: 0.1, 8: 5.0, 10: 0.5, 12: 0.5, 14: 0.2, 16: 1.154, 18: 0.0}
    odd = {1: 1.155, 3: 9.0, 5: 9.0, 7: 0.0, 9: 0.0, 11: -2.0, 13: 3.0, 15: 3.0, 17: 3.0, 19: 0.0}
    data.clip(range(20), [(even | odd)[number] for number in range(20)])
    sequences = data.read()
    assert [sequence.numbers for sequence in sequences] == [(2, 6, 8, 14), (1, 3, 5, 11, 13, 15, 17)]
    # Of (2, 6, 8) and the like, frames are missing in between.
    assert [[snippet.target for snippet in sequence.snippets()] for sequence in sequences] == [
        [],
        [data.frame(number) for number in (3, 13, 15)],
    ]


def test_without_speeds_all_frames_are_kept_with_a_warning(data):
    data.clip(range(6), 0.0)
    assert [sequence.numbers for sequence in data.read()] == [(), ()]
    (data.root / "cityscapes/vehicle_sequence").rename(data.root / "elsewhere")
    with pytest.warns(UserWarning, match=r"cityscapes/vehicle_sequence does not exist: frames on which the car stands"):
        assert [sequence.numbers for sequence in data.read()] == [(0, 2, 4), (1, 3, 5)]


def test_the_nearest_camera_file_of_the_recording_counts(data):
    def camera(fx: float) -> dict:
        return {"intrinsic": CAMERA["intrinsic"] | {"fx": fx}}

    for first in (100, 200, 300):
        data.clip(range(first, first + 30))
    data.camera(19, camera(1.0))
    data.camera(119, camera(2.0))
    data.camera(290, camera(3.0))
    data.camera(219, camera(4.0), recording=1)
    data.camera(219, camera(5.0), city="aach")
    focal = {sequence.name[14:20]: sequence.intrinsics[0, 0] for sequence in data.read()}
    # The clips' middles are 114.5, 214.5 and 314.5.
    assert focal == {"000100": 2.0, "000200": 3.0, "000300": 3.0}


def test_intrinsics_and_images_are_those_of_the_published_resizing(data):
    """To 832x342, of which the upper 256 rows are kept, but for the rounding of 341.33 rows to 342."""
    ramp = np.tile((np.arange(1024) % 256).astype(np.uint8)[:, None, None], (1, 2048, 3))
    data.clip(range(5), size=(1024, 2048))
    Image.fromarray(ramp).save(data.frame(2))
    data.camera(19, {"intrinsic": {"fx": 2262.52, "fy": 2265.30, "u0": 1096.98, "v0": 513.137}})
    (snippet,) = data.read()[0].snippets()
    intrinsics = snippet.intrinsics_at((256, 832))
    # Columns by 832 / 2048, rows by 256 / 768.
    np.testing.assert_allclose(intrinsics, [[919.149, 0, 445.648], [0, 755.1, 171.046], [0, 0, 1]], atol=6e-4)
    published = np.diag([832 / 2048, 342 / 1024, 1.0]) @ snippet.intrinsics
    corners = np.linalg.inv(snippet.intrinsics) @ [[0, 2047, 0, 2047], [0, 0, 767, 767], [1, 1, 1, 1]]
    assert np.abs((intrinsics - published) @ corners).max() < 0.51

    image = read_image(snippet.target, (256, 832), snippet.kept_rows).astype(int)
    whole = np.asarray(Image.fromarray(ramp).resize((832, 342), Image.Resampling.BILINEAR))[:256].astype(int)
    assert image.shape == whole.shape
    difference = np.abs(image - whole)[:, 0, 0]
    ends = np.concatenate([[k - 2, k - 1, k, k + 1] for k in (85, 171)] + [[255]])  # where the ramp falls back to 0
    assert np.delete(difference, ends).max() <= 2  # of 3 grey levels a pixel


def test_rows_are_kept_from_the_top(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    np.testing.assert_array_equal(read_image(tmp_path / "noise.png", (12, 32), 0.75), noise[:12])
    np.testing.assert_array_equal(read_image(tmp_path / "noise.png", None, 0.75), noise[:12])
    np.testing.assert_array_equal(read_image(tmp_path / "noise.png", (16, 32)), noise)
    assert np.any(read_image(tmp_path / "noise.png", (16, 32), 0.75) != noise)
    # Three quarters of ten rows are no whole rows: pixel y of three shows the rows around 2.5 (y + 1/2) - 1/2.
    Image.fromarray(np.tile(20 * np.arange(10, dtype=np.uint8)[:, None], (1, 4))).save(tmp_path / "ramp.png")
    ramp = read_image(tmp_path / "ramp.png", (3, 4), 0.75)
    np.testing.assert_allclose(ramp[1:, 0, 0], [20 * 3.25, 20 * 5.75], atol=2)


def test_batches_show_the_kept_rows(data):
    noise = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 3), np.uint8)
    data.clip(range(5))
    for number, image in enumerate(noise):
        Image.fromarray(image).save(data.frame(number))
    sequences = data.read()[:1]
    trained = next(TrainingInput(sequences, size=(12, 32), batch_size=1, seed=0).batches())
    for batch in (trained, next(validation_batches(sequences, (12, 32), 1))):
        np.testing.assert_array_equal(batch["frames"][0], noise[[0, 2, 4], :12])
        np.testing.assert_array_equal(batch["intrinsics"][0], [[30, 0, 15], [0, 40, 9], [0, 0, 1]])
    (half,) = validation_batches(sequences, (6, 32), 1)
    np.testing.assert_array_equal(half["intrinsics"][0], [[30, 0, 15], [0, 20, 4.5], [0, 0, 1]])


def test_jpg_copies_will_do_and_other_files_do_not_matter(data):
    data.clip(range(3))
    folder = data.frame(0).parent
    Image.open(data.frame(1)).save(data.frame(1).with_suffix(".jpg"))
    data.frame(2).rename(data.frame(2).with_suffix(".jpg"))
    for name in ("._aachen_000000_000003_leftImg8bit.png", "aachen_000000_000003_rightImg8bit.png", "notes.txt"):
        (folder / name).touch()
    (folder.parent / ".hidden").mkdir()
    assert [path.suffix for sequence in data.read() for path in sequence.frames] == [".png", ".jpg", ".png"]
    assert cityscapes.items(data.root) == ["train/aachen"]


@pytest.mark.filterwarnings("error")
def test_selections_are_the_training_cities_or_one_city(data):
    for city, split in (("bochum", "train"), ("aachen", "train"), ("lindau", "val"), ("bonn", "test")):
        data.clip(range(8), city=city, split=split)

    def names(selection: str) -> list[str]:
        return [sequence.name for sequence in select_sequences(data.root, selection, for_training=True)]

    training = [f"{city}_000000_000000_{phase}" for city in ("aachen", "bochum") for phase in (0, 1)]
    assert names("cityscapes:train") == training
    assert names("cityscapes:bochum") == training[2:]
    assert names("cityscapes:lindau") == ["lindau_000000_000000_0", "lindau_000000_000000_1"]
    assert names("cityscapes:bonn") == ["bonn_000000_000000_0", "bonn_000000_000000_1"]
    assert count_snippets(select_sequences(data.root, "cityscapes:train")) == 4 * 2
    assert [sequence.numbers for sequence in select_sequences(data.root, "cityscapes:aachen[:3]")] == [(0, 2, 4), (1, 3, 5)]
    assert find_data_roots(str(data.root)) == (data.root,)


def test_where_the_car_stands_is_counted(data):
    data.clip(range(30))
    data.clip(range(30), 0.0, recording=1)
    for selection in ("cityscapes:train", "cityscapes:aachen"):
        with pytest.warns(UserWarning, match=f"{selection}: 2 of 4 sequences have no 3 consecutive frames"):
            assert len(select_sequences(data.root, selection)) == 2
    data.clip(range(30), 0.0, city="bochum")
    with pytest.raises(UserError, match="cityscapes:bochum holds no snippet: none of its 2 sequences"):
        select_sequences(data.root, "cityscapes:bochum")


def test_what_is_not_at_hand_is_told(data):
    with pytest.raises(UserError, match=rf"sequence/train/aachen and so on in {data.root}.*_trainvaltest\.zip"):
        select_sequences(data.root, "cityscapes:train")
    data.clip(range(3), city="lindau", split="val")
    with pytest.raises(UserError, match=r"cityscapes:train is not at hand, looked for .*found val/lindau: get left"):
        select_sequences(data.root, "cityscapes:train")
    with pytest.raises(UserError, match=r"cityscapes:atlantis is not at hand.*found val/lindau"):
        select_sequences(data.root, "cityscapes:atlantis")
    (data.root / "cityscapes/leftImg8bit_sequence/train/ulm").mkdir(parents=True)
    with pytest.raises(UserError, match=r"city ulm has no frames, looked in .*leftImg8bit_sequence/train/ulm"):
        select_sequences(data.root, "cityscapes:train")


def test_frames_stored_smaller_than_the_official_camera_is_for(data):
    data.clip(range(3), size=(96, 192))
    data.camera(19, {"intrinsic": {"fx": 2262.52, "fy": 2265.30, "u0": 1096.98, "v0": 513.137}})
    with pytest.warns(
        UserWarning, match=r"camera/train/aachen is for images of 2048x1024 pixels .*, the frames have 192x96"
    ):
        intrinsics = data.read()[0].intrinsics
    np.testing.assert_allclose(intrinsics[0], [2262.52 * 192 / 2048, 0, 1096.98 * 192 / 2048])
    data.clip(range(3), size=(96, 256))
    data.camera(19, {"intrinsic": {"fx": 2262.52, "fy": 2265.30, "u0": 1096.98, "v0": 513.137}})
    with pytest.raises(UserError, match=r"aachen_000000_000019_camera\.json is for images of 2048x1024 .*, 33% wider"):
        data.read()


def test_files_that_are_no_frames_are_told(data):
    folder = data.frame(0).parent
    (folder / "frame_0.png").touch()
    with pytest.raises(
        UserError, match=r"city aachen has no frames.*train/aachen \(frame_0\.png\) are no frames by their na"
    ):
        data.read()


def test_a_missing_camera_file_names_the_recording(data):
    data.clip(range(3))
    data.clip(range(3), recording=7)
    data.file("camera", "camera.json", 19, recording=7).unlink()
    with pytest.raises(
        UserError, match=r"recording aachen_000007 has no camera file, looked for .*aachen_000007_\*_camera\.json: get"
    ):
        data.read()


def test_a_missing_vehicle_file_is_named(data):
    data.clip(range(3))
    data.file("vehicle_sequence", "vehicle.json", 1).unlink()
    with pytest.raises(UserError, match=r"train/aachen/aachen_000000_000001_vehicle\.json does not exist.*vehicle_sequence"):
        data.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"cannot be read as JSON \(.*\): unpack or download it again"),
        (b"\xff\xfe\xff", r"cannot be read as JSON"),
        (b"[1]", r"has nothing as intrinsic\.fx, expected a number"),
        (b'{"intrinsic": {"fx": 30.0, "fy": 40.0, "u0": 15.0}}', r"has nothing as intrinsic\.v0"),
        (b'{"intrinsic": {"fx": "30", "fy": 40.0, "u0": 15.0, "v0": 9}}', r"has '30' as intrinsic\.fx"),
        (b'{"intrinsic": {"fx": NaN, "fy": 40.0, "u0": 15.0, "v0": 9}}', r"has nan as intrinsic\.fx"),
        (b'{"intrinsic": {"fx": true, "fy": 40.0, "u0": 15.0, "v0": 9}}', r"has True as intrinsic\.fx"),
        (b'{"intrinsic": {"fx": -1, "fy": 40.0, "u0": 15.0, "v0": 9}}', r"is no camera: focal lengths \(-1, 40\)"),
        (
            b'{"intrinsic": {"fx": 60, "fy": 80, "u0": 60, "v0": 18}}',
            r"is no camera: .* far outside its images of 32x16 pixels",
        ),
    ],
)
def test_a_broken_camera_file_is_named(data, content, message):
    data.clip(range(3))
    data.file("camera", "camera.json", 19).write_bytes(content)
    with pytest.raises(UserError, match=rf"train/aachen/aachen_000000_000019_camera\.json .*{message}"):
        data.read()


@pytest.mark.parametrize(
    ("content", "message"), [("speed", "cannot be read as JSON"), ('{"yawRate": 0.1}', "has nothing as speed, expected")]
)
def test_a_broken_vehicle_file_is_named(data, content, message):
    data.clip(range(3))
    data.file("vehicle_sequence", "vehicle.json", 2).write_text(content)
    with pytest.raises(UserError, match=rf"aachen_000000_000002_vehicle\.json {message}"):
        data.read()


def test_sequences_of_kitti_are_as_they_were(kitti):
    kitti.drive("2011_09_26_drive_0001", range(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (sequence, _) = select_sequences(kitti.root, "kitti_raw:eigen")
    assert (sequence.kept_rows, sequence.step) == (1.0, 1)
    assert sequence.snippets()[0].kept_rows == 1.0
