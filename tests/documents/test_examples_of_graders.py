"""Exercises graded on Gradescope and by nbgrader: real programs, real notebooks, points for a part."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.course_solved import solved
from support.places import ROOT

from nnx.course.task import task

EXAMPLES = ROOT / "examples"
ANSWER = "return dy @ W.T, x.T @ dy, np.mean(dy, axis=0)"


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    settings = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "NNX_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=settings, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done


# ----------------------------------------------------------------------------------- Gradescope


def results(tmp_path: Path) -> list[dict]:
    """What the autograder writes for the folder `submission`."""
    run([str(EXAMPLES / "grade_on_gradescope.py"), "submission", "results.json"], tmp_path)
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(written) == {"tests"}
    for test in written["tests"]:
        assert set(test) == {"number", "name", "max_score", "score", "status", "output", "visibility"}
        assert 0 <= test["score"] <= test["max_score"] == 10
    return written["tests"]


def test_gradescope_gets_points_and_hints_of_each_task(tmp_path):
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / task(2).file).write_text(solved(task(2)), encoding="utf-8")
    wrong = solved(task(3)).replace("db = np.sum(dy, axis=0)", "db = dy.mean(axis=0)\n    print('x' * 10**5)")
    (folder / task(3).file).write_text(wrong, encoding="utf-8")
    second, third, fourth = results(tmp_path)
    assert (second["score"], second["status"], second["output"]) == (10, "passed", "Everything is right.")
    assert (third["score"], third["status"]) == (6.67, "failed")
    assert "hint: db is a mean" in third["output"]
    assert (fourth["score"], fourth["output"]) == (0, "task04_sigmoid.py was not handed in")


def test_gradescope_gets_a_result_of_files_that_do_harm(tmp_path):
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / task(2).file).write_text("import sys\nprint('{')\nsys.exit(0)\n")
    (folder / task(3).file).write_bytes(b"\xff\0")
    (folder / task(4).file).write_text("raise BaseException('\\x1b[31m\\n')\n")
    tests = results(tmp_path)
    assert [test["score"] for test in tests] == [0, 0, 0]
    assert "ends its process" in tests[0]["output"]
    assert tests[1]["output"].startswith("line ")


# -------------------------------------------------------------------------------------- nbgrader


def points(cell: dict) -> float:
    """The points that nbgrader gives for a cell: none for an error, those of its output, else all."""
    most = float(cell["metadata"]["nbgrader"]["points"])
    outputs = cell["outputs"]
    if any(output["output_type"] == "error" for output in outputs):
        return 0.0
    values = [output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result"]
    value = float("".join(values[0])) if values else most
    assert value > 0, "nbgrader takes an output of 0 for all points"
    return value


def executed(tmp_path: Path, answer: str) -> list[dict]:
    """The cells of the notebook with another answer, after a real kernel has run it."""
    for package in ("jupytext", "nbclient", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'nnx-arrays[test]'")
    text = (EXAMPLES / "grade_with_nbgrader.py").read_text(encoding="utf-8")
    assert ANSWER in text
    (tmp_path / "assignment.py").write_text(text.replace(ANSWER, answer), encoding="utf-8")
    script = (
        "import jupytext, nbclient\n"
        "notebook = jupytext.read('assignment.py')\n"
        "nbclient.NotebookClient(notebook, timeout=200, allow_errors=True).execute()\n"
        "jupytext.write(notebook, 'executed.ipynb')\n"
    )
    run(["-c", script], tmp_path)
    return json.loads((tmp_path / "executed.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (ANSWER, 2.0, "hint: db is a mean"),
        (ANSWER.replace("mean", "sum"), 3.0, ""),
        ("raise NotImplementedError", 0.0, "no result is right"),
    ],
)
def test_nbgrader_reads_the_points_from_the_cell(tmp_path, answer, expected, said):
    cells = [cell for cell in executed(tmp_path, answer) if "nbgrader" in cell["metadata"]]
    for cell in cells:
        about = cell["metadata"]["nbgrader"]
        assert about["schema_version"] == 3
        assert {"grade", "grade_id", "locked", "solution", "task"} <= set(about)
        assert about["grade"] == ("points" in about)
    assert len({cell["metadata"]["nbgrader"]["grade_id"] for cell in cells}) == 3
    (test,) = [cell for cell in cells if cell["metadata"]["nbgrader"]["grade"]]
    assert points(test) == pytest.approx(expected)
    assert said in json.dumps(test["outputs"], ensure_ascii=False)
