"""Importing the data sets loads no heavy library."""

from __future__ import annotations

import subprocess
import sys

from support.places import ROOT


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, nnx.datasets; nnx.datasets.load_xor(); "
        "print(sorted({'sklearn', 'scipy', 'pooch', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
