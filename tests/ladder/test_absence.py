"""CuPy's real wheel on a machine without a GPU: its behaviour, and the one line that nnx prints.

A shared library with three functions takes the place of libcuda.so.1, as a driver that is too old or finds no
GPU. CUDA calls no other function before it gives up. The errors are CUDA's own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import command

from nnx.backends import cuda_driver, cupy_errors, resolve
from nnx.errors import DeviceError

pytest.register_assert_rewrite("command_line")

DRIVER = """
#include <stdlib.h>
int cuDriverGetVersion(int* version) { *version = atoi(getenv("DRIVER_VERSION")); return 0; }
int cuInit(unsigned int flags) { return 100; /* CUDA_ERROR_NO_DEVICE */ }
int cuGetExportTable(const void** table, const void* id) { return 1; }
"""
HIDDEN = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "cupy" else find(name, *rest)
"""
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a driver that supports the CUDA in DRIVER_VERSION and finds no GPU."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("driver")
    build = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / "libcuda.so.1")]
    subprocess.run(build, input=DRIVER, text=True, check=True)
    return str(folder)


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """What `nnx run xor --device gpu` says before it exits with 1, having made nothing."""

    def run(**variables: str) -> str:
        done = command(tmp_path, "run", "xor", "--device", "gpu", "--out", "runs/x", **variables)
        assert (done.returncode, done.stdout) == (1, "")
        assert not (tmp_path / "runs").exists()
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("nnx: ")
        assert lines[0].endswith("or choose device cpu")
        return lines[0].removeprefix("nnx: ")

    return run


# ---------------------------------------------------------- the wheel by itself


def test_the_wheel_imports_and_says_that_no_device_is_available() -> None:
    import cupy

    assert cupy.cuda.is_available() is False


@pytest.mark.parametrize(
    "touch",
    ["zeros(2)", "asarray([1.0])", "cuda.runtime.getDeviceCount()", "cuda.Device(0).compute_capability",
     "cuda.runtime.memGetInfo()", "ElementwiseKernel('float32 x', 'float32 y', 'y = x', 'f')(1.0)"],
)  # fmt: skip
def test_whatever_touches_the_device_raises_status_35(touch: str) -> None:
    import cupy

    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInsufficientDriver") as caught:
        eval(f"cupy.{touch}", {"cupy": cupy})
    assert caught.value.status == 35
    known = cupy_errors.explain(caught.value, "gpu:0", 0)
    assert isinstance(known, DeviceError)
    assert "there is no NVIDIA driver" in str(known)


@pytest.mark.parametrize("library", ["cublas", "cusolver", "curand"])  # not among the ladder's wheels
def test_a_missing_cuda_library_is_named_with_the_command_that_brings_it(library: str) -> None:
    with pytest.raises(ImportError) as caught:  # DynamicLibNotFoundError is one, or is its cause
        __import__(f"cupy_backends.cuda.libs.{library}")
    known = cupy_errors.explain(caught.value, "gpu:0")
    assert str(known).startswith(f"a CUDA library that CuPy needs is missing (lib{library}")
    assert "run pip install 'cupy-cuda13x[ctk]'" in str(known)


# ------------------------------------------------------------- the command line


def test_no_driver(refused: Refused) -> None:
    text = refused()
    assert text.startswith("CuPy is installed (cupy-cuda13x 1")
    assert "but there is no NVIDIA driver: install the driver" in text


@pytest.mark.parametrize(
    ("number", "supported", "remedy"),
    [
        ("12040", "12.4", "update the driver, or run pip uninstall -y cupy-cuda13x, then pip install"),
        ("11080", "11.8", "update the driver, or choose"),
    ],
)  # fmt: skip
def test_a_driver_that_is_too_old(
    refused: Refused, driver: str, number: str, supported: str, remedy: str
) -> None:
    text = refused(LD_LIBRARY_PATH=driver, DRIVER_VERSION=number)
    assert text.startswith(
        f"the NVIDIA driver supports CUDA {supported} at most, less than cupy-cuda13x needs: {remedy}"
    )
    assert ("'cupy-cuda12x[ctk]'" in text) == (number == "12040")


