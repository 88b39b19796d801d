import importlib.util
import itertools
import subprocess
import sys

import numpy as np
import pytest

from dopi_jax.data import reader
from dopi_jax.data.images import read_image
from dopi_jax.data.order import ShuffledOrder
from dopi_jax.data.pipeline import TrainingInput, validation_batches
from dopi_jax.data.selection import select_sequences
from dopi_jax.errors import UserError

SIZE = (32, 64)


@pytest.fixture
def sequences(kitti):
    """Red is 10 times the frame number, so that a snippet can be told from its pixels: 0..5 and 8..11 -> 6 snippets."""
    kitti.drive("2011_09_26_drive_0001", [*range(0, 60, 10)], cameras=(2,))
    kitti.drive("2011_09_28_drive_0001", range(20, 24), cameras=(3,))
    folder = kitti.root / "kitti_raw/2011_09_26/2011_09_26_drive_0001_sync/image_02/data"
    for path in sorted(folder.iterdir()):
        path.rename(path.with_stem(f"{int(path.stem) // 10:010d}"))
    return select_sequences(kitti.root, "kitti_raw:eigen", for_training=True)


@pytest.fixture(params=["tf.data", "Grain"])
def loader(request, monkeypatch):
    """Either loader reads folders; which one depends on whether TensorFlow is installed."""
    if request.param == "Grain":
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find_spec(name))
    else:
        pytest.importorskip("tensorflow")


def take(batches, count):
    return list(itertools.islice(batches, count))


def training(sequences, count, start_step=0, **settings):
    return take(TrainingInput(sequences, size=SIZE, **settings).batches(start_step), count)


def reds(batch):
    return batch["frames"][:, 1, 0, 0, 0].tolist()


def assert_equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])


def test_batch_is_as_stated(sequences, loader):
    (_, batch) = training(sequences, 2, batch_size=3, seed=0)
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
        "frames": ((3, 3, 32, 64, 3), np.uint8),
        "intrinsics": ((3, 3, 3), np.float32),
        "index": ((3,), np.uint32),
    }
    np.testing.assert_array_equal(batch["index"], [3, 4, 5])


