"""``nnx learn``: list, start, check and export exercises."""

from __future__ import annotations

import json

from support.course_solved import solved

from nnx.course.task import task, tasks


def test_a_task_from_start_to_done(tmp_path, answer):
    listed = answer("learn")
    assert listed.returncode == 0
    assert all(one.title in listed.stdout for one in tasks())
    started = answer("learn", "start", "3")
    assert started.stdout == "task03_dense_backward.py: The backward pass of a dense layer\n"
    assert started.stderr == "write dense_backward, then run: nnx learn check 3\n"
    assert answer("learn").stderr == "next: nnx learn start 1\n"
    empty = answer("learn", "check", "3")
    assert empty.returncode == 1
    assert "not written yet: write dense_backward" in empty.stdout
    file = tmp_path / task(3).file
    file.write_text(
        solved(task(3)).replace("dW = x.T @ dy", "dW = dy.T @ x\n    print('hello')"), encoding="utf-8"
    )
    wrong = answer("learn", "check", "3")
    assert wrong.returncode == 1
    assert "dense_backward, dx: right" in wrong.stdout
    assert "dense_backward, dW: wrong (2 rows): dW has the shape (2, 3)" in wrong.stdout
    assert "    hint: dW is transposed" in wrong.stdout
    assert "The data of dense_backward, 2 rows:\n  x = np.array([[" in wrong.stdout
    assert wrong.stderr.startswith("printed by your file:\n  hello\n")
    assert "2 of 3 results right" in answer("learn").stdout
    file.write_text(solved(task(3)), encoding="utf-8")
    right = answer("learn", "check", "3")
    assert (right.returncode, right.stderr) == (0, "next: nnx learn start 1\n")
    assert right.stdout.endswith("Everything is right.\n")
    assert "done" in answer("learn").stdout


def test_the_next_step_of_a_started_task_is_its_check(answer):
    answer("learn", "start", "1")
    assert answer("learn").stderr == "next: nnx learn check 1\n"


def test_without_the_function_or_with_an_error_no_data_are_shown(tmp_path, answer):
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    missing = answer("learn", "check", "3", "mine.py")
    assert missing.stdout.splitlines()[1:] == [
        "  dense_backward, dx: wrong (2 rows): the file has no function dense_backward"
    ]
    file.write_text("def dense_backward(x, W, dy):\n    return z\n")
    error = answer("learn", "check", "3", "mine.py")
    assert error.stdout.splitlines()[1:] == [
        "  dense_backward, dx: wrong (line 2, 2 rows): NameError: name 'z' is not defined"
    ]
    file.write_text("def dense_backward(x, W, dy):\n    while True: pass\n")
    endless = answer("learn", "check", "3", "mine.py", "--seconds", "1")
    assert endless.stdout.splitlines()[1:] == ["  mine.py, line 2: stopped after 1 s: does every loop end?"]


def test_progress_that_cannot_be_stored_is_a_note(tmp_path, answer):
    (tmp_path / "mine.py").write_text(solved(task(3)), encoding="utf-8")
    (tmp_path / ".nnx-learn.json").write_text("[")
    done = answer("learn", "check", "3", "mine.py")
    assert done.returncode == 0
    assert done.stdout.endswith("Everything is right.\n")
    assert done.stderr.startswith("note: the progress was not stored: .nnx-learn.json is damaged")
    assert (tmp_path / ".nnx-learn.json").read_text() == "["


def test_json_is_one_object_and_writes_nothing(tmp_path, answer):
    file = tmp_path / "submission.py"
    file.write_text("print('noise')\n" + solved(task(3)), encoding="utf-8")
    done = answer("learn", "check", "3", "submission.py", "--json", "--seed", "7")
    assert done.returncode == 0
    read = json.loads(done.stdout)
    assert (read["passed"], read["score"], read["printed"]) == (True, 1.0, "noise\n")
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["submission.py"]


def test_mistakes_are_one_line(tmp_path, answer):
    (tmp_path / "task03_dense_backward.py").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for line, status, words in [
        ("learn start 3", 1, "exists, and may hold your work"),
        ("learn start 99", 2, "there is no task 99"),
        ("learn start x", 2, "'N': must be a whole number"),
        ("learn check 99", 2, "there is no task 99"),
        ("learn check 3 nowhere.py", 2, "'nowhere.py' does not exist"),
        ("learn check 3 full", 2, "is a directory"),
        ("learn export full", 1, "is not empty"),
        ("learn export task03_dense_backward.py", 2, "is a file"),
        ("learn chek 3", 2, "did you mean 'check'"),
        ("learn check 3 --seconds 0", 2, "--seconds"),
    ]:
        done = answer(*line.split())
        assert (done.returncode, done.stdout) == (status, ""), line
        assert words in done.stderr, line
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "task03_dense_backward.py").read_text() == "mine"
    (tmp_path / "task03_dense_backward.py").unlink()
    assert "nnx learn start 3 writes it" in answer("learn", "check", "3").stderr


def test_a_class_set_says_how_it_is_graded(tmp_path, answer):
    done = answer("learn", "export", "class", "--seed", "7")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(tasks()) + 1
    assert done.stderr == "seed 7; to check what students hand in: nnx learn check N FILE --seed 7 --json\n"
    drawn = answer("learn", "export", "other")
    seed = drawn.stderr.split(";")[0].removeprefix("seed ")
    assert seed not in ("0", "")
    assert (tmp_path / "other" / "README.md").is_file()


def test_a_hint_is_shown_once_for_each_function(tmp_path, answer):
    """Two losses with the same mistake have two hints; an error that hides all results is shown once."""
    text = solved(task(6)).replace("error.size", "len(error)").replace("p.size", "len(p)")
    (tmp_path / "losses.py").write_text(text, encoding="utf-8")
    lines = answer("learn", "check", "6", "losses.py").stdout.splitlines()
    hint = "    hint: The gradient is divided by the number of rows"
    assert [lines[place - 1].split(":")[0] for place, line in enumerate(lines) if line.startswith(hint)] == [
        "  mean_squared_error, dp",
        "  binary_cross_entropy, dp",
    ]
    text = solved(task(3)).replace("dy @ W.T", "dy @ W").replace("x.T @ dy", "dy.T @ x")
    (tmp_path / "dense.py").write_text(text, encoding="utf-8")
    lines = answer("learn", "check", "3", "dense.py").stdout.splitlines()
    assert sum("mismatch" in line for line in lines) == 1
    assert sum(line.startswith("    hint: A transpose is missing in dx") for line in lines) == 1
    assert any(line.startswith("    hint for dW: dW is transposed") for line in lines)
