"""The first wrong number is named: where it is, what it is, and what it should be."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.course.calls import call
from nnx.course.checking import checks_of
from nnx.course.comparing import ARGUMENTS, close
from nnx.course.task import task


def checks(function):
    one = task(3)
    cases = one.cases()
    outcomes = [call(function, case.arguments) for case in cases]
    return {check.result: check for check in checks_of(one, cases, outcomes, {"dense_backward": 12})}


def right(x, W, dy):
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


def with_dx(change):
    def function(x, W, dy):
        dx, dW, db = right(x, W, dy)
        return change(dx), dW, db

    return checks(function)


def test_a_right_function_passes():
    found = checks(right)
    assert list(found) == ["dx", "dW", "db", ARGUMENTS]
    assert all(check.passed and check.line is None for check in found.values())


def test_the_first_wrong_number_is_named():
    def changed(dx):
        dx[1, 2:] += 1
        return dx

    found = checks(
        lambda x, W, dy: (changed(dy @ W.T), *right(x, W, dy)[1:]) if len(x) > 1 else right(x, W, dy)
    )
    dx = found["dx"]
    expected = right(*task(3).cases()[0].arguments.values())[0][1, 2]
    assert dx.message == f"dx[1, 2] is {expected + 1:.4g}, expected {expected:.4g} (1 of 6 numbers are wrong)"
    assert (dx.case, dx.line, dx.begins) == ("2 rows", None, 12)
    assert found["dW"].passed
    assert found["db"].passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dx: dx.T, "dx has the shape (3, 2), expected the shape (2, 3)"),
        (lambda dx: dx.sum(), "dx has the shape () of one number, expected the shape (2, 3)"),
        (lambda dx: np.full_like(dx, np.nan), "dx[0, 0] is nan, expected"),
        (lambda dx: dx / np.zeros_like(dx), "dx[0, 0] is inf, expected"),
        (lambda dx: None, "dx is None, must be an array of numbers"),
        (lambda dx: "text", "dx is a value of type str, must be an array of numbers"),
        (lambda dx: {"a": 1}, "dx is a value of type dict"),
        (lambda dx: dx.astype(object), "dx is array of type object"),
        (lambda dx: dx + 0j, "dx is array of type complex128"),
        (lambda dx: dx.astype(str), "dx is array of type <U"),
        (lambda dx: [[1.0], [2.0, 3.0]], "dx is a value of type list"),
        (lambda dx: 10**400, "dx is a"),
        (lambda dx: (dx, dx), "dx is a value of type tuple"),
        (
            lambda dx: np.broadcast_to(1.0, (10**6, 10**6)),
            "dx has the shape (1000000, 1000000), expected (2, 3)",
        ),
        (lambda dx: np.ma.masked_array(dx), "dx is a value of type MaskedArray"),
        (lambda dx: dx > 0, "dx[0, 0] is"),
    ],
)
def test_a_wrong_type_or_shape_is_one_line(change, message):
    found = with_dx(change)
    assert message in found["dx"].message
    assert "\n" not in found["dx"].message
    assert found["dW"].passed


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda r: None, "returns None, must return the tuple dx, dW, db"),
        (lambda r: r[:2], "returns a tuple of 2, must return the tuple dx, dW, db"),
        (lambda r: r[0], "returns one array, must return the tuple dx, dW, db"),
        (lambda r: 1.5, "returns one number, must"),
        (lambda r: [1, "x"], "returns array of type <U"),
    ],
)
def test_another_number_of_results_is_one_line(returned, message):
    found = checks(lambda x, W, dy: returned(right(x, W, dy)))
    assert message in found["dx"].message


def test_lists_and_float32_are_numbers_too():
    found = with_dx(lambda dx: dx.tolist())
    assert found["dx"].passed


def test_a_changed_argument_is_found_even_if_the_results_are_right():
    def function(x, W, dy):
        results = right(x, W, dy)
        W *= 2
        return results

    found = checks(function)
    assert found["dx"].passed
    assert found[ARGUMENTS].message == "changes its argument W"
    assert "overwrites the caller's array" in found[ARGUMENTS].hint


def test_close_is_relative_to_the_largest_number_and_knows_nan():
    expected = np.array([1000.0, 1.0, np.nan, np.inf])
    assert close(expected + 1e-5, expected).tolist() == [True, True, True, True]
    assert close(expected + 1e-3, expected).tolist() == [False, False, True, True]
    assert not close(np.zeros(4), expected)[2:].any()
    assert close(np.zeros(2), np.zeros(2)).all()
