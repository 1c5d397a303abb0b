"""Find likely reasons of a wrong result: compare it with usual mistakes, and with the right result."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from nnx.course.calls import call
from nnx.course.comparing import ARGUMENTS, Calls, Check, close, part, shown
from nnx.course.task import Mistake, Task

_ERRORS = (  # patterns of error messages, and what they mean for arrays
    ("truth value of an array",
     "An if needs one True or False, not an array: use np.where, or loop over all numbers."),
    ("array element with a sequence|[Oo]nly (length-1|0-dim)",
     "Python needs one number here, but gets an array: is an index missing? Functions of math take one "
     "number, those of NumPy take arrays."),
    ("Cannot cast ufunc",
     "An array of integers takes no fractions: compute a new array instead of += or *=."),
    ("not callable",
     "Round brackets after a value call it like a function: write * for a product."),
    ("NoneType",
     "Something is None: is a return missing in a function that you call?"),
    ("out of bounds",
     "An index is too large: Python counts from 0, so the last index is the size minus 1."),
)  # fmt: skip
_NUMBERS = (np.ndarray, np.generic)
_SHAPES = re.compile("shapes|shape-mismatch|reshape|broadcast|core dimension|aligned|^product ")


def add_hints(task: Task, of: Calls, checks: list[Check]) -> None:
    """Give each check that failed a hint: that of the first usual mistake with the student's numbers.

    A mistake is recognized if its result equals the student's in every case, and differs from the reference
    in at least one. If there is none, simple relations to the right result are tried, and last, two mistakes
    at once. The hints of two mistakes leave out what an earlier result has already.
    """
    open_ = [check for check in checks if not check.passed and not check.hint and check.result != ARGUMENTS]
    if not open_ or any("missing" in got for got in of.student):
        return
    variants = Variants(task, of)
    given: set[str] = set()
    for check in open_:
        place = of.results.index(check.result)
        found = variants.single(place) or _related(of, place)
        hints = [found] if found else variants.pair(place)
        given.update(new := [hint for hint in hints if hint not in given])
        check.hint = " And: ".join(new or hints) or _last(of, place, check)


class Variants:
    """The results of one function with each usual mistake of a task, computed when they are needed."""

    def __init__(self, task: Task, of: Calls) -> None:
        self.task = task
        self.of = of
        self.functions: dict[tuple[Mistake, ...], Any] = {}
        self.outcomes: dict[tuple[tuple[Mistake, ...], int], dict[str, Any]] = {}

    def single(self, place: int) -> str:
        """Return the hint of the first mistake that explains a result; empty if there is none."""
        return next((one.hint for one in self.task.mistakes if self.explains(place, one)), "")

    def pair(self, place: int) -> list[str]:
        """Return the hints of the first two mistakes that explain a result together; empty if none do."""
        places = range(len(self.of.results))
        changed = {one: {at for at in places if self.differs(at, one)} for one in self.task.mistakes}
        for pair in combinations((one for one in self.task.mistakes if changed[one]), 2):
            here = any(place in changed[one] for one in pair)  # the other may change the order of the results
            if here and pair[0].old != pair[1].old and self.explains(place, *pair):
                return [one.hint for one in pair]
        return []

    def explains(self, place: int, *mistakes: Mistake) -> bool:
        """Return whether some mistakes give the student's result in all cases, and not the right one.

        NumPy's functions have different messages for shapes that do not fit. So two such errors count as
        equal, if a wrong result in another case is the same.
        """
        evidence = False
        for index, (student, right) in enumerate(zip(self.of.student, self.of.expected, strict=True)):
            made = self.result(index, place, mistakes)
            got, wanted = (part(one, place, len(self.of.results)) for one in (student, right))
            if equal(made, got):
                evidence |= not equal(got, wanted)
            elif not (_of_shapes(made) and _of_shapes(got)):
                return False
        return evidence

    def differs(self, place: int, *mistakes: Mistake) -> bool:
        """Return whether some mistakes change a result in a case."""
        count = len(self.of.results)
        return any(
            not equal(self.result(index, place, mistakes), part(right, place, count))
            for index, right in enumerate(self.of.expected)
        )

    def result(self, index: int, place: int, mistakes: tuple[Mistake, ...]) -> Any:
        """Return a result of a case."""
        outcome = self.outcome(index, mistakes)
        return "no Python" if outcome is None else part(outcome, place, len(self.of.results))

    def outcome(self, index: int, mistakes: tuple[Mistake, ...]) -> dict[str, Any] | None:
        """Return the outcome of a case, or None if the edited text is not valid Python."""
        if mistakes not in self.functions:
            try:
                self.functions[mistakes] = self.task.with_mistake(*mistakes)[self.of.name]
            except (SyntaxError, KeyError):  # the second edit changes the text of the first
                self.functions[mistakes] = None
        function = self.functions[mistakes]
        if function is not None and (mistakes, index) not in self.outcomes:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings of a mistake that the student did not make
                self.outcomes[mistakes, index] = call(function, self.of.cases[index].arguments)
        return self.outcomes.get((mistakes, index))


def _of_shapes(result: Any) -> bool:
    """Return whether a result is an error about shapes that do not fit."""
    return isinstance(result, dict) and "error" in result and bool(_SHAPES.search(result["text"]))


def equal(one: Any, other: Any) -> bool:
    """Return whether two described results are the same."""
    if isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS):
        return one.shape == other.shape and bool(np.all(close(one, other)))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return not isinstance(one, _NUMBERS) and not isinstance(other, _NUMBERS) and bool(one == other)


# ----------------------------------------------------------------------- relations to the right result


def _related(of: Calls, place: int) -> str:
    """Return the first relation between the student's and the right result that holds in every case."""
    count = len(of.results)
    pairs = [
        (part(got, place, count), part(right, place, count))
        for got, right in zip(of.student, of.expected, strict=True)
    ]
    if not all(isinstance(got, np.ndarray) for got, _ in pairs):
        return ""
    name = of.results[place]
    rows = [(got, right, case.arguments) for (got, right), case in zip(pairs, of.cases, strict=True)]
    for other, result in enumerate(of.results):
        rights = [part(right, other, count) for right in of.expected]
        if other != place and all(map(equal, (got for got, _ in pairs), rights)):
            return (
                f"{name} is what {result} must be: return the results in this order: {', '.join(of.results)}."
            )
    for text, holds in _relations(name, rows):
        if holds:
            return text
    return ""


