"""Ranks with arrays on a stand-in for a GPU train like one process on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.places import TESTS

BESIDE = Path(sys.executable).parent / "mpiexec"
LAUNCHER = str(BESIDE) if BESIDE.is_file() else shutil.which("mpiexec")
MISSING = LAUNCHER is None or importlib.util.find_spec("mpi4py") is None

pytestmark = [
    pytest.mark.standin,
    pytest.mark.skipif(MISSING, reason="needs mpi4py and mpiexec: pip install mpi4py mpich"),
]


def job(kind: str, ranks: int, where: str = "host") -> dict[str, list[float]]:
    """The history of a job; its first rank is on the first of the stand-in's two devices."""
    command = [
        LAUNCHER or "",
        "-n",
        str(ranks),
        sys.executable,
        str(TESTS / "support" / "ladder" / "job.py"),
        kind,
        where,
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    device, metrics = json.loads(done.stdout)
    assert device == "gpu:0"
    return metrics


@pytest.mark.parametrize("kind", ["mpi", "nccl"])
def test_ranks_on_gpus_follow_one_process(kind):
    one, two = job(kind, 1), job(kind, 2)
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-9)


def test_the_data_of_each_rank_may_lie_on_its_gpu():
    assert job("mpi", 2, "device") == job("mpi", 2)


def test_nccl_wants_a_gpu_for_each_rank():
    with pytest.raises(AssertionError, match="rank 2 is number 3 on a machine with 2 GPUs"):
        job("nccl", 3)
