import math
import subprocess
import sys
import warnings

import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.evaluation import (
    DEPTH_METRICS,
    average_depth_metrics,
    constant_depth_baseline,
    depth_metrics,
    pixel_median_baseline,
    row_profile_baseline,
)
from dopi_jax.evaluation.depth import _resize_bilinear

GOLDEN_FRAMES = ("depth_00", "depth_26")


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "evaluation.npz")


def random_scene(shape=(40, 60)):
    rng = np.random.default_rng(7)
    gt = rng.uniform(2, 70, shape) * (rng.random(shape) < 0.5)
    return gt, rng.uniform(2, 70, shape)


# --- Worked examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["cc", "monodepth2"])
def test_metrics_by_hand(protocol):
    gt = np.array([[10.0, 10.0], [10.0, 20.0]])
    got = depth_metrics(gt, np.ones((2, 2)), crop=None, protocol=protocol)
    # The prediction becomes 10 m everywhere: one pixel of four is off by 10 m of 20 m, a factor of 2 > 1.25³.
    want = dict(abs_rel=0.125, sq_rel=1.25, rmse=5, rmse_log=math.log(2) / 2, a1=0.75, a2=0.75, a3=0.75, scale=10)
    assert got == pytest.approx(want, rel=1e-12)


def test_accuracy_thresholds_count_each_power_of_one_and_a_quarter():
    gt = 10 * np.array([[0.48, 0.51, 1.0, 1.0, 1.0, 1.0, 1.2, 1.5, 1.9]])
    got = depth_metrics(gt, np.ones((1, 9)), crop=None)
    # The prediction is 10 m. Powers: 1.25, 1.5625, 1.953; the first pixel is off by 1 / 0.48 = 2.08, the next by 1.96.
    assert [got["a1"], got["a2"], got["a3"]] == pytest.approx([5 / 9, 6 / 9, 7 / 9])


@pytest.mark.parametrize(("protocol", "abs_rel"), [("cc", 19 / 4), ("monodepth2", 1 / 4)])
def test_clipping_comes_before_scaling_in_cc_and_after_it_in_monodepth2(protocol, abs_rel):
    gt, pred = np.array([[10.0, 10.0, 10.0, 40.0]]), np.array([[1.0, 1.0, 1.0, 100.0]])
    # cc: 100 -> 80 -> 800 m, wrong by 760 / 40; monodepth2: 100 -> 1000 -> 80 m, wrong by 40 / 40.
    assert depth_metrics(gt, pred, crop=None, protocol=protocol)["abs_rel"] == pytest.approx(abs_rel)


def test_monodepth2_resizes_inverse_depth_bilinearly_between_half_pixel_centres():
    pred = 1 / np.array([[1.0, 3.0]])
    gt = 10 / np.array([[1.0, 1.5, 2.5, 3.0]])
    got = depth_metrics(gt, pred, crop=None, protocol="monodepth2")
    assert got["abs_rel"] == pytest.approx(0, abs=1e-12)
    assert got["scale"] == pytest.approx(10)


def test_cc_resizes_depth_with_the_corner_pixels_fixed():
    pred = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 2.0]])
    gt = np.zeros((3, 5))
    gt[::2, ::2] = pred * 5
    got = depth_metrics(gt, pred, crop=None, protocol="cc")
    assert got["rmse"] == pytest.approx(0, abs=1e-12)


def test_the_garg_crop_of_a_100x100_image_is_rows_40_to_98_and_columns_3_to_95():
    gt = np.zeros((100, 100))
    gt[40, 3] = gt[98, 95] = 10
    pred = np.ones((100, 100))
    inside = depth_metrics(gt, pred)
    for y, x in [(39, 50), (99, 50), (50, 2), (50, 96)]:
        gt[y, x] = 79
    assert depth_metrics(gt, pred) == inside
    assert depth_metrics(gt, pred, crop=None)["abs_rel"] > inside["abs_rel"]


