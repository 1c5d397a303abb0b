"""A student's file runs in a process of its own; whatever it does ends in one line, with its line number."""

from __future__ import annotations

import os
import sys
import time

import pytest

from nnx.course.process import run
from nnx.course.task import task

TASK = task(3)
CASES = TASK.cases()
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory")
POSIX = pytest.mark.skipif(os.name != "posix", reason="only POSIX limits the size of files")
RIGHT = (
    "import numpy as np\n\n\ndef dense_backward(x, W, dy):\n    return dy @ W.T, x.T @ dy, dy.sum(axis=0)\n"
)


def answer_of(tmp_path, text, seconds=20.0):
    """Run a file; return the answer, and the problem with its line: of loading, or of the first call."""
    file = tmp_path / "student.py"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    answer = run(file, CASES, seconds)
    first = answer.outcomes[0] if answer.outcomes else {}
    error = first.get("error", {})
    return answer, answer.problem or error.get("text", ""), answer.line or error.get("line")


def inside(*lines):
    """A file whose function has these lines; the first of them is line 5."""
    return "import numpy as np\n\n\ndef dense_backward(x, W, dy):\n" + "".join(
        f"    {line}\n" for line in lines
    )


def test_a_right_file_has_one_outcome_for_each_case(tmp_path):
    answer, problem, _ = answer_of(tmp_path, RIGHT)
    assert problem == ""
    assert len(answer.outcomes) == len(CASES)
    assert answer.lines == {"dense_backward": 4}
    assert all(outcome["changed"] == [] for outcome in answer.outcomes)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (inside("x ="), 5, "SyntaxError"),
        ("def dense_backward(x, W, dy):\nreturn x\n", 2, "IndentationError"),
        ("\n\nimport not_installed_anywhere\n", 3, "ModuleNotFoundError"),
        ("import numpy as np\nimport nnx\n", 2, "write the function with NumPy alone"),
        ("from nnx.layers import Dense\n", 1, "write the function with NumPy alone"),
        ("import sys\nsys.exit(0)\n", 2, "ends its process"),
        ("import os\nos._exit(0)\n", 2, "ends its process"),
        ("value = input()\n", 1, "input()"),
        ("open('nowhere/at/all')\n", 1, "FileNotFoundError"),
        ("1 / 0\n", 1, "ZeroDivisionError"),
        ("class E(BaseException):\n    def __str__(self): return 1 / 0\nraise E\n", 3, "E"),
        (b"x = '\xff'\n", 1, "SyntaxError"),
        (b"\0\0\0", None, "null bytes"),
        ("", None, "the file is empty"),
        ("\n \n", None, "the file is empty"),
        ("import os\nos.fork()\n", 2, "must not start another process"),
        ("import subprocess\nsubprocess.run(['true'])\n", 2, "must not start another process"),
        ("import os\nos.system('true')\n", 2, "must not start another process"),
        pytest.param("import os\nos.kill(os.getpid(), 11)\n", 2, "SIGSEGV", marks=POSIX),
    ],
)  # fmt: skip
def test_a_file_that_does_not_load_is_one_line(tmp_path, text, line, words):
    answer, problem, where = answer_of(tmp_path, text)
    assert answer.outcomes == []
    assert words in problem
    assert "\n" not in problem
    assert where == line


