import itertools
import subprocess
import sys

import numpy as np
import pytest

from dopi_jax.data import pipeline
from dopi_jax.data.images import read_image
from dopi_jax.data.pipeline import training_batches, validation_batches
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


def take(batches, count):
    return list(itertools.islice(batches, count))


def reds(batch):
    return [round(value) for value in (batch["target"][:, 0, 0, 0] + 1) * 127.5]


def assert_equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])


def test_batch_is_as_stated(sequences):
    (batch,) = take(training_batches(sequences, size=SIZE, batch_size=3, seed=0), 1)
    assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
        "target": ((3, 32, 64, 3), np.float32),
        "sources": ((3, 2, 32, 64, 3), np.float32),
        "intrinsics": ((3, 3, 3), np.float32),
    }
    for key in ("target", "sources"):
        assert -1 <= batch[key].min() < batch[key].max() <= 1


def test_validation_is_every_snippet_in_order_untouched(sequences):
    batches = take(validation_batches(sequences, SIZE, 1), 100)
    assert [reds(batch) for batch in batches] == [[10], [20], [30], [40], [21], [22]]
    first = batches[0]
    frames = np.stack([read_image(path, SIZE) for path in sequences[0].frames[:3]])
    np.testing.assert_allclose(first["target"][0], frames[1] / 255 * 2 - 1, atol=1e-6)
    np.testing.assert_allclose(first["sources"][0], frames[::2] / 255 * 2 - 1.0, atol=1e-6)
    zoom_y, zoom_x = 32 / 37, 64 / 124
    expected = [[72 * zoom_x, 0, 60 * zoom_x], [0, 72 * zoom_y, 17 * zoom_y], [0, 0, 1]]
    np.testing.assert_allclose(first["intrinsics"][0], expected, rtol=1e-6)


def test_validation_leaves_out_what_does_not_fill_a_batch(sequences):
    assert [reds(batch) for batch in validation_batches(sequences, SIZE, 4)] == [[10, 20, 30, 40]]
    assert [reds(batch) for batch in validation_batches(sequences, SIZE, 1, at_most=2)] == [[10], [40]]
    with pytest.raises(UserError, match="hold 6 snippets, expected at least 7"):
        validation_batches(sequences, SIZE, 7)


def test_every_epoch_is_another_permutation_and_batches_span_epochs(sequences):
    batches = take(training_batches(sequences, size=SIZE, batch_size=4, seed=0, augment=False), 30)
    order = [red for batch in batches for red in reds(batch)]
    epochs = [tuple(order[start : start + 6]) for start in range(0, len(order), 6)]
    assert all(sorted(epoch) == [10, 20, 21, 22, 30, 40] for epoch in epochs)
    assert len(set(epochs)) > 15


def test_seed_decides_order_and_augmentation(sequences):
    def run(seed):
        return take(training_batches(sequences, size=SIZE, batch_size=2, seed=seed), 6)

    assert_equal(run(3), run(3))
    assert [reds(batch) for batch in run(3)] != [reds(batch) for batch in run(4)]
    assert not np.array_equal(run(3)[0]["intrinsics"], run(4)[0]["intrinsics"])


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_starting_at_a_step_continues_the_same_run(sequences, start):
    settings = {"size": SIZE, "batch_size": 4, "seed": 5}
    whole = take(training_batches(sequences, **settings), 10)
    assert_equal(take(training_batches(sequences, start_step=start, **settings), 10 - start), whole[start:])


def test_starting_far_ahead_is_immediate(sequences):
    """Epochs before the start are never walked through."""
    late = training_batches(sequences, size=SIZE, batch_size=4, seed=5, start_step=10**12)
    assert next(late)["target"].shape == (4, 32, 64, 3)


def test_cache_changes_nothing_but_reading(sequences, monkeypatch):
    reads = []
    monkeypatch.setattr(pipeline, "read_image", lambda *args: reads.append(args) or read_image(*args))
    settings = {"size": SIZE, "batch_size": 6, "seed": 0}
    cached = take(training_batches(sequences, cache=True, **settings), 12)
    with_cache = len(reads)
    reads.clear()
    uncached = take(training_batches(sequences, cache=False, **settings), 12)
    assert_equal(cached, uncached)
    assert with_cache < 12 * 6 * 3 // 2 < len(reads)

    reads.clear()
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 10 * 32 * 64 * 3 - 1)
    assert_equal(take(training_batches(sequences, cache=True, **settings), 12), uncached)
    assert len(reads) > with_cache, "ten frames do not fit in the budget, so none is kept"


def test_truncated_frame_surfaces_as_it_was_raised(sequences, capfd):
    path = sequences[0].frames[2]
    path.write_bytes(path.read_bytes()[:60])
    for batches in (
        training_batches(sequences, size=SIZE, batch_size=2, seed=0),
        validation_batches(sequences, SIZE, 2),
    ):
        with pytest.raises(UserError, match=f"{path.name} cannot be read"):
            take(batches, 10)
    assert capfd.readouterr().err == "", "TensorFlow logs no traceback"


def test_process_ends_with_a_suspended_iterator_and_says_nothing_of_its_own(sequences):
    code = f"""
from dopi_jax.data.pipeline import training_batches
from dopi_jax.data.selection import select_sequences
sequences = select_sequences({str(sequences[0].frames[0].parents[5])!r}, "kitti_raw:eigen")
batches = training_batches(sequences, size={SIZE}, batch_size=2, seed=0)
print(next(batches)["target"].shape)
"""
    ended = subprocess.run([sys.executable, "-c", code], timeout=300, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "(2, 32, 64, 3)\n", "")


def test_no_snippet_is_an_error_at_once():
    with pytest.raises(UserError, match="hold 0 snippets, expected at least 1"):
        training_batches([], size=SIZE, batch_size=2, seed=0)


def test_real_extracts_mix(shared):
    """Frames of different cameras and colour modes in one batch, each with the intrinsics of its own resizing."""
    sequences = [
        *select_sequences(shared / "data", "kitti_raw:2011_09_26_drive_0095[:4]", for_training=True),
        *select_sequences(shared / "data", "kitti_odometry:03[:4]", for_training=True),
    ]
    (batch,) = take(validation_batches(sequences, (96, 320), 4), 1)
    colour, grey = batch["target"][0], batch["target"][2]
    assert np.ptp(colour, axis=-1).max() > 0.1 and np.ptp(grey, axis=-1).max() == 0
    expected = [721.5377 * 320 / 1242, 721.5377 * 96 / 375]
    np.testing.assert_allclose(batch["intrinsics"][:, [0, 1], [0, 1]], [expected] * 4, rtol=1e-6)
    assert np.abs(batch["target"][:, None] - batch["sources"]).mean() > 0.01, "neighbouring frames differ"
