"""Figures are checked by what they hold: lines, titles, images, frames; never by their pixels."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import same_color

from nnx import reports
from nnx.errors import ConfigurationError, DataError, OutputError

MNIST = Path(os.environ.get("NNX_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data") / "mnist"
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
NAN, INF = float("nan"), float("inf")


def _mnist():
    images, labels = MNIST / "t10k-images-idx3-ubyte.gz", MNIST / "t10k-labels-idx1-ubyte.gz"
    if not (images.is_file() and labels.is_file()):
        pytest.skip(f"no MNIST test files in {MNIST}; set NNX_DATA_DIR to the folder above mnist/")
    x = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)[: 500 * 784]
    y = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)[:500]
    return x.reshape(500, 784).astype(np.float32) / np.float32(255), y, (28, 28)


def _digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:500] / 16.0, y[:500], (8, 8)


@pytest.fixture(params=["digits", pytest.param("mnist", marks=pytest.mark.mnist)])
def data(request):
    return _mnist() if request.param == "mnist" else _digits()


@pytest.fixture(autouse=True)
def _no_global_state():
    """No function may change matplotlib's settings or hand a figure to pyplot."""
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def drawn(figure):
    """Draw the whole figure, so that a warning given while drawing fails the test."""
    figure.canvas.draw()
    return figure


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# --- learning_curve


def test_training_and_validation_of_a_metric_share_axes():
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 2.0], "accuracy": [0.1, 0.5, 0.9]}
    figure = drawn(reports.learning_curve(history, title="run"))
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "run"
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    training, validation = loss.get_lines()
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(validation.get_ydata(), [4, 3, 2])
    assert legend(loss) == ["training, last 1", "validation, last 2"]
    assert training.get_linestyle() != validation.get_linestyle()  # not told apart by colour only
    assert len(accuracy.get_lines()) == 1
    assert legend(accuracy) == ["accuracy, last 0.9"]


def test_history_object_with_its_own_epochs():
    history = SimpleNamespace(metrics={"loss": [0.7, 0.4]}, epochs=[1000, 2000])
    (line,) = drawn(reports.learning_curve(history)).axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1000, 2000])


def test_history_object_without_epochs_counts_from_one():
    (line,) = reports.learning_curve(SimpleNamespace(metrics={"loss": [0.7, 0.4]})).axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2])


def test_missing_values_leave_gaps_and_are_counted():
    history = {"loss": [1.0, NAN, 3.0, INF], "val_loss": [None, 2.0, 1.0, 0.5]}
    axes = drawn(reports.learning_curve(history)).axes[0]
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [1, NAN, 3, NAN])
    assert legend(axes) == ["training (2 of 4 not finite)", "validation, last 0.5 (1 of 4 not finite)"]


def test_points_between_gaps_of_a_long_curve_are_marked():
    values = np.full(500, NAN)
    values[4::5] = 1.0  # validated every fifth epoch: no two neighbours, so no line at all
    axes = drawn(reports.learning_curve({"loss": np.ones(500), "val_loss": values})).axes[0]
    training, validation = axes.get_lines()
    assert training.get_markevery() == []
    assert validation.get_markevery() == list(range(4, 500, 5))


@pytest.mark.parametrize("log_scale", [False, True])
def test_history_of_nothing_but_nan_is_drawn_empty(log_scale):
    axes = drawn(reports.learning_curve({"loss": [NAN, NAN]}, log_scale=log_scale)).axes[0]
    assert legend(axes) == ["loss (2 of 2 not finite)"]
    assert axes.get_yscale() == "linear"