def test_both_loaders_give_the_same_batches(sequences, monkeypatch):
    pytest.importorskip("tensorflow")
    settings = {"batch_size": 4, "seed": 5}
    of_tensorflow = training(sequences, 20, **settings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_equal(training(sequences, 20, **settings), of_tensorflow)


def test_validation_is_every_snippet_in_order_untouched(sequences, loader):
    batches = take(validation_batches(sequences, SIZE, 1), 100)
    assert [reds(batch) for batch in batches] == [[10], [20], [30], [40], [21], [22]]
    first = batches[0]
    np.testing.assert_array_equal(first["frames"][0], [read_image(path, SIZE) for path in sequences[0].frames[:3]])
    zoom_y, zoom_x = 32 / 37, 64 / 124
    expected = [[72 * zoom_x, 0, 60 * zoom_x], [0, 72 * zoom_y, 17 * zoom_y], [0, 0, 1]]
    np.testing.assert_allclose(first["intrinsics"][0], expected, rtol=1e-6)


def test_validation_leaves_out_what_does_not_fill_a_batch(sequences, loader):
    assert [reds(batch) for batch in validation_batches(sequences, SIZE, 4)] == [[10, 20, 30, 40]]
    assert [reds(batch) for batch in validation_batches(sequences, SIZE, 1, at_most=2)] == [[10], [40]]
    with pytest.raises(UserError, match="hold 6 snippets, expected at least 7"):
        validation_batches(sequences, SIZE, 7)


def test_every_epoch_is_another_permutation_and_batches_span_epochs(sequences):
    order = [red for batch in training(sequences, 30, batch_size=4, seed=0) for red in reds(batch)]
    epochs = [tuple(order[start : start + 6]) for start in range(0, len(order), 6)]
    assert all(sorted(epoch) == [10, 20, 21, 22, 30, 40] for epoch in epochs)
    assert len(set(epochs)) > 15


def test_order_is_the_same_everywhere():
    """Pinned: another machine or another version of NumPy must not train on another order."""
    order = ShuffledOrder(6, seed=3)
    assert [order.candidates(index).tolist() for index in (0, 1, 6)] == [
        [1, 5, 2, 4, 3, 0],
        [5, 2, 4, 3, 0, 1],
        [3, 5, 4, 0, 2, 1],
    ]


def test_seed_decides_the_order(sequences):
    assert_equal(training(sequences, 6, batch_size=2, seed=3), training(sequences, 6, batch_size=2, seed=3))
    of_3, of_4 = ([reds(batch) for batch in training(sequences, 6, batch_size=2, seed=seed)] for seed in (3, 4))
    assert of_3 != of_4


@pytest.mark.parametrize("start", [1, 3, 7])
def test_starting_at_a_step_continues_the_same_run(sequences, loader, start):
    settings = {"batch_size": 4, "seed": 5}
    whole = training(sequences, 10, **settings)
    assert_equal(training(sequences, 10 - start, start_step=start, **settings), whole[start:])


def test_starting_far_ahead_is_immediate(sequences, loader):
    """Epochs before the start are never walked through."""
    (late,) = training(sequences, 1, start_step=10**8, batch_size=4, seed=5)
    assert late["frames"].shape == (4, 3, 32, 64, 3)


def test_cache_changes_nothing_but_reading(sequences, monkeypatch):
    reads = []
    monkeypatch.setattr(reader, "read_image", lambda *args: reads.append(args) or read_image(*args))
    settings = {"batch_size": 6, "seed": 0}
    cached = training(sequences, 12, cache=True, **settings)
    with_cache = len(reads)
    reads.clear()
    uncached = training(sequences, 12, cache=False, **settings)
    assert_equal(cached, uncached)
    assert with_cache < 12 * 6 * 3 // 2 < len(reads)

    reads.clear()
    monkeypatch.setattr(reader, "CACHE_BYTES", 10 * 32 * 64 * 3 - 1)
    assert_equal(training(sequences, 12, cache=True, **settings), uncached)
    assert len(reads) > with_cache, "ten frames do not fit in the budget, so none is kept"


def test_batches_of_indices_name_the_same_samples(sequences):
    source = TrainingInput(sequences, size=SIZE, batch_size=4, seed=5)
    resident = source.reader.read_all()
    for batch, indices in zip(take(source.batches(2), 8), source.index_batches(2), strict=False):
        np.testing.assert_array_equal(resident.frames[resident.snippets[indices["snippet"]]], batch["frames"])
        np.testing.assert_array_equal(resident.intrinsics[indices["snippet"]], batch["intrinsics"])
        np.testing.assert_array_equal(indices["index"], batch["index"])


def test_processes_read_a_batch_between_them(sequences, loader):
    whole = training(sequences, 3, 2, batch_size=4, seed=5)
    halves = [TrainingInput(sequences, size=SIZE, batch_size=4, seed=5, share=(which, 2)) for which in range(2)]
    read = zip(*(take(half.batches(2), 3) for half in halves), strict=True)
    assert_equal([{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in read], whole)
    indices = [next(half.index_batches(2))["index"] for half in halves]
    np.testing.assert_array_equal(np.concatenate(indices), whole[0]["index"])
    with pytest.raises(UserError, match="config.train.batch_size is 4: expected a multiple of 3, the number of processes"):
        TrainingInput(sequences, size=SIZE, batch_size=4, seed=5, share=(0, 3))


def damage(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.filterwarnings("ignore:left out")
def test_a_bad_frame_costs_its_snippets_alone(sequences, loader, capfd):
    """Frame 1 of 10 is bad: the snippets around 1 and 2 are replaced by the next ones of the epoch's order."""
    settings = {"batch_size": 1, "seed": 5}
    whole = [red for batch in training(sequences, 30, **settings) for red in reds(batch)]
    damage(sequences[0].frames[1])
    found = training(sequences, 30, max_bad_frames=0.1, **settings)
    for start in range(0, 30, 6):
        order = whole[start : start + 6]
        for place, batch in enumerate(found[start : start + 6]):
            expected = next(red for red in order[place:] + order[:place] if red not in (10, 20))
            assert reds(batch) == [expected]
    assert_equal(training(sequences, 20, start_step=10, max_bad_frames=0.1, **settings), found[10:])
    source = TrainingInput(sequences, size=SIZE, max_bad_frames=0.1, **settings)
    resident = source.reader.read_all()
    for batch, indices in zip(found, source.index_batches(), strict=False):
        np.testing.assert_array_equal(resident.frames[resident.snippets[indices["snippet"]]], batch["frames"])
    assert "Traceback" not in capfd.readouterr().err


def test_a_bad_frame_is_named_once_and_counted(sequences):
    damage(sequences[0].frames[1])
    source = TrainingInput(sequences, size=SIZE, batch_size=2, seed=0, max_bad_frames=0.1)
    with pytest.warns(UserWarning) as told:
        take(source.batches(), 20)
    assert [str(warning.message)[:60] for warning in told].count("left out, with the snippets that need it: image ") <= 1
    assert len(told) == 1 and sequences[0].frames[1].name in str(told[0].message)
    assert source.reader.bad_frames == 1


@pytest.mark.filterwarnings("ignore:left out")
def test_one_percent_of_the_frames_may_be_bad(kitti):
    kitti.odometry("03", range(300), cameras=(2,))
    (sequence,) = select_sequences(kitti.root, "kitti_odometry:03")
    for index in (17, 150, 288):
        damage(sequence.frames[index])
    source = TrainingInput([sequence], size=(8, 32), batch_size=100, seed=0)
    assert len(take(source.batches(), 6)) == 6 and source.reader.bad_frames == 3
    damage(sequence.frames[20])
    with pytest.raises(UserError, match="4 of 300 frames cannot be read"):
        training([sequence], 6, batch_size=100, seed=0)


@pytest.mark.filterwarnings("ignore:left out")
def test_too_many_bad_frames_end_the_training(sequences, loader, capfd):
    for index in (1, 2):
        damage(sequences[0].frames[index])
    with pytest.raises(UserError, match=r"2 of 10 frames cannot be read.*config.data.max_bad_frames allows"):
        training(sequences, 20, batch_size=2, seed=0, max_bad_frames=0.1)
    assert "Traceback" not in capfd.readouterr().err, "no loader logs a traceback"


@pytest.mark.filterwarnings("ignore:left out")
def test_validation_leaves_out_bad_frames_too(sequences, loader):
    damage(sequences[1].frames[0])  # without which there is no snippet around 21
    batches = take(validation_batches(sequences, SIZE, 1), 100)
    assert [reds(batch) for batch in batches] == [[10], [20], [30], [40], [22], [22]]
    for frame in (*sequences[0].frames, *sequences[1].frames[1:]):
        damage(frame)
    with pytest.raises(UserError, match="none of the 6 snippets can be read"):
        take(validation_batches(sequences, SIZE, 1), 1)


@pytest.mark.parametrize("without", ["", "tensorflow"])
def test_process_ends_with_a_suspended_iterator_and_says_nothing_of_its_own(sequences, without):
    code = f"""
import importlib.util
if {without!r}:
    importlib.util.find_spec = lambda name, find=importlib.util.find_spec: None if name == "tensorflow" else find(name)
from dopi_jax.data.pipeline import TrainingInput
from dopi_jax.data.selection import select_sequences
sequences = select_sequences({str(sequences[0].frames[0].parents[5])!r}, "kitti_raw:eigen")
batches = TrainingInput(sequences, size={SIZE}, batch_size=2, seed=0).batches()
print(next(batches)["frames"].shape)
"""
    ended = subprocess.run([sys.executable, "-c", code], timeout=300, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "(2, 3, 32, 64, 3)\n", "")


def test_no_snippet_is_an_error_at_once():
    with pytest.raises(UserError, match="hold 0 snippets, expected at least 1"):
        TrainingInput([], size=SIZE, batch_size=2, seed=0)


def test_real_extracts_mix(shared):
    """Frames of different cameras and colour modes in one batch, each with the intrinsics of its own resizing."""
    sequences = [
        *select_sequences(shared / "data", "kitti_raw:2011_09_26_drive_0095[:4]", for_training=True),
        *select_sequences(shared / "data", "kitti_odometry:03[:4]", for_training=True),
    ]
    (batch,) = take(validation_batches(sequences, (96, 320), 4), 1)
    colour, grey = batch["frames"][0, 1], batch["frames"][2, 1]
    assert np.ptp(colour, axis=-1).max() > 12 and np.ptp(grey, axis=-1).max() == 0
    expected = [721.5377 * 320 / 1242, 721.5377 * 96 / 375]
    np.testing.assert_allclose(batch["intrinsics"][:, [0, 1], [0, 1]], [expected] * 4, rtol=1e-6)
    neighbours = np.abs(np.diff(batch["frames"].astype(float), axis=1))
    assert neighbours.mean() > 1, "neighbouring frames differ"
