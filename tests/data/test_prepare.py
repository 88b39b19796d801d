import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from dopi_jax.commands import prepare as command
from dopi_jax.data import prepare, reader
from dopi_jax.data.images import read_image
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.prepare import Encoding, prepare_set
from dopi_jax.data.selection import find_data_roots, select_sequences
from dopi_jax.data.snippets import count_snippets
from dopi_jax.data.sources import prepared_matches
from dopi_jax.errors import UserError

SIZE = (32, 96)
PNG = Encoding("png")
DRIVE = "2011_09_26_drive_0001"

# As on a machine where TensorFlow is not installed: libraries look for it in more than one way.
WITHOUT_TENSORFLOW = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *place):
        return None if name.split(".")[0] == "tensorflow" else self.finder.find_spec(name, *place)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture
def data(kitti):
    """Ten frames of a drive and eight of an odometry sequence, of which one is missing."""
    kitti.drive(DRIVE, range(10), cameras=(2,), texture=True)
    kitti.odometry("03", [0, 1, 2, 4, 5, 6, 7], cameras=(2,), texture=True)
    return kitti.root


def prepared(data, out, *selections, encoding=PNG):
    sequences = [s for selection in selections for s in select_sequences(data, selection)]
    return prepare_set(sequences, SIZE, out, encoding, list(selections))


def test_the_same_words_select_the_same_frames(data, tmp_path):
    """Range by range, also where the range reaches beyond what was prepared."""
    prepared(data, tmp_path / "set", "kitti_odometry:03[1:6]", f"kitti_raw:{DRIVE}")
    roots = find_data_roots(str(tmp_path / "set"))
    for selection in ("kitti_odometry:03[1:6]", "kitti_odometry:train[2:6]", "kitti_raw:eigen", f"kitti_raw:{DRIVE}[60%:]"):
        (ours,), (theirs,) = select_sequences(roots, selection), select_sequences(data, selection)
        assert (ours.name, ours.numbers, ours.step, ours.origin) == (theirs.name, theirs.numbers, theirs.step, theirs.origin)
        assert count_snippets([ours]) == count_snippets([theirs])
        np.testing.assert_array_equal(ours.intrinsics_at(SIZE), theirs.intrinsics_at(SIZE))
        for frame, path in zip(ours.frames, theirs.frames, strict=True):
            np.testing.assert_array_equal(read_image(frame), read_image(path, SIZE))


def test_parts_of_a_sequence_become_one(data, tmp_path):
    manifest = prepared(data, tmp_path / "set", *(f"kitti_raw:{DRIVE}[{part}]" for part in ("7:", ":4", "2:5")))
    (entry,) = manifest["sequences"]
    assert (entry["places"], entry["numbers"], entry["whole_length"], entry["snippets"]) == ("0-4,7-9", "0-4,7-9", 10, 4)
    assert manifest["frames"] == 8
    (sequence,) = select_sequences(tmp_path / "set", f"kitti_raw:{DRIVE}[2:9]")
    assert sequence.numbers == (2, 3, 4, 7, 8)


def test_test_scenes_are_refused_for_training_from_a_set_too(kitti, tmp_path):
    kitti.drive("2011_09_26_drive_0052", range(4), cameras=(2,))
    prepared(kitti.root, tmp_path / "set", "kitti_raw:2011_09_26_drive_0052")
    with pytest.raises(UserError, match="28 scenes of the Eigen test list"):
        select_sequences(tmp_path / "set", "kitti_raw:2011_09_26_drive_0052", for_training=True)
    with pytest.raises(UserError, match=r"2011_09_26_drive_0099 is not at hand.*found 2011_09_26_drive_0052"):
        select_sequences(tmp_path / "set", "kitti_raw:2011_09_26_drive_0099")


