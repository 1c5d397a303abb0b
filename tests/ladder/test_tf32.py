"""TF32: off by default, switched on by CuPy's variable, recorded, and refused if unavailable."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.command_line import command

ASK = "from cupy._core import _routines_linalg as r; print(r.get_compute_type('f') == r.COMPUTE_TYPE_DEFAULT)"


def asked_of_cupy(**variables: str) -> subprocess.CompletedProcess[str]:
    rest = {name: value for name, value in os.environ.items() if name != "CUPY_TF32"}
    return subprocess.run(
        [sys.executable, "-c", ASK], env=rest | variables, capture_output=True, text=True, check=False
    )


def test_cupys_products_are_in_full_precision_until_its_variable_says_otherwise():
    assert asked_of_cupy().stdout == "True\n"
    asks = asked_of_cupy(CUPY_TF32="1")  # whether the device has TF32, before it would use it
    assert "get_compute_capability" in asks.stderr


@pytest.mark.standin
@pytest.mark.parametrize(("options", "on"), [((), False), (("--tf32",), True)])
def test_a_result_records_it(tmp_path, options, on):
    done = command(tmp_path, "run", "xor", "--device", "gpu", "--epochs", 2, "--json", "--out", "x", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["tf32"] is on


@pytest.mark.standin
def test_a_gpu_without_tf32_is_an_error(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import cupy\nfind = cupy.cuda.runtime.getDeviceProperties\n"
        "cupy.cuda.runtime.getDeviceProperties = lambda index: {**find(index), 'major': 7}\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = command(tmp_path, "run", "xor", "--device", "gpu", "--tf32", "--out", "x", PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr.startswith("nnx: --tf32 needs a GPU of compute capability 8.0 or newer")
    assert not (tmp_path / "x").exists()


@pytest.mark.standin
def test_a_gpu_that_is_not_among_those_there_are(tmp_path):
    done = command(tmp_path, "run", "xor", "--device", "gpu:7", "--out", "x")
    assert done.returncode == 1
    assert done.stderr.startswith("nnx: there is no gpu:7, this machine has 2 GPUs, gpu:0 to gpu:1: choose")
    assert done.stderr.count("\n") == 1
