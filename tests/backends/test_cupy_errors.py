"""Errors of CuPy, and the one line with a remedy that explains each.

Errors are distinguished by the names of their classes. If CuPy is installed, the tests use its classes, else
classes with the same names.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from support.devices_here import HAS_CUPY, HAS_GPU, needs_cupy, one_line

from nnx import backends
from nnx.backends import available, cuda_driver, cupy_errors, resolve
from nnx.errors import DeviceError


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNX_DEVICE", raising=False)


def error_class(name: str, *bases: type[BaseException]) -> Any:
    return type(name, bases or (RuntimeError,), {})


def out_of_memory(size: int, total: int) -> Exception:
    if HAS_CUPY:
        from cupy.cuda.memory import OutOfMemoryError

        return OutOfMemoryError(size, total)
    return error_class("OutOfMemoryError", MemoryError)(
        f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes)."
    )


def runtime_error(status: int, name: str) -> Exception:
    if HAS_CUPY:
        from cupy.cuda.runtime import CUDARuntimeError

        error = CUDARuntimeError(status)
        assert name in str(error)
        return error
    return error_class("CUDARuntimeError")(f"{name}: a sentence")


def explained(error: BaseException, driver: int | None = None) -> str:
    known = cupy_errors.explain(error, "gpu:0", driver)
    assert isinstance(known, DeviceError)
    return one_line(known)


def test_out_of_memory_says_how_much() -> None:
    text = explained(out_of_memory(3 * 2**30, 5 * 2**20))
    assert re.match(r"gpu:0 is out of memory, 3\.0 GiB .* 5 MiB", text)
    assert "lower batch_size" in text


def test_no_driver_and_an_old_driver_are_told_apart() -> None:
    error = runtime_error(35, "cudaErrorInsufficientDriver")
    assert "there is no NVIDIA driver: install the driver" in explained(error, 0)
    text = explained(error, 12040)
    assert "supports CUDA 12.4 at most" in text
    assert "cupy-cuda12x[ctk]" in text


@pytest.mark.parametrize(
    ("vendor", "kind", "advised"),
    [
        ("0x10de", "0x030200", True),
        ("0x10de", "0x020000", False),
        ("0x1002", "0x030000", False),
        ("", "", False),
    ],
)
def test_cupy_is_advised_only_where_a_gpu_or_a_driver_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str, kind: str, advised: bool
) -> None:
    """Here without a driver: what Linux's list of devices says decides."""
    if vendor:
        (tmp_path / "0000:01:00.0").mkdir()
        (tmp_path / "0000:01:00.0" / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "0000:01:00.0" / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(cuda_driver, "PCI_DEVICES", tmp_path)
    monkeypatch.setattr(cuda_driver, "driver_version", lambda: None)
    assert bool(cuda_driver.driver().install) is advised
    monkeypatch.setattr(cupy_errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError) as caught:
        cupy_errors.check_installed()
    assert ("pip install 'cupy-cuda13x[ctk]'" in one_line(caught.value)) is advised
    assert "choose device cpu" in one_line(caught.value)


def test_a_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text = explained(runtime_error(100, "cudaErrorNoDevice"))
    assert text.startswith(
        "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, which is ''"
    )


def test_another_failure_of_cuda_is_passed_on_with_its_name() -> None:
    text = explained(runtime_error(700, "cudaErrorIllegalAddress"))
    assert "CUDA failed on gpu:0 (cudaErrorIllegalAddress" in text


def test_a_missing_library_is_named() -> None:
    text = explained(ImportError('Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file'))
    assert text.startswith(
        "a CUDA library that CuPy needs is missing (libcublasLt.so.13): run pip install 'cupy-"
    )
    assert "[ctk]'" in text
    assert "is missing (libnvrtc.so.13)" in explained(
        error_class("DynamicLibNotFoundError")('Failure finding "libnvrtc.so.13"')
    )


@needs_cupy
def test_the_real_error_of_a_missing_library_is_understood() -> None:
    import cupy_backends.cuda.libs as libs

    missing = None
    for name in ("cublas", "cusolver", "cusparse", "curand", "nvrtc"):
        try:
            getattr(libs, name)
        except ImportError as error:
            missing = error
            break
    if missing is None:
        pytest.skip("all CUDA libraries are installed here")
    assert "a CUDA library that CuPy needs is missing (lib" in explained(missing)


def test_an_error_of_the_program_is_not_about_the_device() -> None:
    assert cupy_errors.explain(ValueError("shapes do not fit")) is None
    assert cupy_errors.explain(ImportError("No module named 'pandas'")) is None


def test_an_index_too_high_says_what_there_is() -> None:
    assert "there is no gpu:3, this machine has 1 GPU, gpu:0:" in one_line(cupy_errors.no_device(3, 1))
    assert "this machine has 2 GPUs, gpu:0 to gpu:1:" in one_line(cupy_errors.no_device(3, 2))


def test_two_cupy_packages_are_refused_before_they_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"cupy-cuda12x": "14.1.0", "cupy-cuda13x": "14.2.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", version)
    cupy_errors.installed.cache_clear()
    try:
        with pytest.raises(DeviceError, match="2 CuPy packages are installed") as caught:
            resolve("gpu:7")
        assert "pip uninstall -y cupy-cuda12x cupy-cuda13x, then pip install" in one_line(caught.value)
        assert resolve("auto").device == "cpu" or HAS_GPU
    finally:
        cupy_errors.installed.cache_clear()


def test_a_cupy_that_cannot_be_imported_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy_errors, "check_installed", lambda: None)
    for name in [
        name for name in sys.modules if name.startswith("nnx.backends.cupy_") and name != cupy_errors.__name__
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("cupy_backend", "cupy_devices"):
        monkeypatch.delattr(backends, name, raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy raises ModuleNotFoundError
    with pytest.raises(DeviceError) as caught:
        resolve("gpu:8")
    one_line(caught.value)
    assert [status.usable for status in available()][:1] == [True]


def test_a_device_error_survives_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(cupy_errors.no_device(3, 1)))
    assert (error.reason, error.remedy) == (
        cupy_errors.no_device(3, 1).reason,
        cupy_errors.no_device(3, 1).remedy,
    )