FIRST_BATCHES = """
import itertools, sys
import numpy as np
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.selection import find_data_roots, select_sequences
roots = find_data_roots(sys.argv[1])
sequences = [s for name in ("kitti_raw:eigen", "kitti_odometry:train") for s in select_sequences(roots, name)]
batches = itertools.islice(TrainingInput(sequences, size=(32, 96), batch_size=4, seed=1).batches(3), 100)
batches = list(batches)
joined = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
assert "tensorflow" not in sys.modules
np.savez(sys.argv[2], **joined)
"""


def test_without_tensorflow_the_first_100_batches_are_those_of_the_folder(data, tmp_path):
    """A set of PNG and a folder of the same frames: bit for bit, order, frames, intrinsics and indices."""
    pytest.importorskip("tensorflow")
    prepared(data, tmp_path / "set", "kitti_raw:eigen", "kitti_odometry:train")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW + FIRST_BATCHES, tmp_path / "set", tmp_path / "batches.npz"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sequences = [s for name in ("kitti_raw:eigen", "kitti_odometry:train") for s in select_sequences(data, name)]
    of_folder = TrainingInput(sequences, size=SIZE, batch_size=4, seed=1).batches(3)
    with np.load(tmp_path / "batches.npz") as found:
        ours = dict(found)
    for index in range(100):
        theirs = next(of_folder)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name][index], theirs[name])


def test_matches_come_with_the_set(data, tmp_path, monkeypatch):
    """To a sixteenth of a pixel those of the folder's frames; no OpenCV is needed to read them."""
    selections = ("kitti_odometry:03", f"kitti_raw:{DRIVE}")
    prepared(data, tmp_path / "set", *selections)
    of_set, of_folder = ([s for w in selections for s in select_sequences(r, w)] for r in (tmp_path / "set", data))
    settings = {"size": SIZE, "batch_size": 2, "seed": 1, "matches": True}
    wanted = list(itertools.islice(TrainingInput(of_folder, **settings).batches(), 6))
    monkeypatch.setattr(reader, "match", lambda first, second: pytest.fail("followed again"))
    for batch, want in zip(TrainingInput(of_set, **settings).batches(), wanted, strict=False):
        assert np.isfinite(want["matches"]).any()
        np.testing.assert_allclose(batch["matches"], want["matches"], atol=1 / 32)
    (tmp_path / "set/matches.npz").write_bytes(b"PK")
    prepared_matches._read.cache_clear()
    with pytest.raises(UserError, match=r"matches\.npz is damaged"):
        next(TrainingInput(of_set, **settings).batches())


def test_frames_of_another_size_are_followed_anew(data, tmp_path):
    prepared(data, tmp_path / "set", f"kitti_raw:{DRIVE}")
    sequences = select_sequences(tmp_path / "set", f"kitti_raw:{DRIVE}")
    batch = next(TrainingInput(sequences, size=(16, 48), batch_size=2, seed=1, matches=True).batches())
    assert np.nanmax(batch["matches"]) < 48


def test_a_frame_that_cannot_be_read_is_left_out_and_told(data, tmp_path, capsys):
    (sequence,) = select_sequences(data, f"kitti_raw:{DRIVE}")
    sequence.frames[4].write_bytes(sequence.frames[4].read_bytes()[:60])
    manifest = prepared(data, tmp_path / "set", f"kitti_raw:{DRIVE}")
    (left_out,) = manifest["left_out"]
    assert left_out["frame"] == str(sequence.frames[4]) and "cannot be read" in left_out["why"]
    (entry,) = manifest["sequences"]
    assert (entry["numbers"], entry["snippets"]) == ("0-3,5-9", 2 + 3)
    for frame in sequence.frames:
        frame.write_bytes(frame.read_bytes()[:60])
    with pytest.raises(UserError, match="none of the 10 frames can be read"):
        prepared(data, tmp_path / "other", f"kitti_raw:{DRIVE}")
    assert not (tmp_path / "other").exists()


