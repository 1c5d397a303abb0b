"""Devices: what a name resolves to, the default, and what is said where a GPU is not there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import backends
from nnx.backends import available, cupy_errors, default_device, resolve
from nnx.errors import ConfigurationError, DeviceError

HAS_CUPY = importlib.util.find_spec("cupy") is not None
needs_cupy = pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")


def has_gpu() -> bool:
    return any(status.usable and status.name == "cupy" for status in available())


HAS_GPU = has_gpu()
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a usable GPU here")


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNX_DEVICE", raising=False)


@pytest.fixture
def restored() -> Any:
    """Puts the default device back."""
    token = backends._default.set(None)
    yield
    backends._default.reset(token)


def network(**options: Any) -> nnx.Network:
    return nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1)], seed=0, **options)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    return text


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["cpu", "numpy", " CPU ", "Numpy"])
def test_names_of_the_cpu(name: str) -> None:
    backend = resolve(name)
    assert backend.device == "cpu"
    assert backend is resolve("cpu")


def test_a_backend_resolves_to_itself() -> None:
    backend = resolve("cpu")
    assert resolve(backend) is backend


@pytest.mark.parametrize(
    ("name", "near"),
    [("gpuu", "gpu"), ("nunpy", "numpy"), ("cuppy", "cupy"), ("atuo", "auto"), ("cpu:1", "cpu")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean '{near}'") as caught:
        resolve(name)
    assert repr(name) in one_line(caught.value)


@pytest.mark.parametrize(
    "name", ["", "gpu:", "gpu:x", "gpu:-1", "gpu:1:2", "gpu:1000", "cuda", "numpy:0", 3, b"cpu"]
)
def test_what_is_no_device_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="unknown device") as caught:
        resolve(name)
    assert "gpu:N" in one_line(caught.value)


@without_gpu
def test_auto_takes_the_cpu_where_no_gpu_works() -> None:
    assert resolve("auto").device == "cpu"
    assert resolve().device == "cpu"


def test_auto_never_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(index: int) -> Any:
        raise AttributeError("module 'cupy' has no attribute 'cuda'")

    monkeypatch.setattr(backends, "_cupy", broken)
    with caplog.at_level("INFO", logger="nnx"):
        assert resolve("auto").device == "cpu"
    assert "no attribute 'cuda'" in caplog.text


# -------------------------------------------------------------------- default


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_device() == "auto"
    monkeypatch.setenv("NNX_DEVICE", "numpy")
    assert default_device() == "numpy"
    assert network().device == "cpu"


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNX_DEVICE", "gppu")
    with pytest.raises(ConfigurationError, match=r"NNX_DEVICE.*did you mean 'gpu'") as caught:
        network()
    one_line(caught.value)


def test_use_nests_and_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch, restored: None) -> None:
    monkeypatch.setenv("NNX_DEVICE", "gpu")
    with nnx.use("cpu"):
        assert default_device() == "cpu"
        with nnx.use("numpy"):
            assert default_device() == "numpy"
        assert default_device() == "cpu"
    assert default_device() == "gpu"
    nnx.use("cpu")
    assert default_device() == "cpu"


def test_use_puts_the_default_back_after_an_error(restored: None) -> None:
    with pytest.raises(KeyError), nnx.use("numpy"):
        raise KeyError
    assert default_device() == "auto"


def test_use_refuses_an_unknown_name_and_changes_nothing(restored: None) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'cpu'"):
        nnx.use("cpuu")
    assert default_device() == "auto"


def test_threads_do_not_disturb_each_other(restored: None) -> None:
    seen: dict[str, str] = {}
    ready = threading.Barrier(2)

    def work(name: str) -> None:
        with nnx.use(name):
            ready.wait(timeout=10)  # both are inside
            seen[name] = default_device()
            ready.wait(timeout=10)
        seen[f"after {name}"] = default_device()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("cpu", "numpy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"cpu": "cpu", "numpy": "numpy", "after cpu": "auto", "after numpy": "auto"}
    assert default_device() == "auto"


def test_the_default_is_read_when_a_network_is_built(restored: None) -> None:
    with nnx.use("cpu"):
        built = nnx.Network([nnx.Dense(3)], seed=0)
    nnx.use("gpu")
    built.build(2)
    assert built.device == "cpu"


# --------------------------------------------------------------- GPU not there


@without_gpu
@pytest.mark.parametrize("name", ["gpu", "cupy", "gpu:1"])
def test_a_gpu_that_is_not_there_is_an_error_with_its_remedy(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        network(device=name)
    text = one_line(caught.value)
    assert "or choose device cpu" in text
    if HAS_CUPY:
        assert "driver" in text
        assert "cupy-cuda" in text
    else:
        assert text.startswith("CuPy is not installed")
        assert "pip install 'nnx-arrays[cuda13]'" in text


@without_gpu
def test_the_default_device_does_not_fall_back_either(restored: None) -> None:
    with nnx.use("gpu"), pytest.raises(DeviceError, match="or choose device cpu"):
        network()


@without_gpu
def test_moving_to_a_gpu_that_is_not_there_leaves_the_network_as_it_was() -> None:
    net = network(device="cpu")
    before = net.weights()
    with pytest.raises(DeviceError):
        net.to("gpu")
    assert net.device == "cpu"
    for name, value in net.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_slice_is_not_moved() -> None:
    net = network(device="cpu")
    with pytest.raises(ConfigurationError, match="slice cannot be moved"):
        net[:1].to("cpu")
    assert net.to("numpy") is net


def test_importing_nnx_and_asking_for_the_cpu_does_not_import_cupy() -> None:
    code = "import sys, nnx; nnx.Network([nnx.Dense(2, 1)], device='cpu'); print('cupy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_available_lists_every_backend_and_can_be_json() -> None:
    statuses = list(available())
    assert (statuses[0].name, statuses[0].device, statuses[0].usable) == ("numpy", "cpu", True)
    assert statuses[0].versions["numpy"] == np.__version__
    assert any(status.name == "cupy" for status in statuses)
    for status in statuses:
        assert status.detail
        assert bool(status.remedy) is not status.usable
        assert json.loads(json.dumps(asdict(status))) == asdict(status)


# ------------------------------------------------------- what CuPy may run into
#
# The errors below are told apart by the names of their classes. Where CuPy is installed its own classes are
# used, elsewhere classes of the same names.


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
    assert text.startswith("gpu:0 is out of memory, 3.0 GiB more were asked for beside the 5 MiB in use here")
    assert "lower batch_size" in text


def test_no_driver_and_an_old_driver_are_told_apart() -> None:
    error = runtime_error(35, "cudaErrorInsufficientDriver")
    assert "there is no NVIDIA driver: install the driver" in explained(error, 0)
    text = explained(error, 12040)
    assert "supports CUDA 12.4 at most" in text
    assert "nnx-arrays[cuda12]" in text


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
    for name in ("cupy_backend", "cupy_devices", "cupy_kernels"):
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


# --------------------------------------------------------------- foreign arrays


class Foreign:
    """Says of itself that it lies on a GPU, as every GPU library's arrays do."""

    __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012
    shape, ndim, dtype = (2, 2), 2, np.dtype("float32")


