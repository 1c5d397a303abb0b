"""Figures of filters and activation maps; tests check their contents, not their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from support.figures import NAN, drawn

from nnx import reports
from nnx.errors import ConfigurationError, DataError
from nnx.reports.filters import filter_tiles, mosaic, scaled_maps

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")


def pictures(figure):
    return [axes.get_images()[0] for axes in figure.axes]


def test_all_filters_have_the_same_scale_with_0_in_the_middle():
    W = np.random.default_rng(0).normal(size=(3, 2, 1, 11))
    shown = pictures(drawn(reports.filters(W, title="first layer")))
    assert len(shown) == 11
    for place, picture in enumerate(shown):
        assert picture.get_clim() == (-1, 1)
        np.testing.assert_allclose(picture.get_array(), W[:, :, 0, place] / np.abs(W).max())


def test_filters_of_three_channels_are_drawn_in_colours_and_grey_is_0():
    W = np.zeros((2, 2, 3, 1))
    W[0, 0, 0, 0] = -4.0
    W[1, 1, 2, 0] = 4.0
    (picture,) = pictures(drawn(reports.filters(W)))
    colours = np.full((2, 2, 3), 0.5)
    colours[0, 0, 0], colours[1, 1, 2] = 0.0, 1.0
    np.testing.assert_allclose(picture.get_array(), colours)


def test_filters_of_other_numbers_of_channels_are_means_over_them():
    W = np.random.default_rng(0).normal(size=(3, 3, 5, 4))
    means = W.mean(axis=2)
    np.testing.assert_allclose(filter_tiles(W), np.moveaxis(means, 2, 0) / np.abs(means).max())


def test_filters_that_are_all_0_are_drawn():
    assert filter_tiles(np.zeros((3, 3, 1, 2))).tolist() == np.zeros((2, 3, 3)).tolist()
    drawn(reports.filters(np.zeros((3, 3, 1, 2))))


def test_filters_count():
    assert len(reports.filters(np.zeros((3, 3, 1, 100))).axes) == 64
    assert len(reports.filters(np.zeros((3, 3, 1, 100)), count=5).axes) == 5


def test_activation_maps_show_the_image_then_the_channels_of_each_layer():
    rng = np.random.default_rng(0)
    image = rng.random((6, 6, 1))
    first, second = rng.random((6, 6, 3)), rng.normal(size=(3, 3, 20))
    figure = drawn(reports.activation_maps(image, {"conv2d_1": first, "conv2d_2": second}, count=16))
    shown = pictures(figure)
    assert len(shown) == 1 + 3 + 16
    np.testing.assert_allclose(shown[0].get_array(), image[..., 0])
    np.testing.assert_allclose(shown[2].get_array(), first[..., 1])
    assert {one.get_clim() for one in shown[1:4]} == {(0.0, first.max())}
    assert {one.get_clim() for one in shown[4:]} == {(second[..., :16].min(), second[..., :16].max())}
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["conv2d_1", "conv2d_2"]


def test_activation_maps_of_a_colour_image():
    image = np.random.default_rng(0).random((4, 4, 3))
    shown = pictures(drawn(reports.activation_maps(image, {"conv2d_1": np.zeros((4, 4, 2))})))
    np.testing.assert_allclose(shown[0].get_array(), image)


def test_maps_in_a_page_are_from_0_to_1_by_one_scale():
    maps = np.array([[[0.0, 2.0]], [[1.0, 4.0]]])
    np.testing.assert_allclose(scaled_maps(maps), maps / 4.0)
    assert scaled_maps(np.zeros((2, 1, 1))).max() == 0.0
    assert scaled_maps(-maps).min() == 0.0


@pytest.mark.parametrize(
    ("shape", "side"), [((3, 4, 9), 9), ((2, 5, 5), 12), ((9, 2, 3), 7)], ids=["wide", "small", "two lines"]
)
def test_nothing_beside_the_maps_in_a_page_looks_like_a_strong_activation(shape, side):
    """Wide maps, small ones, and a line that is not full: all that shows are thin lines."""
    channels, height, width = shape
    times = side // max(height, width)
    drawn_ = mosaic([np.full(shape, 0.5)], side)
    assert (drawn_ == 0.5).sum() == channels * height * width * times**2
    lines = channels * (times * (height + width) + 1)  # below and on the right of each map
    assert (drawn_ == 1.0).sum() == lines
    assert set(np.unique(drawn_)) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (np.zeros((3, 3, 4)), r"\(3, 3, 4\).*height, width, channels, filters"),
        (np.zeros((3, 3, 0, 4)), "empty"),
        (np.full((3, 3, 1, 4), NAN), "NaN"),
    ],
)
def test_filters_refuse(W, message):
    with pytest.raises(DataError, match=message):
        reports.filters(W)


@pytest.mark.parametrize(
    ("image", "maps", "message"),
    [
        (np.zeros((4, 4, 2)), np.zeros((4, 4, 2)), "1 or 3 channels"),
        (np.full((4, 4), 2.0), np.zeros((4, 4, 2)), "0..1"),
        (np.zeros((4, 4)), np.zeros((4, 4)), r"conv2d_1 has shape \(4, 4\)"),
        (np.zeros((4, 4)), np.full((4, 4, 1), NAN), "conv2d_1 has values"),
    ],
)
def test_activation_maps_refuse(image, maps, message):
    with pytest.raises(DataError, match=message):
        reports.activation_maps(image, {"conv2d_1": maps})


def test_maps_without_names_are_refused():
    with pytest.raises(DataError, match="maps must be a dict of the outputs by name"):
        reports.activation_maps(np.zeros((4, 4)), np.zeros((4, 4, 2)))


def test_a_count_must_be_positive():
    with pytest.raises(ConfigurationError, match="count"):
        reports.filters(np.zeros((3, 3, 1, 1)), count=0)
