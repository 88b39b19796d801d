"""Pictures: what a colour or a place in them stands for."""

import numpy as np
import pytest

from dopi_jax import visualization
from dopi_jax.data.images import network_input


def brightness(colours):
    return np.asarray(colours, np.float64) @ [0.299, 0.587, 0.114]


def test_near_is_bright_and_far_is_dark():
    disparity = np.linspace(0.1, 2, 200)[None]
    colours = visualization.depth_colours(disparity, low=0.1, high=2)
    assert colours.dtype == np.uint8 and colours.shape == (1, 200, 3)
    assert (np.diff(brightness(colours[0])) > -1).all()  # rising, but for rounding
    np.testing.assert_array_equal(colours[0, [0, -1]], [[0, 0, 4], [252, 253, 191]])
    np.testing.assert_array_equal(visualization.depth_colours(np.array([[1.05]]), 0.1, 2)[0, 0], [181, 54, 122])


def test_beyond_the_range_is_as_at_its_ends():
    colours = visualization.depth_colours(np.array([[-1.0, 0.5, 9.0]]), low=0.5, high=1)
    np.testing.assert_array_equal(colours[0], [[0, 0, 4], [0, 0, 4], [252, 253, 191]])


def test_the_range_is_that_of_the_image_without_its_extremes():
    """One pixel at the horizon or on a lens flare must not darken everything else."""
    disparity = np.linspace(1, 2, 1000).reshape(20, 50)
    disparity[0, 0] = 1000
    colours = visualization.depth_colours(disparity)
    assert brightness(colours).mean() > 80
    np.testing.assert_array_equal(colours, visualization.depth_colours(7 * disparity))


def test_constant_disparity_is_one_colour():
    colours = visualization.depth_colours(np.full((4, 5), 0.3))
    assert (colours == colours[0, 0]).all()


def test_images_come_back_from_the_networks_range():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(visualization.image_colours(network_input(pixels)), pixels)
    np.testing.assert_array_equal(visualization.image_colours(np.array([[[-1.5, 0, 1.5]]]))[0, 0], [0, 128, 255])


def test_what_a_mask_excludes_is_red():
    image = np.full((2, 2, 3), 100, np.uint8)
    overlay = visualization.mask_overlay(image, np.array([[True, False], [True, True]]))
    np.testing.assert_array_equal(overlay[[0, 1, 1], [0, 0, 1]], [[100] * 3] * 3)
    np.testing.assert_array_equal(overlay[0, 1], [160, 58, 58])


def test_panels_lie_in_rows_on_white():
    dark, grey = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 90, np.uint8)
    canvas = visualization.stack_panels([[dark, grey], [grey]], gap=1)
    expected = np.array(
        [
            [0, 0, 0, 255, 90, 90, 90],
            [0, 0, 0, 255, 90, 90, 90],
            [255] * 7,
            [90, 90, 90, 255, 255, 255, 255],
            [90, 90, 90, 255, 255, 255, 255],
        ]
    )
    np.testing.assert_array_equal(canvas, np.broadcast_to(expected[..., None], (5, 7, 3)))


def test_a_snippet_panel_shows_target_depth_sources_and_masks():
    height, width = 4, 6
    target = np.full((height, width, 3), -1.0)
    warped = np.stack([np.zeros((height, width, 3)), np.ones((height, width, 3))])
    visible = np.ones((2, height, width), bool)
    visible[1] = False
    kept = np.zeros((2, height, width), bool)
    disparity = np.linspace(0.1, 1, height * width).reshape(height, width)
    panel = visualization.snippet_panel(
        {"target": target, "warped": warped, "disparity": disparity, "visible": visible, "kept": kept}
    )
    assert panel.shape == (3 * height + 8, 3 * width + 8, 3)
    top, left = (np.arange(3) * (size + 4) for size in (height, width))
    at = panel[top[:, None], left]  # the first pixel of every picture
    np.testing.assert_array_equal(at[0], [[0, 0, 0], [0, 0, 4], [255, 255, 255]])
    np.testing.assert_array_equal(at[1], [[128, 128, 128], [0, 0, 0], [120, 18, 18]])
    np.testing.assert_array_equal(at[2], [[255, 255, 255], [120, 18, 18], [120, 18, 18]])


def pixels_of(plot, colour):
    rows, columns = np.nonzero((plot[40:] == colour).all(-1))  # below the legend
    return rows + 40, columns