def test_ground_truth_at_or_beyond_the_range_is_not_evaluated():
    gt = np.array([[10.0, 20.0, 80.0, 200.0, 1e-3, 0.0]])
    pred = np.array([[1.0, 2.0, 1.0, 1.0, 1.0, 1.0]])
    assert depth_metrics(gt, pred, crop=None)["abs_rel"] == pytest.approx(0, abs=1e-12)
    assert depth_metrics(gt, pred, crop=None, max_depth=100)["abs_rel"] > 0.1


# --- Properties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["cc", "monodepth2"])
def test_a_common_factor_of_the_prediction_only_changes_the_scale(protocol):
    gt, pred = random_scene()
    one, half = (depth_metrics(gt, factor * pred, protocol=protocol) for factor in (1.0, 0.5))
    assert half["scale"] == pytest.approx(2 * one["scale"])
    assert [half[name] for name in DEPTH_METRICS] == pytest.approx([one[name] for name in DEPTH_METRICS])


@pytest.mark.parametrize("protocol", ["cc", "monodepth2"])
def test_the_truth_itself_is_perfect(protocol):
    _, depth = random_scene()
    got = depth_metrics(depth, depth, protocol=protocol)
    want = dict(abs_rel=0, sq_rel=0, rmse=0, rmse_log=0, a1=1, a2=1, a3=1, scale=1)
    assert got == pytest.approx(want, abs=1e-12)


# --- References -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", GOLDEN_FRAMES)
@pytest.mark.parametrize("protocol", ["cc", "monodepth2"])
def test_reference_values_on_real_lidar(golden, frame, protocol):
    got = depth_metrics(golden[f"{frame}/gt"], golden[f"{frame}/pred_64x208"], protocol=protocol)
    assert list(golden["depth_metric_names"]) == list(DEPTH_METRICS)
    np.testing.assert_allclose([got[name] for name in DEPTH_METRICS], golden[f"{frame}/{protocol}"], rtol=1e-5)


@pytest.mark.parametrize("frame", GOLDEN_FRAMES)
@pytest.mark.parametrize(("protocol", "key"), [("cc", "cc"), ("monodepth2", "md2")])
@pytest.mark.parametrize(("crop", "crop_key"), [("garg", "garg"), (None, "nocrop")])
def test_reference_values_of_predictions_that_have_the_native_size(golden, frame, protocol, key, crop, crop_key):
    gt = golden[f"{frame}/gt"]
    native = _resize_bilinear(golden[f"{frame}/pred_64x208"].astype(np.float64), gt.shape)
    got = depth_metrics(gt, native, crop=crop, protocol=protocol)
    want = golden[f"{frame}/bilinear_{key}_{crop_key}"]
    np.testing.assert_allclose([got[name] for name in DEPTH_METRICS], want, rtol=1e-5)


@pytest.mark.parametrize("unit", [1000.0, 1e-5])
def test_a_prediction_that_cc_would_clip_away_is_told(unit):
    gt, pred = random_scene()
    with pytest.warns(UserWarning, match="predicted depth has its median at .* clips most of it to 0.001 ... 80"):
        depth_metrics(gt, unit * pred)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        depth_metrics(gt, pred)
        in_metres, in_unit = (depth_metrics(gt, pred * factor, protocol="monodepth2") for factor in (1.0, unit))
    assert [in_unit[name] for name in DEPTH_METRICS] == pytest.approx([in_metres[name] for name in DEPTH_METRICS])


# --- Averages and baselines -----------------------------------------------------------------------------------------


def test_average_over_images():
    images = [{**dict.fromkeys(DEPTH_METRICS, value), "scale": scale} for value, scale in [(1, 2), (2, 4), (6, 9)]]
    got = average_depth_metrics(images)
    assert got["images"] == 3
    assert [got[name] for name in DEPTH_METRICS] == [3] * 7
    assert got["scale_median"] == 4
    assert got["scale_std"] == pytest.approx(math.sqrt((9 + 1 + 16) / 3))


def test_row_profile_is_the_row_median_over_frames_filled_between_and_beyond():
    first = np.zeros((6, 3))
    second = np.zeros((6, 3))
    first[1] = [30, 0, 40]
    second[1] = [50, 90, 0]  # 90 m is out of range
    second[4] = [0, 10, 0]
    np.testing.assert_allclose(row_profile_baseline([first, second])[:, 0], [40, 40, 30, 20, 10, 10])