def test_a_driver_without_a_gpu(refused: Refused, driver: str) -> None:
    text = refused(LD_LIBRARY_PATH=driver, DRIVER_VERSION="13020", CUDA_VISIBLE_DEVICES="3")
    assert text.startswith(
        "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, which is '3'"
    )


def test_two_wheels_that_overwrite_each_other(refused: Refused, tmp_path: Path) -> None:
    about = tmp_path / "cupy_cuda12x-14.1.0.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: cupy-cuda12x\nVersion: 14.1.0\n")
    done = command(tmp_path, "run", "xor", "--device", "gpu", PYTHONPATH=both(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(
        "nnx: 2 CuPy packages are installed and overwrite each other (cupy-cuda12x, cupy-cuda13x): "
        "run pip uninstall -y cupy-cuda12x cupy-cuda13x, then pip install"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        ("13000", "pip install 'cupy-cuda13x[ctk]', or choose"),
        ("12040", "pip install 'cupy-cuda12x[ctk]', or choose"),
        ("11080", "pip install 'cupy-cuda13x[ctk]' once the driver, which supports CUDA 11.8 at most, is"),
    ],
)
def test_without_cupy_the_driver_says_which_to_install(
    refused: Refused, driver: str, tmp_path: Path, number: str, advice: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    text = refused(PYTHONPATH=both(tmp_path), LD_LIBRARY_PATH=driver, DRIVER_VERSION=number)
    assert text.startswith(f"CuPy is not installed, so there is no GPU backend: run {advice}")


@pytest.mark.skipif(cuda_driver.gpu_or_driver(), reason="there is an NVIDIA GPU or driver here")
def test_without_a_gpu_a_driver_and_cupy_nothing_is_advised(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    text = refused(PYTHONPATH=both(tmp_path))
    assert text.startswith(
        "no NVIDIA GPU or driver was found on this machine: install the GPU's driver first"
    )
    assert "cupy" not in text


def test_devices_lists_the_gpu_with_the_reason_and_the_driver(tmp_path: Path, driver: str) -> None:
    done = command(tmp_path, "devices", "--json", "--check", LD_LIBRARY_PATH=driver, DRIVER_VERSION="12040")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["driver"] == {
        "cuda": "12.4", "wheel": "cupy-cuda12x[ctk]", "install": "pip install 'cupy-cuda12x[ctk]'",
    }  # fmt: skip
    gpu = listed["devices"][-1]
    assert (gpu["name"], gpu["usable"]) == ("cupy", False)
    assert "supports CUDA 12.4 at most" in gpu["detail"]
    assert gpu["remedy"].startswith("update the driver")
    assert {check["device"] for check in listed["checks"]} >= {"numpy"}  # what is usable, and no GPU
    table = command(tmp_path, "devices", LD_LIBRARY_PATH=driver, DRIVER_VERSION="12040").stdout
    assert re.search(r"NVIDIA driver +for CUDA 12\.4 at most", table)
    assert re.search(r"CuPy for it +pip install 'cupy-cuda12x\[ctk\]'", table)


def test_auto_takes_the_cpu_and_says_why(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "xor", "--epochs", 2, "-v", "--json", "--out", "x")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "cpu"
    assert "device auto: using the CPU" in done.stderr
    assert "there is no NVIDIA driver" in done.stderr


def test_the_library_says_the_same() -> None:
    with pytest.raises(DeviceError, match="there is no NVIDIA driver"):
        resolve("gpu")


def both(folder: Path) -> str:
    """A path on which `folder` comes first, and nnx is found."""
    return f"{folder}:{Path(cupy_errors.__file__).parents[2]}"
