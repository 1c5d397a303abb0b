"""Every task of the course: its file, its reference, its data and its usual mistakes fit together."""

from __future__ import annotations

import ast
import inspect
import re

import numpy as np
import pytest
from support.course_solved import solved

from nnx.course.calls import call
from nnx.course.files import starting_text
from nnx.course.hints import equal
from nnx.course.task import functions, task, tasks
from nnx.errors import ConfigurationError

TASKS = tasks()
each_task = pytest.mark.parametrize("one", TASKS, ids=lambda one: one.name)


def test_tasks_are_numbered_from_one():
    assert [one.number for one in TASKS] == sorted({one.number for one in TASKS})


def test_an_unknown_task_is_refused():
    with pytest.raises(ConfigurationError, match="there is no task 99: choose from"):
        task(99)


@each_task
def test_the_file_has_the_functions_that_are_checked(one):
    module = functions(one.text, one.returns)
    assert list(module) == list(one.returns)
    for name, function in one.reference().items():
        assert inspect.signature(module[name]) == inspect.signature(function)
        assert "Parameters" in module[name].__doc__
        assert "Returns" in module[name].__doc__
        for result in one.returns[name]:
            assert re.search(rf"\b{result}\b", module[name].__doc__), (name, result)
    assert {case.function for case in one.cases()} == set(one.returns)
    labels = [(case.function, case.label) for case in one.cases()]
    assert len(labels) == len(set(labels))
    for case in one.cases():
        assert (
            list(case.arguments)
            == list(inspect.signature(module[case.function]).parameters)[: len(case.arguments)]
        )


@each_task
def test_a_student_gets_no_solution(one):
    """The functions are empty, and no line of the reference is in the file."""
    for name, function in functions(one.text, one.returns).items():
        arguments = next(case.arguments for case in one.cases() if case.function == name)
        assert call(function, arguments)["error"]["type"] == "NotImplementedError"
    body = {line.strip() for line in one.text.splitlines()}
    for function in one.reference().values():
        lines = [line.strip() for line in inspect.getsource(function).split('"""')[2].splitlines()]
        given = [line for line in lines if line in body and "=" in line]
        assert not given, given
    assert "nnx" not in one.text


@each_task
@pytest.mark.parametrize("seed", [0, 7])
def test_the_tests_to_read_pass_with_the_reference(one, seed):
    text = solved(one, seed)
    assert max(map(len, text.splitlines())) <= 110
    names = [node.name for node in ast.parse(text).body if getattr(node, "name", "").startswith("test_")]
    assert len(names) >= 2
    for test in functions(text, names).values():
        test()


@each_task
def test_the_tests_to_read_fail_with_an_empty_answer(one):
    """A function that returns zeros of the right shapes is no solution."""
    text = one.text
    names = [node.name for node in ast.parse(text).body if getattr(node, "name", "").startswith("test_")]
    assert names
    for test in functions(text, names).values():
        with pytest.raises(NotImplementedError):
            test()


@each_task
def test_another_seed_has_other_numbers_and_the_same_cases(one):
    first, second = one.cases(0), one.cases(1)
    assert [(case.function, case.label) for case in first] == [(case.function, case.label) for case in second]
    assert starting_text(one, 0) != starting_text(one, 1)
    again = one.cases(0)
    for case, same in zip(first, again, strict=True):
        assert repr(case.arguments) == repr(same.arguments)


@each_task
def test_the_reference_is_finite_and_changes_nothing(one):
    for seed in range(3):
        for case in one.cases(seed):
            outcome = call(one.reference()[case.function], case.arguments)
            assert "error" not in outcome, outcome
            assert outcome["changed"] == []
            result = outcome["result"]
            results = result if isinstance(result, tuple) else (result,)
            assert len(results) == len(one.returns[case.function])
            assert all(np.isfinite(value).all() for value in results)


@each_task
@pytest.mark.parametrize("seed", [0, 5])
def test_each_usual_mistake_shows_in_the_data(one, seed):
    """Its text occurs in the reference, and it changes a result or an argument in some case."""
    assert len(one.mistakes) >= 8
    for mistake in one.mistakes:
        assert mistake.old in one.solution, mistake
        changed = one.with_mistake(mistake)
        right = one.reference()
        differs = False
        for case in one.cases(seed):
            got = call(changed[case.function], case.arguments)
            want = call(right[case.function], case.arguments)
            differs |= bool(got["changed"]) or not equal(got.get("result"), want["result"])
        assert differs, mistake
        assert mistake.hint.endswith("."), mistake
