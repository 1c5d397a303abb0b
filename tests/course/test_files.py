"""The files that students start from, a class set, and the progress of a folder."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.course_solved import solved

from nnx.course import files
from nnx.course.checking import Report
from nnx.course.comparing import Check
from nnx.course.task import task, tasks
from nnx.errors import ConfigurationError, OutputError


def test_a_file_is_not_overwritten(tmp_path):
    path = tmp_path / "mine.py"
    files.start(task(3), path)
    path.write_text("my work")
    with pytest.raises(OutputError, match="may hold your work"):
        files.start(task(3), path)
    assert path.read_text() == "my work"


def run(tmp_path, text):
    path = tmp_path / "one.py"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_file_runs_its_tests_without_nnx(tmp_path):
    done = run(tmp_path, "import sys\nsys.modules['nnx'] = None\n" + solved(task(3)))
    assert done.returncode == 0, done.stderr
    assert "passed: test_example_of_dense_backward" in done.stdout
    assert "NotImplementedError: write dense_backward" in run(tmp_path, files.starting_text(task(3))).stderr


def test_a_class_set_has_all_tasks_with_other_examples_and_no_solution(tmp_path):
    written = files.export(tmp_path / "class", 7)
    assert {path.name for path in written} == {*(one.file for one in tasks()), "README.md"}
    for one in tasks():
        text = (tmp_path / "class" / one.file).read_text(encoding="utf-8")
        assert text == files.starting_text(one, 7) != files.starting_text(one, 0)
        assert "NotImplementedError" in text
    readme = (tmp_path / "class" / "README.md").read_text(encoding="utf-8")
    assert all(one.file in readme for one in tasks())
    assert "7" not in readme.replace("task07", "").replace("\n7.", "")  # the seed is the teacher's


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "old").write_text("")
    with pytest.raises(OutputError, match="is not empty"):
        files.export(tmp_path, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def failing(path, text):
        if len(written) == 1:
            raise OutputError("no space")
        written.append(path)
        original(path, text)

    original = files._new
    monkeypatch.setattr(files, "_new", failing)
    with pytest.raises(OutputError, match="no space"):
        files.export(tmp_path / "deep" / "class", 7)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_kept_in_the_folder(tmp_path):
    assert files.progress(tmp_path) == {}
    files.start(task(3), tmp_path / task(3).file)
    assert files.progress(tmp_path) == {3: "started"}
    wrong = Report(task(3), [Check("f", "dx"), Check("f", "dW", message="no"), Check("f", "arguments")])
    files.note(tmp_path, wrong)
    assert files.progress(tmp_path) == {3: "1 of 2 results right"}
    files.note(tmp_path, Report(task(3), problem="SyntaxError"))
    assert files.progress(tmp_path) == {3: "does not run"}
    files.note(tmp_path, Report(task(3), [Check("f", "dx")]))
    files.note(tmp_path, wrong)
    assert files.progress(tmp_path) == {3: "done"}


@pytest.mark.parametrize("text", ["{", "[1]", '{"x": 1}', "null"])
def test_a_damaged_progress_is_one_line(tmp_path, text):
    (tmp_path / files.PROGRESS).write_text(text)
    with pytest.raises(ConfigurationError, match=r"is damaged .*: remove it"):
        files.progress(tmp_path)