def test_an_array_on_a_gpu_is_refused_with_advice() -> None:
    backend = resolve("cpu")
    assert not backend.owns(Foreign())
    with pytest.raises(DeviceError, match=r"cupy\.asnumpy\(x\)") as caught:
        backend.asarray(Foreign())
    one_line(caught.value)
    with pytest.raises(nnx.errors.NnxError):
        network(device="cpu").forward(Foreign())


def test_holding_the_cpu_does_nothing_and_may_be_nested() -> None:
    hold = resolve("cpu").hold()
    with hold, hold:
        assert os.getpid()


# ----------------------------------------------------------------- with a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no usable GPU")
def test_a_real_gpu_describes_itself_and_refuses_foreign_arrays() -> None:
    backend = resolve("gpu")
    assert backend.device == "gpu:0"
    assert backend.memory()["device_total"] > 0
    with pytest.raises(DeviceError, match="there is no gpu:999"):
        resolve("gpu:999")
    with pytest.raises(DeviceError, match="on a GPU was given"):
        backend.asarray(Foreign())
    with pytest.raises(DeviceError, match="out of memory"):
        backend.empty(2**50, "float32")
    x = backend.asarray(np.eye(3))
    assert backend.owns(x)
    assert backend.asarray(x) is x
    np.testing.assert_array_equal(backend.to_numpy(x), np.eye(3))
