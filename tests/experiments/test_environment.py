"""A result says on which machine it was computed, and how long its process has been running."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from nnx import backends
from nnx.experiments.environment import environment, process_seconds


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_cpu_is_described_with_the_threads_that_were_used(backend):
    found = environment("cpu", backend)
    assert found["python"].endswith(platform.python_version())
    assert found["machine"] == platform.machine()
    assert found["processor"]
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= found["cores"] <= len(os.sched_getaffinity(0))
    used = backends.resolve(backend)
    assert found["threads"] in (used.blas_threads(), used.threads)
    assert found["blas"] == used.blas_name()
    assert "gpu" not in found


def test_a_gpu_is_described_as_its_list_describes_it(monkeypatch):
    listed = [
        SimpleNamespace(device="gpu:0", detail="one"),
        SimpleNamespace(device="gpu:1", detail="another"),
    ]
    monkeypatch.setattr(backends, "available", lambda: listed)
    assert environment("gpu:1", "cupy")["gpu"] == "another"
    assert environment("gpu:2", "cupy")["gpu"] == "not found again"
    assert "threads" not in environment("gpu:1", "cupy")


def test_the_time_of_a_process_begins_with_it():
    assert process_seconds() > 0.0
    code = "from nnx.experiments.environment import process_seconds; print(process_seconds())"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken = time.perf_counter() - began
    assert 0.0 < float(done.stdout) < taken + 0.02  # a process begins at a tick of the system, of 10 ms
