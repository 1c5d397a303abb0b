"""No name of a model becomes code of the file that is made of it."""

from __future__ import annotations

import ast
import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from support.standalone_files import FORMS, needs, program_of, run_file, text_of

import nnx
from nnx.standalone.program import Cell, Meaning

NAMES = (
    'a"b', "it's", "a\\", "\\N{DIGIT ONE}", '"""', "'''", "`${process.exit(7)}`", "*/ process.exit(7) /*",
    "</script><script>alert(1)</script>", "<!--", "a\nimport os", "a\r\nb", "\u2028x\u2029y", "größe",
    "\U0001f600", "\ud800", "\x00\x1b[31m", "{0}", "{model}", "%s", "", "-*- coding: utf-7 -*-", "x" * 300,
)  # fmt: skip

CELLS = tuple(Cell(name) for name in NAMES)


def hostile_program():
    """A network with these names everywhere: classes, features, the title, layers and tables."""
    network = nnx.Network([nnx.Dense(len(NAMES), 5), nnx.Tanh(), nnx.Dense(len(NAMES))], seed=0)
    x = np.random.default_rng(0).normal(size=(2, len(NAMES)))
    program = program_of(
        network, x, Meaning(classes=NAMES, features=NAMES, title="".join(NAMES), cells=CELLS)
    )
    renamed = {name: f"{name}{NAMES[place]}.{place}" for place, name in enumerate(program.tables)}
    steps = []
    for place, step in enumerate(program.steps):
        tables = {role: renamed[name] for role, name in step.tables.items()}
        steps.append(replace(step, tables=tables, layer="".join(NAMES[place:])))
    tables = {renamed[name]: table for name, table in program.tables.items()}
    return replace(program, steps=tuple(steps), tables=tables)


@pytest.mark.parametrize("form", FORMS)
def test_hostile_names_stay_texts(tmp_path, form):
    program = hostile_program()
    done = run_file(tmp_path, form, program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 stored rows: the largest difference to nnx is ")
    text = text_of(program, form)
    head = text.partition("MODEL =")[0]
    assert text.encode("ascii" if form == "javascript" else "utf-8")
    assert not any(name in head for name in NAMES if len(name) > 4)
    if form == "javascript":
        assert "</script" not in text
        assert "<!--" not in text
        return
    names = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("CLASSES", "FEATURES", "MODEL", "COLUMNS"):
            names[node.targets[0].id] = ast.literal_eval(node.value)
    assert names.pop("COLUMNS") == [(name, [], None) for name in NAMES]
    assert names == {"CLASSES": [*NAMES], "FEATURES": [*NAMES], "MODEL": "".join(NAMES)}


def test_names_arrive_in_javascript_as_they_are(tmp_path):
    needs("javascript")
    (tmp_path / "model.mjs").write_text(text_of(hostile_program(), "javascript"), encoding="ascii")
    code = "import('./model.mjs').then((m) => console.log(JSON.stringify([m.CLASSES, m.FEATURES, m.MODEL])))"
    done = subprocess.run(["node", "-e", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[*NAMES], [*NAMES], "".join(NAMES)]


@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_name_of_a_file_is_not_in_it(form):
    for name in ('a"""\nimport os', "x; y", "größe", "../../up", "a*/b", "`"):
        text = text_of(hostile_program(), form, name)
        assert text == text_of(hostile_program(), form, "model")
