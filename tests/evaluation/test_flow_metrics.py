import numpy as np
import pytest

from dopi_jax.errors import UserError
from dopi_jax.evaluation import (
    FLOW_REGIONS,
    average_flow_metrics,
    composite_flow,
    flow_metrics,
    flow_region_table,
    flow_regions,
    flow_table,
    regional_flow_metrics,
    resize_flow,
    zero_flow_baseline,
)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "evaluation.npz")


def image(epe, fl, pixels):
    return {"epe": epe, "fl": fl, "pixels": pixels}


# --- Worked examples ------------------------------------------------------------------------------------------------


def test_metrics_by_hand():
    gt = np.zeros((1, 4, 2))
    pred = np.array([[[3, 4], [0, -1], [0, 0], [100, 100]]])
    # Errors 5, 1 and 0 px; the last pixel is not valid.
    got = flow_metrics(gt, pred, np.array([[True, True, True, False]]))
    assert got == pytest.approx({"epe": 2, "fl": 1 / 3, "pixels": 3})


@pytest.mark.parametrize(
    ("length", "error", "wrong"),
    [
        (0, 3, False),  # 3 px is not above 3 px
        (0, 3.02, True),
        (60, 3, False),
        (60, 3.02, True),
        (100, 5, False),  # 5 px is not above 5 % of 100 px
        (100, 5.02, True),
        (100, 4, False),
        (-100, 4, False),
    ],
)
def test_a_pixel_is_wrong_above_3_px_and_above_5_percent(length, error, wrong):
    gt = np.array([[[length, 0.0]]])
    assert flow_metrics(gt, gt + np.array([0, error]), np.ones((1, 1)))["fl"] == wrong


def test_regions_split_the_valid_pixels():
    valid = np.array([[True, True, True, False]])
    stays = np.array([[True, False, True, False]])
    moving = np.array([[True, True, False, True]])
    regions = flow_regions(valid, stays, moving)
    assert {name: mask[0].astype(int).tolist() for name, mask in regions.items()} == {
        "all": [1, 1, 1, 0], "noc": [1, 0, 1, 0], "occ": [0, 1, 0, 0], "moving": [1, 1, 0, 0], "static": [0, 0, 1, 0]
    }  # fmt: skip
    assert tuple(regions) == FLOW_REGIONS
    assert list(flow_regions(valid, stays)) == ["all", "noc", "occ"]


def test_a_region_without_pixels_is_left_out():
    valid = np.array([[True, False]])
    got = regional_flow_metrics(np.zeros((1, 2, 2)), np.ones((1, 2, 2)), flow_regions(valid, valid))
    assert list(got) == ["all", "noc"]
    assert got["noc"] == pytest.approx({"epe": 2**0.5, "fl": 0, "pixels": 1})


def test_averages_over_images_and_over_pixels():
    images = [
        {"all": image(2.0, 0.5, 10), "noc": image(1.0, 0.25, 8), "occ": image(6.0, 1.0, 2)},
        {"all": image(5.0, 0.0, 30), "noc": image(5.0, 0.0, 30)},
    ]
    got = average_flow_metrics(images)
    assert list(got) == ["all", "noc", "occ"]
    assert got["all"] == pytest.approx(
        {"epe": 3.5, "fl": 0.25, "epe_pooled": (20 + 150) / 40, "fl_pooled": 5 / 40, "images": 2, "pixels": 40}
    )
    assert got["occ"] == pytest.approx({"epe": 6, "fl": 1, "epe_pooled": 6, "fl_pooled": 1, "images": 1, "pixels": 2})


def test_resizing_keeps_the_corners_and_scales_each_component_by_its_axis():
    flow = np.array([[[1.0, 1.0], [3.0, 2.0]]])  # 1 x 2
    got = resize_flow(flow, (3, 5))
    np.testing.assert_allclose(got[..., 0], np.tile([1, 1.5, 2, 2.5, 3], (3, 1)) * 5 / 2)
    np.testing.assert_allclose(got[..., 1], np.tile([1, 1.25, 1.5, 1.75, 2], (3, 1)) * 3)


@pytest.mark.parametrize("shape", [(375, 1242), (370, 1224), (374, 1238), (376, 1241), (128, 416)])
def test_a_linear_flow_stays_linear_at_kittis_sizes(shape):
    y, x = np.mgrid[:128, :416] / np.array([127, 415]).reshape(2, 1, 1)
    Y, X = np.mgrid[: shape[0], : shape[1]] / (np.array(shape) - 1.0).reshape(2, 1, 1)
    got = resize_flow(np.stack([4 + x + 2 * y, 3 * x - y], -1), shape)
    want = np.stack([(4 + X + 2 * Y) * shape[1] / 416, (3 * X - Y) * shape[0] / 128], -1)
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_composite_takes_the_rigid_flow_of_hidden_pixels():
    flow, rigid = np.full((1, 2, 2), 1.0), np.full((1, 2, 2), 7.0)
    np.testing.assert_array_equal(composite_flow(flow, rigid, np.array([[True, False]])), [[[1, 1], [7, 7]]])


# --- Properties -----------------------------------------------------------------------------------------------------


