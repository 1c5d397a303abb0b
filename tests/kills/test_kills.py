"""Runs that are killed at random moments and resumed: the short form of `tests/soak/kills.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import TESTS

import nnx

pytestmark = pytest.mark.slow

KILLS = 20
SCRIPT = TESTS / "soak" / "kills.py"


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="reads processor times as Linux tells them"
)
def test_runs_survive_kills_at_random_places():
    path = os.pathsep.join(filter(None, [str(Path(nnx.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", str(KILLS), "--seed", "1"],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == KILLS
    assert told["different"] == []
    assert len(told["by place"]) >= 4, "kills at a few places only"
