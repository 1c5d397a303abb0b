"""Figures of codes, confusions and decisions; tests check their contents, not their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from support.figures import NAN, XOR, drawn, legend

from nnx import reports
from nnx.errors import DataError

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")

# --- code_map


def test_code_map_is_the_pca_of_the_codes(labelled_images):
    from sklearn.decomposition import PCA

    x, y, _ = labelled_images
    figure = drawn(reports.code_map(x, y, title="codes"))
    (axes,) = figure.axes
    (points,) = [item for item in axes.collections if isinstance(item, PathCollection)]
    pca = PCA(2, svd_solver="full").fit(x.astype(float))
    expected = pca.transform(x.astype(float))
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(points.get_offsets(), expected[order], atol=1e-9)
    assert legend(axes) == [str(digit) for digit in range(10)]
    assert f"{pca.explained_variance_ratio_[0]:.1%}" in axes.get_xlabel()
    assert f"{pca.explained_variance_ratio_[1]:.1%}" in axes.get_ylabel()
    assert {text.get_text() for text in axes.texts} == {str(digit) for digit in range(10)}
    colours = {tuple(colour) for colour in points.get_facecolor()}
    assert len(colours) == 10
    again = reports.code_map(x, y).axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(points.get_offsets(), again)


@pytest.mark.parametrize(
    ("codes", "labels"),
    [
        (np.ones((6, 3)), [0] * 6),  # a dead code: no variance
        (np.eye(3)[:2], ["a", "$b$"]),
        (np.random.default_rng(1).normal(size=(60, 3)), np.arange(60) % 15),
    ],
)
def test_code_map_of_unusual_codes_warns_of_nothing(codes, labels):
    axes = drawn(reports.code_map(codes, labels)).axes[0]
    assert len(legend(axes)) == len(set(np.asarray(labels).tolist()))
    assert "nan" not in axes.get_xlabel()


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (np.zeros((4, 3)), [1, 2], r"\(2,\).*\(4, 3\)"),
        (np.zeros((4, 1)), [1] * 4, r"\(4, 1\)"),
        (np.zeros(4), [1] * 4, r"\(4,\)"),
        (np.zeros((0, 3)), [], "empty"),
        (np.full((4, 3), NAN), [1] * 4, "12 values"),
    ],
)
def test_code_map_refuses(codes, labels, message):
    with pytest.raises(DataError, match=message):
        reports.code_map(codes, labels)


# --- confusion_matrix


def test_single_errors_stay_visible_in_the_confusion_matrix():
    matrix = np.diag([1000, 900, 800])
    matrix[0, 2] = 1
    (axes,) = drawn(reports.confusion_matrix(matrix, ["a", "b", "$c"])).axes
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), matrix)
    single, nothing = image.cmap(image.norm(1)), image.cmap(image.norm(0))
    assert image.norm(1) > 0.08
    assert max(abs(np.subtract(single, nothing))) > 0.05
    assert sorted(text.get_text() for text in axes.texts) == sorted(str(n) for n in matrix.ravel())
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", r"\$c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.figure.get_suptitle() == "2,700 of 2,701 right (99.96%)"


@pytest.mark.parametrize(
    ("matrix", "labels"),
    [([[5]], [3]), (np.zeros((2, 2), int), "ab"), ([[0.5, 0.5], [0.0, 1.0]], "ab"), (np.eye(30), range(30))],
)
def test_confusion_matrix_of_unusual_kinds_warns_of_nothing(matrix, labels):
    figure = drawn(reports.confusion_matrix(matrix, labels, title="t"))
    assert figure.get_suptitle() == "t"
    assert len(figure.axes[0].texts) == (len(labels) ** 2 if len(labels) <= 25 else 0)


@pytest.mark.parametrize(
    ("matrix", "labels", "message"),
    [
        (np.zeros((2, 3)), "ab", r"\(2, 3\)"),
        (np.zeros((2, 2)), "abc", r"length 3.*\(2, 2\)"),
        ([[-1]], "a", "minimum -1"),
        ([[NAN]], "a", "NaN"),
        (np.zeros((0, 0)), "", "empty"),
    ],
)
def test_confusion_matrix_refuses(matrix, labels, message):
    with pytest.raises(DataError, match=message):
        reports.confusion_matrix(matrix, labels)


# --- decision_surface


def _xor(points):
    assert points.dtype == np.float64
    return np.abs(points[:, :1] - points[:, 1:])


@pytest.mark.parametrize("targets", [[0, 1, 1, 0], [[0], [1], [1], [0]]])
def test_decision_surface_draws_predictions_and_points(targets):
    figure = drawn(reports.decision_surface(_xor, XOR, targets, title="XOR", resolution=50))
    axes, bar = figure.axes
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    xs, ys = np.linspace(left, right, 50), np.linspace(bottom, top, 50)
    np.testing.assert_allclose(image.get_array(), np.abs(xs[None, :] - ys[:, None]), atol=1e-12)
    assert image.origin == "lower"
    points = np.concatenate([c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)])
    assert sorted(points.tolist()) == XOR.tolist()
    assert legend(axes) == ["target 0", "target 1"]
    assert sorted(text.get_text() for text in axes.texts) == ["0.000", "0.000", "1.000", "1.000"]
    assert bar.get_ylabel() == "prediction"
    assert figure.get_suptitle() == "XOR"


@pytest.mark.parametrize("targets", [[1, 1, 1, 1], [-1, 1, 1, -1], [5, 5, 5, 5]])
def test_decision_surface_without_a_decision_warns_of_nothing(targets):
    figure = drawn(reports.decision_surface(lambda p: np.full(len(p), 0.2), XOR, targets, resolution=9))
    assert len(legend(figure.axes[0])) == len(set(targets))


def test_decision_surface_of_a_single_point():
    drawn(reports.decision_surface(lambda p: p[:, 0], [[3.0, 4.0]], [1], resolution=5))


@pytest.mark.parametrize(
    ("predict", "x", "y", "message"),
    [
        (_xor, XOR, [0, 1], r"y .*\(2,\).*\(4,\)"),
        (_xor, XOR, [0, 1, 2, 3], "y has 4 "),
        (_xor, XOR[:, :1], [0, 1, 1, 0], r"x .*\(4, 1\)"),
        (lambda p: p, XOR, [0, 1, 1, 0], r"predict\(grid\) .*\(25, 2\)"),
        (lambda p: p[:, 0] * NAN, XOR, [0, 1, 1, 0], "NaN"),
        (_xor, np.zeros((0, 2)), [], "empty"),
    ],
)
def test_decision_surface_refuses(predict, x, y, message):
    with pytest.raises(DataError, match=message):
        reports.decision_surface(predict, x, y, resolution=5)