def test_log_scale_hides_no_value():
    history = {"loss": [1.0, 0.1], "accuracy": [0.1, 0.9], "penalty": [0.0, 1.0]}
    figure = drawn(reports.learning_curve(history, log_scale=True))
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "no metric"),
        ({"loss": []}, r"empty, of shape \(0,\)"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, r"'val_loss': shape \(1,\) .* of shape \(2,\)"),
        ({"loss": [[1.0], [2.0]]}, r"shape \(2, 1\)"),
        ({"loss": ["a"]}, "not a NumPy array of numbers"),
        ([1.0, 2.0], "list"),
        (SimpleNamespace(metrics={"loss": [1.0]}, epochs=[1, 2]), r"shape \(1,\) .* of shape \(2,\)"),
        (SimpleNamespace(metrics={"loss": [1.0]}, epochs=[NAN]), "epochs"),
    ],
)
def test_learning_curve_refuses(history, message):
    with pytest.raises(DataError, match=message):
        reports.learning_curve(history)


# --- compare_curves


def test_compare_curves_that_agree_stay_distinguishable():
    values = np.linspace(1.0, 0.1, 50)
    figure = drawn(
        reports.compare_curves(
            {"nnx": values, "Keras": values}, xlabel="step", ylabel="BCE", title="Loss", log_scale=True
        )
    )
    (axes,) = figure.axes
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), values)
    np.testing.assert_array_equal(second.get_xdata(), np.arange(1, 51))
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_linestyle() != second.get_linestyle()
    assert (axes.get_xlabel(), axes.get_ylabel(), figure.get_suptitle()) == ("step", "BCE", "Loss")
    assert axes.get_yscale() == "log"
    assert legend(axes) == ["nnx, last 0.1", "Keras, last 0.1"]


def test_compare_curves_at_given_positions():
    axes = drawn(reports.compare_curves({"a": [1, 2], "b": [2, 3]}, x=[0, 1000])).axes[0]
    assert all(line.get_xdata().tolist() == [0, 1000] for line in axes.get_lines())
    with pytest.raises(DataError, match=r"'b': shape \(1,\) .* x of shape \(2,\)"):
        reports.compare_curves({"a": [1, 2], "b": [2]}, x=[0, 1])


def test_compare_curves_may_differ_in_length_without_positions():
    axes = drawn(reports.compare_curves({"a": [1, 2, 3], "b": [2]})).axes[0]
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [3, 1]


def test_compare_curves_refuses_nothing_and_empty():
    with pytest.raises(DataError, match="no curve"):
        reports.compare_curves({})
    with pytest.raises(DataError, match=r"'a'.*empty"):
        reports.compare_curves({"a": []})


@pytest.mark.parametrize("name", ["$x", "cost $1 and $2", r"$\frac{$", r"\$5", "_hidden", "a_b^c"])
def test_user_text_is_shown_literally(name):
    figure = drawn(reports.compare_curves({name: [1.0]}, xlabel=name, ylabel=name, title=name))
    axes = figure.axes[0]
    for text in (axes.xaxis.label, figure._suptitle, axes.get_legend().get_texts()[0]):
        shown, is_math = text._preprocess_math(text.get_text())
        assert is_math is False
        assert shown.strip().startswith(name)


# --- reconstructions


def test_reconstructions_show_pairs_with_their_errors(data):
    x, y, shape = data
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
        (np.zeros((3, 5)), np.zeros((3, 5)), {}, r"shape \(3, 5\) .* \(2, 2\)"),
        (np.zeros((3, 4)), np.zeros((2, 4)), {}, r"\(2, 2, 2\) .* \(3, 2, 2\)"),
        (np.zeros((0, 4)), np.zeros((0, 4)), {}, r"empty, of shape \(0, 4\)"),
        (np.zeros(4), np.zeros(4), {}, r"shape \(4,\)"),
        (np.full((1, 4), 255, np.uint8), np.zeros((1, 4)), {}, "255, where 0..1"),
        (np.full((1, 4), NAN), np.zeros((1, 4)), {}, "originals: some values are NaN"),
        (np.zeros((1, 4)), np.full((1, 4), NAN), {}, "reconstructed: some values are NaN"),
        (np.full((1, 4), "a"), np.zeros((1, 4)), {}, "dtype"),
        ([[1.0, 0.0, 0.0, 0.0], [1.0]], np.zeros((1, 4)), {}, "originals: not a NumPy array"),
        (np.zeros((3, 4)), np.zeros((3, 4)), {"labels": [1, 2]}, r"\(2,\) .* \(3, 2, 2\)"),
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


