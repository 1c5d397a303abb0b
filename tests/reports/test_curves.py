"""Figures of curves, and how figures are saved; tests check their contents, not their pixels."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
from support.figures import INF, NAN, drawn, legend

from nnx import reports
from nnx.errors import ConfigurationError, DataError, OutputError

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")

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
        ({"loss": []}, r"empty, .*\(0,\)"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, r"'val_loss' .*\(1,\) .*\(2,\)"),
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
    with pytest.raises(DataError, match=r"'b' .*\(1,\), .* x .*\(2,\)"):
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

    def full_disk(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png .*No space left") as caught:
        reports.save_figure(figure, target)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_leaves_nothing_half_written(figure, tmp_path, monkeypatch):
    def interrupted(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reports.save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_one_clear_line(figure, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="file") as caught:
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
    with pytest.raises(ConfigurationError, match=r"\.xyz: .*\.png"):
        reports.save_figure(figure, tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
