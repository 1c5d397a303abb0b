"""Curves are drawn with their values, names and gaps; tests check what figures hold, not their pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support.figures import INF, NAN, drawn, legend

from nnx import reports
from nnx.errors import DataError

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
