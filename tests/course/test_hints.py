"""Usual mistakes are caught, and the hints name them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.course_mistakes import made, row
from support.places import ROOT

from nnx.course.calls import call
from nnx.course.checking import checks_of
from nnx.course.task import task, tasks

TASKS = tasks()
PAGE = (ROOT / "docs" / "learn.md").read_text(encoding="utf-8")
WANTED = 0.8  # of the mistakes have the right hint


@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.name)
def test_twenty_usual_mistakes_are_caught_and_named(one):
    mistakes = made(one)
    assert len(mistakes) == len({mistake.edit for mistake in mistakes}) == 20
    assert [mistake.edit for mistake in mistakes if not mistake.caught] == []
    assert row(one, mistakes) in PAGE
    wrong = [
        (mistake.edit, mistake.expected, [check.hint or check.message for check in mistake.failed])
        for mistake in mistakes
        if not mistake.hint_is_right
    ]
    assert len(wrong) <= 20 * (1 - WANTED), wrong


@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.name)
def test_the_right_hint_is_found_with_another_seed_too(one):
    assert sum(mistake.hint_is_right for mistake in made(one, seed=3, with_hint=True)) >= 20 * WANTED


@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.name)
def test_no_hint_for_what_is_right(one):
    cases = one.cases()
    outcomes = [call(one.reference()[case.function], case.arguments) for case in cases]
    assert all(check.passed and not check.hint for check in checks_of(one, cases, outcomes, {}))


# ------------------------------------------------------------- relations that hold for any task


def backward(x, W, dy):
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


def checks(function):
    """The checks of task 3 for a function, by the name of the result."""
    one = task(3)
    cases = one.cases()
    outcomes = [call(function, case.arguments) for case in cases]
    return {check.result: check for check in checks_of(one, cases, outcomes, {"dense_backward": 1})}


def with_dx(change):
    """The hint for dx, if it is changed."""
    return checks(lambda x, W, dy: (change(backward(x, W, dy)[0], x, W, dy), *backward(x, W, dy)[1:]))[
        "dx"
    ].hint


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda dx, *_: dx.T, "dx is transposed"),
        (lambda dx, *_: -dx, "wrong sign"),
        (lambda dx, *_: dx / 2, "half"),
        (lambda dx, *_: dx * 2, "twice"),
        (
            lambda dx, x, W, dy: dx * len(x),
            "a factor that is the number of rows of x: is there a sum in place",
        ),
        (lambda dx, x, W, dy: dx / W.shape[1], "axis 1 of W: is there a mean in place of a sum"),
        (lambda dx, *_: dx[None], "keepdims"),
        (lambda dx, x, *_: x, "the argument x, unchanged"),
        (lambda dx, *_: dx * 0, "zero everywhere"),
        (lambda dx, *_: np.trunc(dx), "cut to whole numbers"),
        (lambda dx, *_: dx.sum(), "needs an axis"),
        (lambda dx, *_: dx.cumsum(axis=0), "Cases with one row are right"),
        (lambda dx, *_: dx / 0, "nan and inf come from"),
        (lambda dx, *_: dx + 0.125, ""),
    ],
)
def test_a_relation_to_the_right_result_is_found(change, hint):
    found = with_dx(change)
    assert hint in found
    assert bool(hint) == bool(found)


def test_two_mistakes_at_once_are_found():
    """Each of another result; and both of the same."""
    found = checks(lambda x, W, dy: (dy @ W.T, dy.T @ x, dy.mean(axis=0)))
    assert "dW is transposed" in found["dW"].hint
    assert "db is a mean" in found["db"].hint
    both = checks(lambda x, W, dy: (x.T @ dy / len(x), dy @ W.T, dy.sum(axis=0)))
    assert "dW is a mean" in both["dx"].hint
    assert "another order" in both["dx"].hint


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, W, dy: x if x > 0 else -x, "use np.where"),
        (lambda x, W, dy: math.exp(x), "those of NumPy take arrays"),
        (lambda x, W, dy: np.arange(6).__isub__(0.5), "takes no fractions"),
        (lambda x, W, dy: (1 - x)(x), "write * for a product"),
        (lambda x, W, dy: x.sort() + 1, "is a return missing"),
        (lambda x, W, dy: x[len(x)], "Python counts from 0"),
        (lambda x, W, dy: unknown, ""),  # noqa: F821
    ],
)  # fmt: skip
def test_a_usual_error_is_explained(function, words):
    hint = checks(function)["dx"].hint
    assert words in hint
    assert bool(words) == bool(hint)


def test_a_hint_is_not_repeated_with_the_next_result():
    """The error hides all results; of two mistakes, the second result names only the one that is new."""
    found = checks(lambda x, W, dy: (dy @ W, dy.T @ x, dy.sum(axis=0)))
    assert "A transpose is missing in dx" in found["dx"].hint
    assert found["dW"].hint.startswith("dW is transposed")
    assert "And:" not in found["dW"].hint


def test_results_in_another_order_are_named():
    found = checks(lambda x, W, dy: (backward(x, W, dy)[0], *backward(x, W, dy)[:0:-1]))
    assert found["dW"].hint == "dW is what db must be: return the results in this order: dx, dW, db."
    assert found["db"].hint == "db is what dW must be: return the results in this order: dx, dW, db."


def test_what_is_right_in_some_cases_is_named():
    found = checks(lambda x, W, dy: (dy @ W.T + (len(x) > 2), *backward(x, W, dy)[1:]))
    right = [case.label for case in task(3).cases() if len(case.arguments["x"]) <= 2]
    assert (
        found["dx"].hint
        == f"It is right with this data: {', '.join(right)}. What is different in the others?"
    )


def test_an_error_in_other_words_is_the_same_mistake():
    assert "transpose is missing in dx" in checks(lambda x, W, dy: (np.dot(dy, W), 0, 0))["dx"].hint
    assert (
        "do not fit together: x (2, 3)"
        in checks(lambda x, W, dy: (x + dy.T.repeat(9, axis=1), 0, 0))["dx"].hint
    )


def test_an_error_about_shapes_in_other_words_is_the_same_mistake():
    """With a stride, windows are cut short at the border, which einsum and tensordot report differently."""
    one = task(14)

    def without_stride(x, W, b, stride, padding):
        k, images = len(W), np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        height, width = ((side - k) // stride + 1 for side in images.shape[1:3])
        places = [(k * i, k * j) for i in range(height) for j in range(width)]
        y = [np.tensordot(images[:, i : i + k, j : j + k], W, 3) + b for i, j in places]
        return np.stack(y, axis=1).reshape(len(x), height, width, -1)

    outcomes = [call(without_stride, case.arguments) for case in one.cases()]
    assert any("error" in outcome for outcome in outcomes)
    (check, _) = checks_of(one, one.cases(), outcomes, {"convolution_forward": 1})
    assert "side by side" in check.hint
