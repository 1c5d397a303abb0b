"""Write stand-alone files, and run them as a user does: Python without nnx on its path, and Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnx.standalone import javascript, python
from nnx.standalone.lowering import lower
from nnx.standalone.program import Examples, Program

PYTHON = """
import json, runpy, sys
for path in sys.argv[1:]:
    given, model = json.load(open(path + ".json")), runpy.run_path(path)
    answers = [getattr(y, "tolist", lambda: y)() for y in model["predict"](given)]
    classes = model["classify"](given) if "classify" in model else []
    json.dump({"answers": answers, "classes": classes, "check": model["check"](),
               "example": model["EXAMPLE"] is not None}, open(path + ".out", "w"))
assert "nnx" not in sys.modules
"""
NODE = """
import { readFileSync, writeFileSync } from "node:fs";
for (const path of process.argv.slice(1)) {
  const model = await import(path);
  const given = JSON.parse(readFileSync(path + ".json")), answers = model.predict(given);
  const classes = model.classify?.(given) ?? [], example = model.EXAMPLE !== undefined;
  const text = JSON.stringify({ answers, classes, check: model.check(), example },
    (_, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value));
  writeFileSync(path + ".out", text);
}
"""
FORMS = {
    "plain": (".py", [sys.executable, "-I", "-S", "-c", PYTHON]),
    "numpy": (".py", [sys.executable, "-I", "-c", PYTHON]),
    "javascript": (".mjs", ["node", "--input-type=module", "-e", NODE]),
}


def needs(form: str) -> None:
    """Skip a test of JavaScript if there is no Node.js."""
    if form == "javascript" and shutil.which("node") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true, but Node.js is not installed")
        pytest.skip("needs Node.js, which is not installed")


def program_of(network, x, meaning=None, y=None) -> Program:
    """Return a network's program, which checks itself with these rows."""
    x = np.asarray(x)
    return lower(network, meaning, Examples(x, network.predict(x) if y is None else y))


def text_of(program: Program, form: str, name: str = "model") -> str:
    """Return the text of a file of a form."""
    if form == "javascript":
        return javascript.write(program, name)[0]
    return python.write(program, name, numpy=form == "numpy")[0]


def answers_of(folder: Path, form: str, programs: dict[str, tuple[Program, np.ndarray]]) -> dict[str, dict]:
    """Write a file for each program, and return what the files answer to rows, all in one process."""
    paths = {}
    for name, (program, x) in programs.items():
        path = folder / f"{name}{FORMS[form][0]}"
        path.write_text(text_of(program, form), encoding="utf-8")
        paths[path] = x
    return _run(folder, form, paths)


def run_there(folder: Path, form: str, path: Path, x: np.ndarray) -> dict:
    """Return what a written file answers to rows."""
    if path.suffix == ".js":
        path = path.rename(path.with_suffix(".mjs"))
    return _run(folder, form, {path: x})[path.stem]


def _run(folder: Path, form: str, paths: dict[Path, np.ndarray]) -> dict[str, dict]:
    needs(form)
    for path, x in paths.items():
        rows = x.tolist() if isinstance(x, np.ndarray) else x
        Path(f"{path}.json").write_text(json.dumps(rows), encoding="utf-8")
    done = subprocess.run(
        [*FORMS[form][1], *map(str, paths)], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.stem: json.loads(Path(f"{path}.out").read_text(encoding="utf-8")) for path in paths}


TRIES = {
    ".py": """
import model
for rows in ({}):
    try:
        model.predict(rows)
        print("no error")
    except ValueError as error:
        print(error)
""",
    ".mjs": """
const model = await import(process.cwd() + "/model.mjs");
for (const rows of [{}]) {{
  try {{
    model.predict(rows);
    console.log("no error");
  }} catch (error) {{
    console.log(error.message);
  }}
}}
""",
}


def errors_of(folder: Path, form: str, program: Program, rows: list[str]) -> list[str]:
    """Return the errors of a file for rows, given as expressions, all in one process."""
    needs(form)
    ending, command = FORMS[form]
    (folder / f"model{ending}").write_text(text_of(program, form), encoding="utf-8")
    start = [one for one in command[:-1] if one != "-I"]  # with -I, the folder would not be on the path
    code = TRIES[ending].format("".join(f"{one}, " for one in rows))
    done = subprocess.run([*start, code], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run_file(folder: Path, form: str, program: Program, name: str = "model") -> subprocess.CompletedProcess:
    """Write a file and run it: it checks itself and prints an example."""
    needs(form)
    ending, command = FORMS[form]
    path = folder / f"{name}{ending}"
    path.write_text(text_of(program, form, name), encoding="utf-8")
    start = [one for one in command if one not in ("-c", "-e", "--input-type=module", PYTHON, NODE)]
    return subprocess.run(
        [*start, str(path)], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def with_rows(program: Program, x, y) -> Program:
    """Return the program with other stored rows."""
    return replace(program, examples=Examples(np.asarray(x), np.asarray(y)))
