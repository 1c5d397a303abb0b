"""One call of a function: its results, its error, what it changed; and how these travel between processes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nnx.course import calls


def test_a_call_gets_copies_and_notes_what_it_changes():
    x, values = np.array([1.0, np.nan]), [np.zeros(2), 3]

    def function(x, values, rate):
        x[0] = 5
        values[0] += 1
        return x, values[1] * rate

    outcome = calls.call(function, {"x": x, "values": values, "rate": 0.5})
    assert outcome["changed"] == ["x", "values"]
    assert outcome["result"][1] == 1.5
    assert x[0] == 1
    assert values[0][0] == 0
    assert calls.call(lambda values: values.__setitem__(0, None), {"values": [x]})["changed"] == ["values"]
    assert calls.call(lambda x: x * 1, {"x": x})["changed"] == []


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 0.1, float("inf"), "text", (1, 2.5), [1, None], (), np.arange(6).reshape(2, 3),
        {"a": np.zeros((0, 3)), "b": [np.ones(2), (np.zeros(1), "x")]},
    ],
)  # fmt: skip
def test_values_travel_whole(tmp_path, value):
    calls.write(tmp_path, "one", {"value": value})
    back = calls.read(tmp_path, "one")["value"]
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_files_with_objects_are_refused(tmp_path):
    np.savez(tmp_path / "one.npz", a0=np.array([{}], dtype=object))
    (tmp_path / "one.json").write_text(json.dumps({"array": "a0"}))
    with pytest.raises(ValueError, match="allow_pickle"):
        calls.read(tmp_path, "one")


def test_an_error_has_the_last_line_of_the_students_file(tmp_path):
    file = str(tmp_path / "student.py")
    space = {}
    exec(
        compile("import numpy\ndef f(x):\n    return g(x)\ndef g(x):\n    return x @ x\n", file, "exec"),
        space,
    )
    error = calls.call(space["f"], {"x": np.zeros((2, 3))}, file)["error"]
    assert (error["type"], error["line"]) == ("ValueError", 5)
    assert calls.call(space["f"], {}, file)["error"]["line"] == 2  # nothing of it ran: where it begins
