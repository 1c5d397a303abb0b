"""Start real jobs of several ranks with ``mpiexec``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nnx
from support.places import JOBS  # noqa: F401

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
TIMEOUT = 8.0  # seconds that ranks wait for each other; on a busy machine, starting takes 3


def launcher() -> str | None:
    """The ``mpiexec`` of this environment, else of the machine."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.is_file() else shutil.which("mpiexec")


def missing() -> str:
    """What is missing for a job; empty where all is there."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'nnx-arrays[mpi]'"
    return "" if launcher() else "there is no mpiexec: pip install mpich, or install an MPI"


needs_mpi = [
    pytest.mark.mpi,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


def command(ranks: int, *arguments: object) -> list[str]:
    version = subprocess.run([launcher() or "", "--version"], capture_output=True, text=True, check=False)
    open_mpi = "Open MPI" in version.stdout or "OpenRTE" in version.stdout
    options = ["--oversubscribe", "--allow-run-as-root"] if open_mpi else []
    return [launcher() or "", *options, "-n", str(ranks), sys.executable, *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NNX_")}
    path = os.pathsep.join(filter(None, [str(Path(nnx.__file__).parents[1]), kept.get("PYTHONPATH")]))
    return kept | THREADS | {"NNX_OFFLINE": "1", "NNX_DEVICE": "numpy", "PYTHONPATH": path} | variables


def start(ranks: int, *arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(ranks, *arguments),
        env=environment(**variables),
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def run(
    ranks: int, *arguments: object, cwd: Path | None = None, seconds: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Start a job, or without ``mpiexec`` for no ranks, and wait for its end."""
    if ranks:
        process = start(ranks, *arguments, cwd=cwd, **variables)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(**variables),
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def until(condition: Callable[[], bool], process: Any, seconds: float = 30.0) -> None:
    """Wait for something that a job does."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
