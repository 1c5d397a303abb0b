"""Write the files that students start from, a set for a class, and the progress of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nnx.course.calls import call
from nnx.course.checking import Report
from nnx.course.task import Case, Task, tasks
from nnx.errors import ConfigurationError, OutputError
from nnx.files import make_folder, recorded, replacing

PROGRESS = ".nnx-learn.json"
_HEADER = """
# Replace each `raise NotImplementedError` by your code. Below the functions are tests: read them too.
# Run them: python {file}        Check more, and get hints: nnx learn check {number}
"""
_FOOTER = """

if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed:", name)
"""
_README = """# Exercises: a neural network from its parts

Each file has one task: a text, formulas, functions to write, and tests to read. You need Python and NumPy.

    python {first}     runs the tests of this file

Replace each line that raises `NotImplementedError` by your code. If you have nnx (pip install nnx-arrays),
it checks more, shows the first wrong number, and gives a hint:

    nnx learn check {number} {first}

{list}
"""


def starting_text(task: Task, seed: int = 0) -> str:
    """Return the file that a student starts from: the task, examples with data from a seed, the footer."""
    header = _HEADER.format(file=task.file, number=task.number)
    text = task.text.rstrip().replace("\n\nimport ", f"\n{header}\nimport ", 1)
    return f"{text}\n{_example(task, seed)}{_FOOTER}"


def _example(task: Task, seed: int) -> str:
    """Return a test with the first case of each function, and the right results."""
    seen: set[str] = set()
    text = ""
    for case in task.cases(seed):
        if case.function in seen:
            continue
        seen.add(case.function)
        names = task.returns[case.function]
        result = call(task.reference()[case.function], case.arguments)["result"]
        results = result if isinstance(result, tuple) else (result,)
        text += f'\n\ndef test_example_of_{case.function}():\n    """Compare with the right result."""\n'
        text += "".join(f"    {line}\n" for line in written(case))
        text += _call(names, case)
        for name, value in zip(names, results, strict=True):
            numbers = _literal(np.asarray(value), 8, result=True)
            text += f"    np.testing.assert_allclose(\n        {name},\n        {numbers},\n"
            text += "        atol=1e-6,\n    )\n"
    return text


def written(case: Case) -> list[str]:
    """Return the arguments of a case as lines of Python."""
    text = "\n".join(f"{name} = {_literal(value, len(name) + 3)}" for name, value in case.arguments.items())
    return text.splitlines()


def _call(names: tuple[str, ...], case: Case) -> str:
    """Return the call of a case, on one line if it fits."""
    start, arguments = f"    {', '.join(names)} = {case.function}(", ", ".join(case.arguments)
    fits = len(start + arguments) < 110
    return f"{start}{arguments})\n" if fits else f"{start}\n        {arguments}\n    )\n"


def _literal(value: Any, indent: int, result: bool = False) -> str:
    """Return a value as Python text; a result has six digits."""
    if isinstance(value, np.ndarray) and value.ndim > 2 and 1 in value.shape:  # fewer brackets and lines
        return f"{_literal(value.squeeze(), indent, result)}.reshape{value.shape}"
    if isinstance(value, np.ndarray):
        prefix = " " * (indent + len("np.array("))
        numbers = np.array2string(
            value, separator=", ", max_line_width=100, prefix=prefix, threshold=10**6,
            precision=6 if result else 17, suppress_small=result, floatmode="maxprec",
        )  # fmt: skip
        return numbers if result and not value.ndim else f"np.array({numbers})"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_literal(one, indent) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    return repr(value)


def start(task: Task, path: Path) -> None:
    """Write the file that a student starts from.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written.
    """
    _new(path, starting_text(task))


def _new(path: Path, text: str) -> None:
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"{path} exists, and may hold your work: rename it, or choose another name with --out"
        )
    with replacing(path) as file:
        file.write(text.encode())


def export(folder: Path, seed: int) -> list[Path]:
    """Write all tasks to a new folder, with examples from a seed and without solutions.

    Raises
    ------
    OutputError
        If the folder has files already, or cannot be written. Then no new file is left.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty: choose a new folder")
    known = tasks()
    texts = {one.file: starting_text(one, seed) for one in known}
    listed = "\n".join(f"{one.number}. [{one.title}]({one.file})" for one in known)
    texts["README.md"] = _README.format(first=known[0].file, number=known[0].number, list=listed)
    with recorded() as made:
        try:
            make_folder(folder)
            for name, text in texts.items():
                _new(folder / name, text)
        except BaseException:
            made.undo()
            raise
    return [folder / name for name in texts]


# --------------------------------------------------------------------------------- progress


def progress(folder: Path) -> dict[int, str]:
    """Return the state of each task in a folder: ``"done"``, ``"3 of 4 results right"``, ``"started"``.

    Raises
    ------
    ConfigurationError
        If the file with the progress is damaged.
    """
    known = {one.number: "started" for one in tasks() if (folder / one.file).exists()}
    try:
        stored = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        return known | {int(number): str(state) for number, state in stored.items()}
    except FileNotFoundError:
        return known
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{folder / PROGRESS} is damaged ({error}): remove it, and check again"
        ) from error


def note(folder: Path, report: Report) -> None:
    """Store the result of a check; a task that was done once stays done."""
    results = [one for one in report.checks if one.result != "arguments"]
    state = (
        f"{sum(one.passed for one in results)} of {len(results)} results right" if results else "does not run"
    )
    stored = {number: text for number, text in progress(folder).items() if text != "started"}
    if stored.get(report.task.number) != "done":
        stored[report.task.number] = "done" if report.passed else state
    with replacing(folder / PROGRESS) as file:
        file.write(json.dumps(stored, indent=2).encode())
