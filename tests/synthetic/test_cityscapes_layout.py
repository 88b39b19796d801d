"""Streets in Cityscapes' layout, seen through the reader of the real data set, which knows nothing of streets."""

import json
import warnings

import numpy as np
import pytest

from dopi_jax import geometry
from dopi_jax.data.images import read_image
from dopi_jax.data.selection import select_sequences
from dopi_jax.data.snippets import count_snippets
from dopi_jax.synthetic import VISIBLE, Street
from dopi_jax.synthetic.layouts import cityscapes, write_layout

SIZE = (24, 80)
SEED = 4
FRAMES = 150


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_layout("cityscapes", folder, FRAMES, SEED, SIZE)
    return folder


@pytest.fixture(scope="module")
def streets():
    return cityscapes.streets(FRAMES, SEED, SIZE)


def street_of(sequence, streets) -> tuple[Street, int]:
    """The street of a sequence and the number of its first frame on disk."""
    city, recording, first, _ = sequence.name.split("_")
    split = "val" if city == cityscapes.VALIDATION_CITY else "train"
    return streets[f"{split}/{city}_{recording}_{first}"], int(first)


def test_every_snippet_is_two_sequences_to_train_or_validate_on(root, streets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training = select_sequences(root, "cityscapes:train", for_training=True)
        validation = select_sequences(root, f"cityscapes:{cityscapes.VALIDATION_CITY}")
    snippets = ["aachen_000000_000000", "aachen_000001_000000", "bochum_000000_000000", "bochum_000000_000100"]
    assert [sequence.name for sequence in training] == [f"{name}_{phase}" for name in snippets for phase in (0, 1)]
    assert [sequence.name for sequence in validation] == ["lindau_000000_000000_0", "lindau_000000_000000_1"]
    # No street stands still: all 15 frames of a sequence are there, and 13 have both neighbours.
    assert {len(sequence) for sequence in training + validation} == {15}
    assert count_snippets(training) == 8 * 13
    for sequence in training + validation:
        np.testing.assert_array_equal(sequence.intrinsics, street_of(sequence, streets)[0].K)
        assert sequence.image_size == SIZE


def test_images_are_the_upper_rows_of_the_streets(root, streets):
    for sequence in select_sequences(root, "cityscapes:bochum"):
        street, first = street_of(sequence, streets)
        snippet = sequence.snippets()[4]
        image = read_image(snippet.target, (18, 80), snippet.kept_rows)
        np.testing.assert_array_equal(image, street.frame(sequence.numbers[5] - first).image[:18])
        np.testing.assert_allclose(snippet.intrinsics_at((18, 80)), street.K)
        # Half as wide: what is seen is the same, so the intrinsics are those of the street in that size.
        np.testing.assert_allclose(snippet.intrinsics_at((18, 40)), np.diag([0.5, 1, 1]) @ street.K)


def test_speeds_and_turning_are_the_streets(root, streets):
    folder = root / "cityscapes/vehicle_sequence/val/lindau"
    vehicle = [json.loads(path.read_text()) for path in sorted(folder.glob("lindau_000000_*_vehicle.json"))]
    poses = streets["val/lindau_000000_000000"].poses
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)  # metres a frame
    speeds = np.array([record["speed"] for record in vehicle])
    assert len(vehicle) == 30 and speeds.min() > 1.155
    np.testing.assert_allclose(speeds[1:-1], 17 * (steps[1:] + steps[:-1]) / 2, rtol=0.01)
    # To the left is about -y: forward is (-sin, cos) of what the rates add up to, by the trapezoidal rule.
    rates = np.array([record["yawRate"] for record in vehicle])
    turned = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2)]) / 17
    heading = np.arctan2(-poses[:, 0, 2], poses[:, 2, 2])
    np.testing.assert_allclose(turned, heading - heading[0], atol=0.003)
    assert np.ptp(heading) > 0.02


def test_true_depth_and_motion_warp_a_frame_to_its_neighbour(tmp_path):
    """Images and intrinsics of the reader, at half the size of what was written; depth and motion of the street."""
    street = Street(7, 7, 128, 416, movers=0)
    (tmp_path / "cityscapes").mkdir()
    cityscapes.write(tmp_path / "cityscapes", {"train/aachen_000000_000000": street})
    sequence = select_sequences(tmp_path, "cityscapes:aachen")[0]
    snippet, size = sequence.snippets()[1], (48, 208)
    assert sequence.numbers == (0, 2, 4, 6)
    previous, target, following = (read_image(path, size, snippet.kept_rows) / 255.0 for path in snippet.frames)
    intrinsics = snippet.intrinsics_at(size)
    small = Street(7, 7, 64, 208, movers=0)
    # The street's principal point lies midway between the first and the last column; scaled with the image, as the field
    # does it, it is a quarter of a pixel away from there.
    np.testing.assert_allclose(intrinsics, small.K, atol=0.25)
    depth = np.minimum(small.frame_depth(4)[:48], 1e4)
    for source, time in ((previous, 2), (following, 6)):
        pair = small.pair(4, time)

        def error(K, source=source, time=time, pair=pair):
            warped, inside = geometry.warp_by_depth(
                source.astype(np.float32), depth.astype(np.float32), K.astype(np.float32), street.source_from_target(4, time)
            )
            seen = np.asarray(inside) & (pair.visibility[:48] == VISIBLE)
            assert seen.mean() > 0.6
            return np.abs(np.asarray(warped) - target)[seen].mean(), np.abs(source - target)[seen].mean()

        warped, still = error(intrinsics)
        assert warped < 0.02 < still / 3
        # Intrinsics that do not know of the cut rows are found out.
        assert error(np.diag([1, 0.75, 1]) @ intrinsics)[0] > 1.5 * warped