def test_gallery_frames_and_names_mistakes(data):
    x, y, shape = data
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
        ([1, 2], [1, 2, 3], r"y_true: shape \(2,\) .* \(3, 2, 2\)"),
        ([1, 2, 3], [[1], [2], [3]], r"y_pred: shape \(3, 1\)"),
        ([1, 2, 3], ["1", "2", "3"], "cannot be compared"),
    ],
)
def test_gallery_refuses(truth, guess, message):
    with pytest.raises(DataError, match=message):
        reports.prediction_gallery(np.zeros((3, 4)), truth, guess, (2, 2))


# --- code_map


def test_code_map_is_the_pca_of_the_codes(data):
    from sklearn.decomposition import PCA

    x, y, _ = data
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
        (np.zeros((4, 3)), [1, 2], r"\(2,\) .* \(4, 3\)"),
        (np.zeros((4, 1)), [1] * 4, r"\(4, 1\)"),
        (np.zeros(4), [1] * 4, r"\(4,\)"),
        (np.zeros((0, 3)), [], "empty"),
        (np.full((4, 3), NAN), [1] * 4, "12 values are NaN"),
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
        (np.zeros((2, 2)), "abc", r"\(3,\) .* \(2, 2\)"),
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
        (_xor, XOR, [0, 1], r"y: shape \(2,\), where \(4,\)"),
        (_xor, XOR, [0, 1, 2, 3], "4 distinct"),
        (_xor, XOR[:, :1], [0, 1, 1, 0], r"x: shape \(4, 1\)"),
        (lambda p: p, XOR, [0, 1, 1, 0], r"predict\(grid\): shape \(25, 2\)"),
        (lambda p: p[:, 0] * NAN, XOR, [0, 1, 1, 0], "NaN"),
        (_xor, np.zeros((0, 2)), [], "empty"),
    ],
)
def test_decision_surface_refuses(predict, x, y, message):
    with pytest.raises(DataError, match=message):
        reports.decision_surface(predict, x, y, resolution=5)


# --- save_figure


@pytest.fixture
def figure():
    return reports.compare_curves({"nnx": [1.0, 0.5]}, title="saved")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.png", b"\x89PNG"),
        ("a.PNG", b"\x89PNG"),
        ("a", b"\x89PNG"),
        ("a.pdf", b"%PDF"),
        ("a.svg", b"<?xml"),
    ],
)
def test_saved_in_the_named_format_and_nothing_beside_it(figure, tmp_path, name, start):
    target = tmp_path / "figures" / name
    assert reports.save_figure(figure, str(target)) == target
    assert target.read_bytes().startswith(start)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_same_figure_same_bytes_and_no_time_stamp(tmp_path, suffix, monkeypatch):
    for name, moment in (("a", "0"), ("b", "1000000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)  # the clock matplotlib stamps files with
        figure = reports.compare_curves({"nnx": [1.0, 0.5]})
        reports.save_figure(figure, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_failure_leaves_the_older_file_and_nothing_else(figure, tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"older")

    def full_disk(path, **_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png .*No space left") as caught:
        reports.save_figure(figure, target)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_leaves_nothing_half_written(figure, tmp_path, monkeypatch):
    def interrupted(path, **_):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reports.save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_one_clear_line(figure, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match=r"cannot make the folder .*file") as caught:
        reports.save_figure(figure, tmp_path / "file" / "a.png")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_without_permission_is_one_clear_line(figure, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            reports.save_figure(figure, tmp_path / "a.png")
    finally:
        tmp_path.chmod(0o700)


def test_unknown_format_is_refused(figure, tmp_path):
    with pytest.raises(ConfigurationError, match=r"\.xyz; use \.png"):
        reports.save_figure(figure, tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