def test_row_profile_takes_frames_of_other_heights_at_the_same_fraction():
    tall = np.zeros((8, 2))
    tall[:4], tall[4:] = 60, 20
    low = np.zeros((4, 2))
    low[:2] = 40
    profile = row_profile_baseline(iter([low, tall]))
    np.testing.assert_allclose(profile[:, 0], [60, 60, 20, 20])


def test_pixel_median_is_the_median_over_frames_and_the_rows_where_there_is_none():
    first = np.array([[10, 20, 0], [0, 0, 6]])
    second = np.array([[30, 90, 0], [0, 4, 8]])  # 90 m is out of range
    # Rows: 10, 20, 30 and 4, 6, 8.
    np.testing.assert_allclose(pixel_median_baseline([first, second]), [[20, 20, 20], [6, 4, 7]])


def test_pixel_median_takes_frames_of_other_sizes_at_the_same_fractions():
    large = np.full((4, 4), 10.0)
    large[2:, 2:] = 20
    np.testing.assert_allclose(pixel_median_baseline([np.full((2, 2), 10.0), large]), [[10, 10], [10, 20]])


@pytest.mark.parametrize("protocol", ["cc", "monodepth2"])
def test_a_scene_that_is_a_row_profile_is_explained_by_it_and_not_by_a_constant(protocol):
    gt = np.linspace(60, 5, 50)[:, None] * np.ones((1, 80))
    profile = row_profile_baseline([gt])
    assert profile.shape == (50, 1)
    assert depth_metrics(gt, profile, protocol=protocol)["abs_rel"] == pytest.approx(0, abs=1e-9)
    assert depth_metrics(gt, constant_depth_baseline(), protocol=protocol)["abs_rel"] > 0.2


def test_on_real_frames_the_row_profile_beats_the_constant(golden):
    gts = [golden[f"{frame}/gt"] for frame in GOLDEN_FRAMES]
    scores = [
        np.mean([depth_metrics(gt, baseline, protocol="monodepth2")["abs_rel"] for gt in gts])
        for baseline in (row_profile_baseline(gts), constant_depth_baseline())
    ]
    assert 0.2 < scores[0] < scores[1] < 0.5


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gt", "pred", "options", "message"),
    [
        (np.zeros((4, 4)), np.ones((4, 4)), {}, "no value between 0.001 and 80.0 m"),
        (np.ones((4, 4, 1)), np.ones((4, 4)), {}, r"ground truth depth has shape \(4, 4, 1\)"),
        (np.ones((4, 4)), np.ones(4), {}, r"predicted depth has shape \(4,\)"),
        (np.ones((4, 4)), np.zeros((4, 4)), {}, "not above 0"),
        (np.ones((4, 4)), np.full((4, 4), np.nan), {}, "not finite"),
        (np.ones((4, 4)), np.ones((4, 4)), {"protocol": "eigen"}, "expected 'cc' or 'monodepth2'"),
        (np.ones((4, 4)), np.ones((4, 4)), {"crop": "eigen"}, "expected 'garg' or None"),
        (np.ones((4, 4)), np.ones((4, 4)), {"min_depth": 0}, "expected 0 < min_depth < max_depth"),
    ],
)
def test_mistakes_are_told(gt, pred, options, message):
    with pytest.raises(UserError, match=message):
        depth_metrics(gt, pred, **options)


def test_nothing_to_average_or_to_fit_is_told():
    with pytest.raises(UserError, match="0 images"):
        average_depth_metrics([])
    with pytest.raises(UserError, match="no ground truth"):
        row_profile_baseline([np.zeros((4, 4))])
    with pytest.raises(UserError, match="no ground truth"):
        row_profile_baseline([])
    with pytest.raises(UserError, match="no ground truth"):
        pixel_median_baseline([np.zeros((4, 4))])


def test_evaluation_imports_without_the_learning_frameworks():
    code = "import sys, dopi_jax.evaluation; print({'jax', 'flax', 'tensorflow'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
