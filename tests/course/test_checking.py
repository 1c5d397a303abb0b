"""A whole check: a file, the data of a seed, the report and its score."""

from __future__ import annotations

import json

import pytest
from support.course_solved import solved

from nnx.course.checking import check
from nnx.course.task import task, tasks

BACKWARD = "def dense_backward(x, W, dy):\n    return dy @ W.T, {dW}, {db}\n"


def report(tmp_path, text, number=3, **options):
    file = tmp_path / "student.py"
    file.write_text(text, encoding="utf-8")
    return check(task(number), file, **options)


@pytest.mark.parametrize("number", [one.number for one in tasks()])
def test_the_reference_passes_in_the_students_file(tmp_path, number):
    found = report(tmp_path, solved(task(number)), number, seed=number)
    assert [one for one in found.checks if not one.passed] == []
    assert found.passed
    assert found.score == 1


def test_a_wrong_result_costs_its_part_of_the_score(tmp_path):
    found = report(tmp_path, BACKWARD.format(dW="x.T @ dy", db="dy.mean(axis=0)"))
    assert not found.passed
    assert found.score == pytest.approx(2 / 3)
    db = next(one for one in found.checks if one.result == "db")
    assert (db.line, db.begins, db.case) == (None, 1, "2 rows")
    assert "is a mean over the rows" in db.hint


def test_a_file_that_does_not_run_has_no_score(tmp_path):
    found = report(tmp_path, "x = = 1\n")
    assert (found.passed, found.score, found.checks, found.line) == (False, 0, [], 1)
    assert "SyntaxError" in found.problem


def test_a_function_that_is_missing_is_named(tmp_path):
    found = report(tmp_path, "def dense_bakward(x, W, dy):\n    return x\n")
    assert found.checks[0].message == "the file has no function dense_backward"
    assert (found.passed, found.score) == (False, 0)


def test_a_function_with_other_arguments_is_one_line(tmp_path):
    found = report(tmp_path, "\ndef dense_backward(x, W):\n    return x\n")
    assert "takes 2 positional arguments but 3 were given" in found.checks[0].message
    assert found.checks[0].line == 2


def test_a_changed_argument_costs_the_whole_function(tmp_path):
    text = BACKWARD.format(dW="x.T @ dy", db="dy.sum(axis=0)").replace("return", "result =")
    text += "    dy *= 0\n    return result\n"
    found = report(tmp_path, text)
    assert (found.passed, found.score) == (False, 0)


def test_the_report_is_json_with_numbers_a_grader_can_read(tmp_path):
    found = report(
        tmp_path, BACKWARD.format(dW="dy.T @ x", db="dy.sum(axis=0)").replace("\n", "\n    print(7)\n", 1)
    )
    read = json.loads(json.dumps(found.as_json()))
    assert (read["task"], read["name"], read["passed"]) == (3, "task03_dense_backward", False)
    assert read["score"] == pytest.approx(2 / 3)
    assert [one["result"] for one in read["checks"]] == ["dx", "dW", "db", "arguments"]
    assert [one["passed"] for one in read["checks"]] == [True, False, True, True]
    assert read["printed"].startswith("7\n")


def test_what_one_seed_does_not_show_another_seed_uses_other_numbers(tmp_path):
    """Results written down from the example do not pass with the data of a class."""
    text = (
        "def dense_backward(x, W, dy):\n"
        "    right = dy @ W.T, x.T @ dy, dy.sum(axis=0)\n"
        f"    known = {[float(case.arguments['x'][0, 0]) for case in task(3).cases(0)]}\n"
        "    return right if x[0, 0] in known else (0 * x, 0 * W, dy[0])\n"
    )
    assert report(tmp_path, text, seed=0).passed
    assert not report(tmp_path, text, seed=1).passed