def test_a_trajectory_is_seen_from_above():
    """10 m ahead, then 10 m to the right: up and then right in the picture; y, which points down, does not matter."""
    path = np.array([[0, 0, 0], [0, 1, 10], [10, -5, 10.0]])
    plot = visualization.trajectory_plot({"path": path}, size=300)
    assert plot.shape == (300, 300, 3) and plot.dtype == np.uint8
    rows, columns = pixels_of(plot, (0, 0, 0))
    assert rows.max() - rows.min() == pytest.approx(220, abs=8)
    assert columns.max() - columns.min() == pytest.approx(220, abs=8)
    assert abs(columns[rows.argmax()] - 40) <= 5, "starts at the bottom left"
    assert abs(rows[columns.argmax()] - 40) <= 5, "ends at the top right"


def test_trajectories_share_one_scale_and_keep_their_shape():
    """The second is half as long, and both are straight on: one above the other, in the middle of the picture."""
    ahead = np.stack([np.zeros(5), np.zeros(5), np.linspace(0, 40, 5)], axis=1)
    plot = visualization.trajectory_plot({"long": ahead, "short": ahead / 2}, size=400)
    long_rows, long_columns = pixels_of(plot, (0, 0, 0))
    short_rows, short_columns = pixels_of(plot, (220, 20, 60))
    assert np.median(long_columns) == pytest.approx(200, abs=2)
    assert np.median(short_columns) == pytest.approx(200, abs=2)
    assert long_rows.min() == pytest.approx(40, abs=6)
    assert short_rows.min() == pytest.approx(200, abs=6)


def test_a_trajectory_that_stands_still_is_a_dot():
    plot = visualization.trajectory_plot({"parked": np.ones((4, 3))}, size=200)
    rows, columns = pixels_of(plot, (0, 0, 0))
    assert len(rows) > 0
    assert np.ptp(rows) <= 10 and np.ptp(columns) <= 10


def test_depth_errors_are_blue_up_to_a_quarter_and_orange_beyond_whatever_the_unit():
    gt = np.array([[10.0, 10.0, 10.0, 10.0, 10.0, 0.0]])
    pred = np.array([[1.0, 1.0, 1.0, 0.81, 1.3, 1.0]])
    colours = visualization.depth_error_map(gt, pred)[0].astype(int)
    red, _, blue = colours.T
    assert (blue > red).tolist() == [True, True, True, True, False, False]
    np.testing.assert_array_equal(colours[5], 0)
    np.testing.assert_array_equal(colours[0], visualization.depth_error_map(10 * gt, pred)[0, 0])
    assert not visualization.depth_error_map(np.zeros((2, 2)), np.ones((2, 2))).any()


# --- Values that are not numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_one_odd_disparity_changes_its_own_pixel_alone(odd):
    disparity = np.linspace(0.1, 1, 600).reshape(20, 30)
    marred = disparity.copy()
    marred[7, 9] = odd
    before, after = visualization.depth_colours(disparity), visualization.depth_colours(marred)
    elsewhere = np.ones((20, 30), bool)
    elsewhere[7, 9] = False
    assert np.abs(after.astype(int) - before)[elsewhere].max() <= 3  # the percentiles are of 599 values, not 600
    np.testing.assert_array_equal(after[7, 9], [252, 253, 191] if odd == np.inf else [0, 0, 4 * (odd == -np.inf)])
    assert not visualization.depth_colours(np.full((2, 3), np.nan)).any()


def test_flow_that_is_not_finite_is_black_and_leaves_the_rest():
    flow = np.tile([3.0, 0.0], (5, 6, 1))
    marred = flow.copy()
    marred[1, 2, 1], marred[3, 3, 0] = np.nan, np.inf
    colours = visualization.flow_colours(marred)
    assert not colours[[1, 3], [2, 3]].any()
    np.testing.assert_array_equal(colours[0], visualization.flow_colours(flow)[0])


def test_a_depth_that_is_nan_leaves_the_rest_of_the_error_map():
    gt = np.full((4, 5), 10.0)
    pred = np.full((4, 5), 2.0)
    pred[0, 0] = np.nan
    picture = visualization.depth_error_map(gt, pred)
    assert not picture[0, 0].any()
    np.testing.assert_array_equal(picture[1:], visualization.depth_error_map(gt, np.full((4, 5), 2.0))[1:])


def test_positions_that_are_not_finite_are_left_out_of_the_plot():
    path = np.array([[0, 0, 0], [0, 0, 10.0], [np.nan, 0, 5], [10, 0, 10.0]])
    want = visualization.trajectory_plot({"camera": path[[0, 1, 3]]}, size=200)
    np.testing.assert_array_equal(visualization.trajectory_plot({"camera": path}, size=200), want)
