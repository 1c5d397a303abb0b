"""Repeated training does not use more and more memory: the short form of `tests/soak/soak.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nnx

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("soak.py")


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads memory and handles as Linux tells them"
)
def test_no_memory_handles_threads_or_objects_are_gathered():
    path = os.pathsep.join(filter(None, [str(Path(nnx.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rounds", "60"], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout or "{}")
    assert told.get("grown") in ([], ["memory"]), done.stdout + done.stderr
    # of memory, less than a network with its workspaces a round, which are half a megabyte
    assert told["memory"]["last fifth"] - told["memory"]["first fifth"] < 60 * 2**17
