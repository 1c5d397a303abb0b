"""The GPU benchmark on the stand-in: its table and its JSON; its times mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.places import ROOT

pytestmark = pytest.mark.standin
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def test_the_table_and_the_json_say_on_what_and_when(tmp_path):
    options = ["--no-check", "--row", "nnx", "--steps", "1", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(
        [str(SCRIPT), *options], cwd=tmp_path, env=os.environ | {"PYTHON": sys.executable},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    results = found["results"]
    assert found["machine"]["date"] in done.stdout
    assert results["device"]["name"] in done.stdout
    assert set(results["software"]) == {"cupy", "cuda_runtime", "cuda_driver"}
    (step,) = results["steps"]
    assert step["name"] == "nnx"
    assert 0 < step["device"] < 1.01 * step["median"]
    assert "µs by events" in done.stdout
