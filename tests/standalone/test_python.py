"""Python files as their readers see them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.standalone_files import program_of, text_of
from support.step_programs import built

from nnx.standalone.program import Meaning


@pytest.mark.parametrize("form", ["plain", "numpy"])
def test_linters_find_nothing_that_is_wrong(tmp_path, form):
    """Unknown names, unused imports and functions, and syntax that Python 3.10 has not."""
    for name in ("images", "table", "residual"):
        network, x = built(name)
        (tmp_path / f"{name}.py").write_text(text_of(program_of(network, x), form), encoding="utf-8")
    rules = ["check", "--isolated", "--select", "F,E7,E9,B,I", "--target-version", "py310", "."]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *rules], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "No module named ruff" in done.stderr:
        pytest.skip("needs ruff, which is not installed")
    assert done.returncode == 0, done.stdout


def test_the_file_without_numpy_imports_the_standard_library_only(tmp_path):
    network, x = built("images")
    text = text_of(program_of(network, x), "plain")
    imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert {line.split()[1].split(".")[0] for line in imports} <= {*sys.stdlib_module_names}
    assert "numpy" not in text


def test_the_example_in_the_head_works(tmp_path):
    network, x = built("residual")
    text = text_of(program_of(network, x, Meaning(classes=tuple("abcd"))), "plain", "flowers")
    (tmp_path / "flowers.py").write_text(text, encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()[2:4]]
    assert lines[0].startswith("from flowers import ")
    code = f"{lines[0]}\nprint({lines[1]})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"['{'abcd'[int(np.argmax(network.predict(x)[0]))]}']\n"
