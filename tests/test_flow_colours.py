import numpy as np
import pytest

from dopi_jax.visualization import flow_colours, flow_error_map


@pytest.mark.parametrize(
    ("flow", "colour"),
    [
        ((0, 0), (255, 255, 255)),
        ((8, 0), (255, 0, 0)),  # right: red
        ((4, 0), (255, 127, 127)),
        ((0, 8), (255, 229, 0)),  # down: 9 tenths of the way from red to yellow
        ((-8, 0), (0, 208, 255)),  # left: 2 elevenths of the way from cyan to blue
        ((0, -8), (88, 0, 255)),  # up: 4.5 thirteenths of the way from blue to magenta
        ((80, 0), (191, 0, 0)),  # beyond the longest: darker
    ],
)
def test_colours_of_the_middlebury_wheel(flow, colour):
    np.testing.assert_array_equal(flow_colours(np.array([[flow]]), longest=8)[0, 0], colour)


def test_a_turning_flow_changes_colour_gradually():
    angle = np.linspace(0, 2 * np.pi, 721)
    colours = flow_colours(np.stack([np.cos(angle), np.sin(angle)], -1)[None], longest=1.01)[0].astype(int)
    steps = np.abs(np.diff(colours, axis=0)).max(-1)
    assert np.sum(steps > 10) <= 1  # the seam of the original program, between magenta and red
    assert steps.max() < 60


def test_lengths_are_relative_to_the_longest_valid_one():
    flow = np.array([[[1.0, 0.0], [2.0, 0.0], [np.nan, 1e9]]])
    colours = flow_colours(flow, valid=np.array([[True, True, False]]))
    np.testing.assert_array_equal(colours[0, 2], 0)
    np.testing.assert_allclose(colours[0, 0].astype(int), [255, 127, 127], atol=3)
    assert np.all(flow_colours(flow, valid=np.zeros((1, 3))) == 0)
    assert np.all(flow_colours(np.zeros((2, 2, 2))) == 255)


def test_error_colours_change_from_blue_to_orange_where_a_pixel_becomes_wrong():
    gt = np.zeros((1, 8, 2))
    gt[0, 4:, 0] = 200  # tolerates 10 px
    pred = gt.copy()
    pred[0, :, 1] = [0, 1.4, 3, 3.1, 3.1, 10, 10.1, 0]
    valid = np.array([[True] * 7 + [False]])
    red, _, blue = np.moveaxis(flow_error_map(gt, pred, valid)[0].astype(int), -1, 0)
    assert (blue > red).tolist() == [True, True, True, False, True, True, False, False]
    np.testing.assert_array_equal(flow_error_map(gt, pred, valid)[0, 7], 0)


def test_each_doubling_of_the_error_changes_the_colour():
    pred = np.zeros((1, 10, 2))
    pred[0, :, 0] = 2.9 * 2.0 ** np.arange(-4, 6)
    colours = flow_error_map(np.zeros((1, 10, 2)), pred, np.ones((1, 10), bool))[0]
    assert len(np.unique(colours, axis=0)) == 10
