"""Figures of images: reconstructions and predictions; tests check their contents, not their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import same_color
from support.figures import NAN, drawn

from nnx import reports
from nnx.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")

# --- reconstructions


def test_reconstructions_show_pairs_with_their_errors(labelled_images):
    x, y, shape = labelled_images
    noisy = np.clip(x + 0.1, 0, 1)
    figure = drawn(reports.reconstructions(x, noisy, shape, labels=y))
    assert len(figure.axes) == 20
    upper, lower = figure.axes[0::2], figure.axes[1::2]
    for index in range(10):
        (above,), (below,) = upper[index].get_images(), lower[index].get_images()
        np.testing.assert_allclose(above.get_array(), x[index].reshape(shape))
        np.testing.assert_allclose(below.get_array(), noisy[index].reshape(shape))
        assert above.get_clim() == below.get_clim() == (0, 1)
        assert upper[index].get_title() == str(y[index])
        expected = np.mean((x[index].astype(float) - noisy[index]) ** 2)
        assert lower[index].get_xlabel() == f"{expected:.4f}"
    assert (upper[0].get_ylabel(), lower[0].get_ylabel()) == ("original", "reconstruction")
    assert upper[1].get_ylabel() == ""


@pytest.mark.parametrize(("count", "images"), [(1, 1), (12, 12), (1000, 15)])
def test_reconstructions_count(count, images):
    x = np.zeros((15, 4, 6))
    figure = drawn(reports.reconstructions(x, x.reshape(15, 24), (4, 6), count=count))
    assert len(figure.axes) == 2 * images
    left = [axes for axes in figure.axes if axes.get_ylabel() == "original"]
    assert len(left) == -(-images // 10)  # every block of ten has its labelled rows


def test_errors_are_those_of_values_outside_the_drawn_range():
    figure = drawn(reports.reconstructions(np.zeros((1, 4)), np.full((1, 4), 3.0), (2, 2)))
    assert figure.axes[1].get_xlabel() == "9.0000"


@pytest.mark.parametrize(
    ("original", "reconstructed", "options", "message"),
    [
        (np.zeros((3, 5)), np.zeros((3, 5)), {}, r"\(3, 5\).*\(2, 2\)"),
        (np.zeros((3, 4)), np.zeros((2, 4)), {}, r"\(2, 2, 2\).*\(3, 2, 2\)"),
        (np.zeros((0, 4)), np.zeros((0, 4)), {}, r"empty, .*\(0, 4\)"),
        (np.zeros(4), np.zeros(4), {}, r"shape \(4,\)"),
        (np.full((1, 4), 255, np.uint8), np.zeros((1, 4)), {}, "255, .*0..1"),
        (np.full((1, 4), NAN), np.zeros((1, 4)), {}, "originals .*NaN"),
        (np.zeros((1, 4)), np.full((1, 4), NAN), {}, "reconstructed .*NaN"),
        (np.full((1, 4), "a"), np.zeros((1, 4)), {}, "dtype"),
        ([[1.0, 0.0, 0.0, 0.0], [1.0]], np.zeros((1, 4)), {}, "originals .*NumPy array"),
        (np.zeros((3, 4)), np.zeros((3, 4)), {"labels": [1, 2]}, r"\(2,\).*\(3, 2, 2\)"),
    ],
)
def test_reconstructions_refuse(original, reconstructed, options, message):
    with pytest.raises(DataError, match=message):
        reports.reconstructions(original, reconstructed, (2, 2), **options)


@pytest.mark.parametrize(("shape", "count"), [((2, 2), 0), ((2, 2), 1.5), ((2, 2), True), ((4,), 1)])
def test_senseless_options_are_refused(shape, count):
    with pytest.raises(ConfigurationError):
        reports.reconstructions(np.zeros((1, 4)), np.zeros((1, 4)), shape, count=count)


# --- prediction_gallery


def _red(axes):
    return all(same_color(spine.get_edgecolor(), "#bd1f01") for spine in axes.spines.values())


def test_gallery_frames_and_names_mistakes(labelled_images):
    x, y, shape = labelled_images
    guess = y.astype(int)
    guess[::20] = (guess[::20] + 1) % 10  # 25 mistakes among 500
    figure = drawn(reports.prediction_gallery(x, y, guess, shape))
    assert len(figure.axes) == 40
    marked = [axes for axes in figure.axes if _red(axes)]
    assert marked == figure.axes[:10]  # a quarter, first
    shown = [(20 * (place * 25 // 10)) for place in range(10)]
    for axes, index in zip(marked, shown, strict=True):
        assert axes.get_xlabel() == f"{y[index]}→{guess[index]}"
        np.testing.assert_allclose(axes.get_images()[0].get_array(), x[index].reshape(shape))
    assert all("→" not in axes.get_xlabel() for axes in figure.axes[10:])
    title = "475 of 500 right (95.00%)\n10 of the 25 mistakes shown, framed: true→predicted"
    assert figure.get_suptitle() == title


@pytest.mark.parametrize(
    ("wrong", "total", "count", "mistakes", "images"),
    [(0, 7, 40, 0, 7), (7, 7, 40, 7, 7), (2, 100, 40, 2, 40), (98, 100, 40, 38, 40), (5, 9, 1, 1, 1)],
)
def test_gallery_shares(wrong, total, count, mistakes, images):
    truth = np.zeros(total, int)
    guess = np.where(np.arange(total) < wrong, 1, 0)
    figure = drawn(reports.prediction_gallery(np.zeros((total, 4)), truth, guess, (2, 2), count=count))
    assert len(figure.axes) == images
    assert sum(map(_red, figure.axes)) == mistakes
    assert sum(axes.get_xlabel() == "0→1" for axes in figure.axes) == mistakes
    assert ("mistakes" in figure.get_suptitle()) == (wrong > 0)


def test_gallery_is_deterministic_and_never_repeats_an_image():
    stack = np.arange(64.0)[:, None] / 64 * np.ones(4)
    guess = np.arange(64) % 3 == 0

    def values():
        figure = reports.prediction_gallery(stack, np.zeros(64, bool), guess, (2, 2), count=50)
        return [float(axes.get_images()[0].get_array()[0, 0]) for axes in figure.axes]

    assert values() == values()
    assert len(set(values())) == 50


@pytest.mark.parametrize(
    ("truth", "guess", "message"),
    [
        ([1, 2], [1, 2, 3], r"y_true .*\(2,\).*\(3, 2, 2\)"),
        ([1, 2, 3], [[1], [2], [3]], r"y_pred .*\(3, 1\)"),
        ([1, 2, 3], ["1", "2", "3"], "y_pred has dtype <U1.* int64"),
    ],
)
def test_gallery_refuses(truth, guess, message):
    with pytest.raises(DataError, match=message):
        reports.prediction_gallery(np.zeros((3, 4)), truth, guess, (2, 2))


def test_a_grid_has_all_images_in_their_order():
    images = np.linspace(0.0, 1.0, 7 * 12).reshape(7, 12)
    figure = reports.image_grid(images, (3, 4), columns=5, title="seven")
    assert [axes.images[0].get_array().shape for axes in figure.axes] == [(3, 4)] * 7
    np.testing.assert_allclose(figure.axes[6].images[0].get_array(), images[6].reshape(3, 4))
    with pytest.raises(DataError, match="images"):
        reports.image_grid(images, (3, 5), title="wrong")
