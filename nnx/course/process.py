"""Run a student's file in a separate process, with limits of time and memory."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx.course import calls
from nnx.course.task import Case

SECONDS = 10.0  # for all calls together
_LATE = 5.0  # more seconds; then a process that has not ended is killed
_STOPPED = 256  # stands for the exit status of such a process; no process returns 256
_SHOWN = 4000  # bytes of what was printed
_SETTINGS = {
    "PYTHONIOENCODING": "utf-8:replace", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


@dataclass
class Answer:
    """The result of running a student's file.

    Attributes
    ----------
    outcomes : list of dict
        One for each case, see `calls.call`; empty if there is a problem.
    problem : str
        Why there are no outcomes, in one line; else empty.
    line : int or None
        The line of the problem in the student's file.
    lines : dict
        The line where each function begins.
    printed : str
        What the file printed.
    """

    outcomes: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    line: int | None = None
    lines: dict[str, int | None] = field(default_factory=dict)
    printed: str = ""


def run(file: Path, cases: list[Case], seconds: float = SECONDS) -> Answer:
    """Call the functions of a file with the arguments of each case.

    The process has `seconds` in all and 1 GiB of memory for its arrays (on Linux; Windows and macOS limit the
    time only). This is not a sandbox: the file can read and write what its user can.
    """
    with tempfile.TemporaryDirectory(prefix="nnx-learn-") as name:
        folder = Path(name)
        asked = [(case.function, case.arguments) for case in cases]
        calls.write(folder, "calls", {"file": str(file.resolve()), "seconds": seconds, "calls": asked})
        status = _wait(folder, seconds)
        printed = _start(folder / "printed.txt")
        answer = _answer(folder)
        if answer is None:
            problem, line = _why(file.resolve(), _start(folder / "where.txt"), status, seconds)
            return Answer(problem=problem, line=line, printed=printed)
    if "loading" in answer:
        error = answer["loading"]
        return Answer(problem=explained(error), line=error["line"], printed=printed)
    return Answer(answer["outcomes"], lines=answer["lines"], printed=printed)


def _wait(folder: Path, seconds: float) -> int:
    """Wait for the process, kill it and its children, and return its exit status."""
    with (folder / "printed.txt").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", calls.__file__, str(folder)],
            stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **_SETTINGS},
        )  # fmt: skip
        try:
            return process.wait(seconds + _LATE)
        except subprocess.TimeoutExpired:
            return _STOPPED
        finally:
            with contextlib.suppress(OSError):
                if os.name == "posix":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()


def _answer(folder: Path) -> dict[str, Any] | None:
    try:
        answer = calls.read(folder, "answer")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return answer if isinstance(answer, dict) else None


def _start(path: Path) -> str:
    """Return the beginning of a text file that may not exist."""
    try:
        with path.open("rb") as file:
            return file.read(_SHOWN).decode("utf-8", "replace")
    except OSError:
        return ""


def _why(file: Path, where: str, status: int, seconds: float) -> tuple[str, int | None]:
    """Return why a process ended without an answer, and the line of the student's file where it was."""
    name = str(file).encode("ascii", "backslashreplace").decode()  # as faulthandler writes it
    found = re.search(rf'File "{re.escape(name)}", line (\d+)', where)
    line = int(found[1]) if found else None
    if "Timeout" in where or status == _STOPPED:
        return f"stopped after {seconds:g} s: does every loop end?", line
    if status < 0:
        known = {int(one): one.name for one in signal.Signals}  # real-time signals have no name
        return f"the process was ended by {known.get(-status, f'signal {-status}')}", line
    return f"the process ended without an answer (exit status {status})", line


def explained(error: dict[str, Any]) -> str:
    """Return an error of the student's file in one line."""
    kind, text = error["type"], error["text"]
    if kind == calls.EMPTY:
        return "the file is empty: delete it, and nnx learn start writes it again, with what is to do"
    if kind == "NotImplementedError":
        return f"not written yet: {text}" if text else "not written yet"
    if kind == "SystemExit":
        return "the file ends its process (sys.exit, exit or quit): remove that call"
    if kind in ("MemoryError", "_ArrayMemoryError"):
        return "more than 1 GiB of memory: does an array or a list grow without end?" + (
            f" ({text})" if text else ""
        )
    if kind == "RecursionError":
        return "the function calls itself without end: when must it stop?"
    if kind == "EOFError":
        return "input() gets no answer here: use the function's arguments"
    if kind in ("ImportError", "ModuleNotFoundError") and re.search(r"\bnnx\b", text):
        return "the file imports nnx: write the function with NumPy alone"
    if kind == "OSError" and "File too large" in text:
        return "more than 16 MiB were printed or written: remove the print from the loop"
    return f"{kind}: {text}" if text else kind