@pytest.mark.parametrize(
    ("lines", "line", "kind"),
    [
        (("import sys", "sys.exit()"), 6, "SystemExit"),
        (("raise KeyboardInterrupt",), 5, "KeyboardInterrupt"),
        (("return dense_backward(x, W, dy)",), 5, "RecursionError"),
        (("return x @ dy",), 5, "ValueError"),
        (("y = x", "return np.linalg.inv(np.zeros((2, 2)))"), 6, "LinAlgError"),
        (("return x.T @ dy + undefined",), 5, "NameError"),
        pytest.param(("return np.zeros(2**34)",), 5, "MemoryError", marks=LINUX),
        pytest.param(
            ("many = []", "while True:", "    many.append(bytearray(2**26))"), 7, "MemoryError", marks=LINUX
        ),
        pytest.param(("while True:", "    print('x' * 1000)"), 6, "OSError", marks=POSIX),
    ],
)  # fmt: skip
def test_an_error_in_a_call_has_its_line(tmp_path, lines, line, kind):
    answer, _, where = answer_of(tmp_path, inside(*lines))
    assert answer.outcomes[0]["error"]["type"] == kind
    assert where == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (inside("while True:", "    pass"), None),
        (inside("try:", "    while True: pass", "except BaseException:", "    while True: pass"), 6),
        (inside("import time", "time.sleep(1000)"), 6),
        ("import threading\nthreading.Event().wait()\n", 2),
    ],
)
def test_a_file_without_an_end_is_stopped_at_its_line(tmp_path, text, line):
    began = time.monotonic()
    answer, problem, where = answer_of(tmp_path, text, seconds=1.5)
    assert time.monotonic() - began < 60
    assert "stopped after 1.5 s" in problem
    assert (where in (5, 6)) if line is None else where == line
    assert answer.outcomes == []


def test_the_line_is_found_in_a_folder_with_other_letters(tmp_path):
    folder = tmp_path / "Übung – 数"
    folder.mkdir()
    _, problem, line = answer_of(folder, "while True:\n    pass\n", seconds=1)
    assert "stopped after 1 s" in problem
    assert line in (1, 2)


def test_what_is_printed_is_returned_and_the_results_too(tmp_path):
    text = RIGHT.replace("    return", "    print('shape', x.shape, 'é')\n    return")
    answer, problem, _ = answer_of(tmp_path, text)
    assert problem == ""
    assert answer.printed.startswith("shape (2, 3) é\n")


def test_a_thread_that_still_runs_does_not_keep_the_process_alive(tmp_path):
    text = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n" + RIGHT
    answer, problem, _ = answer_of(tmp_path, text)
    assert problem == ""
    assert len(answer.outcomes) == len(CASES)


def test_files_next_to_it_can_be_imported_but_replace_no_library(tmp_path):
    (tmp_path / "numpy.py").write_text("raise OSError\n")
    (tmp_path / "earlier.py").write_text("def total(x):\n    return x.sum(axis=0)\n")
    text = "from earlier import total\n" + RIGHT.replace("dy.sum(axis=0)", "total(dy)")
    assert answer_of(tmp_path, text)[1] == ""


def test_a_forged_answer_that_cannot_be_read_is_no_answer(tmp_path):
    text = (
        "import os, sys\nfrom pathlib import Path\n"
        "folder = Path(sys.argv[1])\n(folder / 'answer.json').write_text('{')\n"
        "sys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
    )
    answer, problem, _ = answer_of(tmp_path, text)
    assert answer.outcomes == []
    assert problem


def test_large_wrong_results_are_answers_all_the_same(tmp_path):
    """Only their shapes are kept; no file with them grows too large."""
    answer, problem, _ = answer_of(tmp_path, inside(*["return (np.zeros((1000, 1000)),) * 3"]))
    assert problem == ""
    assert answer.outcomes[0]["result"] == ({"shape": [1000, 1000]},) * 3


@POSIX
@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "signal 40")])
def test_a_signal_that_ends_the_process_is_named(tmp_path, number, name):
    """Also one without a name, and not as a loop without an end."""
    text = "import os\n" + inside(f"os.kill(os.getpid(), {number})")
    assert answer_of(tmp_path, text)[1] == f"the process was ended by {name}"


@pytest.mark.parametrize("name", ["answer.npz", "answer.json"])
def test_an_answer_that_is_cut_off_is_none(tmp_path, name):
    """A full disk cuts it off: the message is a line, not a traceback."""
    text = inside(
        "import __main__",
        "from pathlib import Path",
        "import sys",
        "folder = Path(sys.argv[1])",
        "__main__.write(folder, 'answer', {'outcomes': [], 'lines': {}})",
        f"(folder / {name!r}).write_bytes(b'PK')",
        "__main__._leave(3)",
    )
    assert answer_of(tmp_path, text)[1] == "the process ended without an answer (exit status 3)"