def _relations(name: str, rows: list[Any]) -> Iterator[tuple[str, bool]]:
    """Yield a hint and whether it holds, for each relation."""
    yield f"{name} is transposed.", all(equal(got.T, right) for got, right, _ in rows)
    yield f"{name} has the wrong sign: look at each minus.", all(equal(-got, right) for got, right, _ in rows)
    yield f"{name} is half of what it must be.", all(equal(got * 2, right) for got, right, _ in rows)
    yield f"{name} is twice what it must be.", all(equal(got / 2, right) for got, right, _ in rows)
    yield from _sizes(name, rows)
    yield from _shapes(name, rows)
    for argument in rows[0][2]:
        same = all(equal(got, np.asarray(values.get(argument))) for got, _, values in rows)
        yield f"{name} is the argument {argument}, unchanged.", same
    zeros = all(not got.any() for got, _, _ in rows)
    yield f"{name} is zero everywhere: is it computed, and stored in the array that you return?", zeros
    whole = all(equal(got, np.trunc(right)) for got, right, _ in rows)
    yield f"{name} is cut to whole numbers: an array made from integers takes no fractions.", whole
    several = "Cases with one row are right, those with more are wrong: look at sums and means over the rows."
    yield several, _right_for_one_row(rows)


def _sizes(name: str, rows: list[Any]) -> Iterator[tuple[str, bool]]:
    """Yield relations in which the result is multiplied or divided by the size of an argument."""
    for argument, value in rows[0][2].items():
        for axis in range(getattr(value, "ndim", 0)):
            try:
                sizes = [values[argument].shape[axis] for _, _, values in rows]
            except (KeyError, IndexError, AttributeError):
                continue
            if max(sizes) == 1:
                continue
            of = f"the number of rows of {argument}" if axis == 0 else f"axis {axis} of {argument}"
            many = all(equal(got / n, right) for (got, right, _), n in zip(rows, sizes, strict=True))
            yield f"{name} is too large by a factor that is {of}: is there a sum in place of a mean?", many
            few = all(equal(got * n, right) for (got, right, _), n in zip(rows, sizes, strict=True))
            yield f"{name} is too small by a factor that is {of}: is there a mean in place of a sum?", few


def _shapes(name: str, rows: list[Any]) -> Iterator[tuple[str, bool]]:
    """Yield relations between results of different shapes."""
    wanted = shown(rows[0][1].shape)
    flat = all(got.size == right.size and equal(got.ravel(), right.ravel()) for got, right, _ in rows)
    yield (
        f"The numbers of {name} are right, but not the shape, {wanted}: look at keepdims and reshape.",
        flat,
    )
    whole = all(not got.ndim and right.ndim and equal(got, np.asarray(right.sum())) for got, right, _ in rows)
    yield f"{name} is summed over everything: the sum needs an axis.", whole
    for row, called in ((-1, "last"), (0, "first")):
        one = all(right.ndim > got.ndim and equal(got, right[row]) for got, right, _ in rows)
        yield f"{name} is the {called} row only: fill all rows in the loop, and return after it.", one
    wrong = all(got.ndim == right.ndim == 1 and got.shape != right.shape for got, right, _ in rows)
    yield (
        f"{name} has the wrong number of entries: does a sum or a mean run over the wrong axis?",
        wrong,
    )


def _right_for_one_row(rows: list[Any]) -> bool:
    """Return whether all cases with one row are right, and all others wrong."""
    right = [equal(got, expected) for got, expected, _ in rows]
    first = [next((v for v in values.values() if getattr(v, "ndim", 0) > 1), None) for _, _, values in rows]
    one = [value is not None and len(value) == 1 for value in first]
    return any(one) and right == one


def _last(of: Calls, place: int, check: Check) -> str:
    """Return a general hint for a result that nothing explains; it can be empty."""
    case = next(case for case in of.cases if case.label == check.case)
    outcome = of.student[of.cases.index(case)]
    if "error" in outcome:
        text = outcome["error"]["text"]
        if _SHAPES.search(text):
            sizes = [f"{n} {shown(v.shape)}" for n, v in case.arguments.items() if getattr(v, "ndim", 0)]
            return f"The shapes do not fit together: {', '.join(sizes)}."
        return next((hint for pattern, hint in _ERRORS if re.search(pattern, text)), "")
    got = part(outcome, place, len(of.results))
    returned = got.get("returned", "") if isinstance(got, dict) else ""
    if got is None or returned == "None":
        return "Is a return missing?"
    if returned:
        return f"Return all results in this order: {', '.join(of.results)}."
    if isinstance(got, np.ndarray) and not np.isfinite(got).all():
        return "nan and inf come from 0 / 0, inf − inf, the log of 0, or exp of a large number."
    right = [
        one.label
        for one, student, expected in zip(of.cases, of.student, of.expected, strict=True)
        if equal(part(student, place, len(of.results)), part(expected, place, len(of.results)))
    ]
    return (
        f"It is right with this data: {', '.join(right)}. What is different in the others?" if right else ""
    )