def test_an_interrupted_preparation_goes_on(data, tmp_path, monkeypatch):
    reads = []

    def interrupted(*args):
        reads.append(args)
        if len(reads) == 6:
            raise KeyboardInterrupt
        return read_image(*args)

    monkeypatch.setattr(prepare, "read_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(data, tmp_path / "set", f"kitti_raw:{DRIVE}")
    assert not (tmp_path / "set").exists()
    done_before = len([path for path in (tmp_path / "set.partial/staged").iterdir() if not path.suffix])
    reads.clear()
    monkeypatch.setattr(prepare, "read_image", lambda *args: reads.append(args) or read_image(*args))
    manifest = prepared(data, tmp_path / "set", f"kitti_raw:{DRIVE}")
    assert len(reads) == 10 - done_before and done_before >= 1
    assert not (tmp_path / "set.partial").exists()
    whole = prepared(data, tmp_path / "whole", f"kitti_raw:{DRIVE}")
    assert manifest == whole
    records = [next((tmp_path / name).rglob("*array_record*")).read_bytes() for name in ("set", "whole")]
    assert records[0] == records[1]


def test_a_set_that_is_there_is_kept(data, tmp_path):
    manifest = prepared(data, tmp_path / "set", "kitti_raw:eigen")
    assert prepared(data, tmp_path / "set", "kitti_raw:eigen") == manifest
    with pytest.raises(UserError, match="set is there already and is not this set: remove it, or choose another --out"):
        prepared(data, tmp_path / "set", "kitti_raw:eigen", encoding=Encoding("jpeg", 80))


def test_a_damaged_set_is_told(data, tmp_path):
    prepared(data, tmp_path / "set", "kitti_raw:eigen")
    (sequence,) = select_sequences(tmp_path / "set", "kitti_raw:eigen")
    for path in (tmp_path / "set").rglob("*array_record*"):
        path.unlink()
    with pytest.raises(UserError, match=r"prepared set .*set cannot be read"):
        read_image(sequence.frames[0])
    (tmp_path / "set/manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest.json is damaged .*: prepare the set again"):
        find_data_roots(str(tmp_path / "set"))[0]
        select_sequences(tmp_path / "set", "kitti_raw:eigen")


def test_the_command(data, tmp_path, capsys):
    out = tmp_path / "set"
    arguments = ["--source", str(data), "--select", "kitti_raw:eigen", "--size", "32x96", "--out", str(out)]
    command.main([*arguments, "--quality", "80"])
    printed = capsys.readouterr().out
    assert f"kitti_raw:{DRIVE}  {DRIVE}_02  10 frames, 8 snippets" in printed
    assert f"train with --config.data.root={out}" in printed
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["request"]["encoding"] == {"format": "jpeg", "quality": 80}
    assert manifest["snippets_of_the_paper"]["KITTI, training"] == 33_657
    (frame, *_) = select_sequences(out, "kitti_raw:eigen")[0].frames
    difference = read_image(frame).astype(float) - read_image(select_sequences(data, "kitti_raw:eigen")[0].frames[0], SIZE)
    assert 0 < np.abs(difference).mean() < 30  # noise is what JPEG stores worst


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--size": "32"}, r"--size is '32': expected height x width"),
        ({"--quality": "0"}, "--quality is 0: expected 1 to 100"),
        ({"--source": "/nowhere"}, "no data at /nowhere (from --source)"),
        ({"--select": "kitti_raw:2011_09_26_drive_0099"}, "drive_0099 is not at hand"),
        ({"--out": "/proc/set"}, "the set cannot be written to /proc/set.partial"),
    ],
)
def test_mistakes_are_one_sentence(data, tmp_path, capsys, changed, message):
    options = {"--source": str(data), "--select": "kitti_raw:eigen", "--size": "32x96", "--out": str(tmp_path / "set")}
    with pytest.raises(SystemExit) as ended:
        command.main([text for pair in (options | changed).items() for text in pair])
    assert ended.value.code == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("error: ") and message in err
    assert not (tmp_path / "set").exists()