def test_the_truth_itself_is_perfect_and_no_motion_is_off_by_the_length():
    gt = np.random.default_rng(0).normal(scale=30, size=(20, 30, 2))
    valid = np.ones((20, 30), bool)
    assert flow_metrics(gt, gt, valid) == {"epe": 0, "fl": 0, "pixels": 600}
    still = flow_metrics(gt, zero_flow_baseline((20, 30)), valid)
    assert still["epe"] == pytest.approx(np.mean(np.hypot(gt[..., 0], gt[..., 1])))


def test_pooling_equals_one_evaluation_of_all_pixels():
    rng = np.random.default_rng(3)
    gt, pred = rng.normal(scale=5, size=(2, 2, 10, 12, 2))
    valid = rng.random((2, 10, 12)) < np.array([0.9, 0.2])[:, None, None]
    together = flow_metrics(gt.reshape(20, 12, 2), pred.reshape(20, 12, 2), valid.reshape(20, 12))
    pooled = average_flow_metrics([{"all": flow_metrics(*one)} for one in zip(gt, pred, valid, strict=True)])["all"]
    assert (pooled["epe_pooled"], pooled["fl_pooled"]) == pytest.approx((together["epe"], together["fl"]))


def test_only_valid_pixels_count():
    gt, pred = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    gt[0, 0], pred[1, 1] = np.nan, np.inf
    assert flow_metrics(gt, pred, ~np.eye(2, dtype=bool)) == {"epe": 0, "fl": 0, "pixels": 2}


# --- References -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "gt", "pred", "valid"),
    [
        ("occ", "gt_occ_x64", "pred_x64", "valid_occ"),
        ("noc", "gt_occ_x64", "pred_x64", "valid_noc"),
        ("large", "large_gt_x64", "large_pred_x64", "valid_occ"),
    ],
)
def test_reference_values_on_a_real_pair(golden, case, gt, pred, valid):
    got = flow_metrics(golden[f"flow/{gt}"] / 64, golden[f"flow/{pred}"] / 64, golden[f"flow/{valid}"])
    assert got["epe"] == pytest.approx(float(golden[f"flow/{case}_epe"]), rel=1e-5)
    wrong = float(golden[f"flow/{case}_fl"]) * golden[f"flow/{valid}"].sum()
    assert round(wrong) == pytest.approx(wrong, abs=1e-6)
    assert got["fl"] * got["pixels"] == pytest.approx(round(wrong), abs=1e-6)


# --- Tables ---------------------------------------------------------------------------------------------------------


def row_of(table, label):
    (line,) = [line for line in table.splitlines() if line.startswith(label)]
    return line.removeprefix(label).split()


AVERAGES = average_flow_metrics([{"all": image(7.0, 0.25, 100), "occ": image(9.0, 0.5, 10)}, {"all": image(8.0, 0.26, 300)}])


def test_flow_table_shows_ours_beside_the_papers_and_says_how_much_was_evaluated():
    table = flow_table({"dopi_jax, flow network": AVERAGES}, 1, 200, {"no motion": AVERAGES})
    assert "1 of 200" in table.splitlines()[0]
    assert "not comparable" in table
    assert row_of(table, "The paper") == ["6.66", "23.04", "22.36*"]
    assert row_of(table, "UnFlow-C [28]") == ["8.80", "28.94", "29.46"]
    assert row_of(table, "GeoNet [21]") == ["10.81", "-", "-"]
    assert row_of(table, "Basic + Occ + LTM + Cons") == ["6.66", "23.04"]
    assert row_of(table, "no motion") == row_of(table, "dopi_jax, flow network") == ["7.50", "25.50"]
    assert "comparable" not in flow_table({"dopi_jax": AVERAGES}, 200, 200)


def test_region_table_has_both_averages():
    table = flow_region_table({"dopi_jax": AVERAGES})
    assert row_of(table, "dopi_jax  all") == ["7.50", "25.50", "7.75", "25.75", "2", "400"]
    assert row_of(table, "dopi_jax  occ") == ["9.00", "50.00", "9.00", "50.00", "1", "10"]


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gt", "pred", "valid", "message"),
    [
        ((2, 3, 2), (2, 4, 2), np.ones((2, 3)), r"true flow is \(2, 3\), predicted flow \(2, 4\)"),
        ((2, 3, 2), (2, 3, 2), np.ones((3, 2)), r"the valid pixels \(3, 2\): expected one size"),
        ((2, 3, 2), (2, 3, 3), np.ones((2, 3)), r"predicted flow has shape \(2, 3, 3\)"),
        ((2, 3, 2), (2, 3, 2), np.zeros((2, 3)), "flow has no valid pixel"),
    ],
)
def test_mistakes_are_told(gt, pred, valid, message):
    with pytest.raises(UserError, match=message):
        flow_metrics(np.zeros(gt), np.zeros(pred), valid)


def test_flow_that_is_not_finite_and_nothing_to_average_are_told():
    with pytest.raises(UserError, match="not finite"):
        flow_metrics(np.zeros((1, 1, 2)), np.full((1, 1, 2), np.nan), np.ones((1, 1)))
    with pytest.raises(UserError, match="flow evaluation has 0 images"):
        average_flow_metrics([])
