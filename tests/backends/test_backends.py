"""Devices: what a name resolves to, the default device, and the error if there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from support.devices_here import HAS_CUPY, HAS_GPU, one_line, without_gpu

import nnx
from nnx import backends
from nnx.backends import available, default_device, resolve
from nnx.backends.cuda_driver import gpu_or_driver
from nnx.errors import ConfigurationError, DeviceError


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


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["cpu", "numpy", "numba", " CPU ", "Numpy"])
def test_names_of_the_cpu(name: str) -> None:
    if name == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    backend = resolve(name)
    assert backend.device == "cpu"
    assert backend is resolve(name.strip().lower())
    assert backend.name == {"cpu": resolve("cpu").name}.get(name.strip().lower(), name.lower())


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
    assert "choose device cpu" in text
    if HAS_CUPY:
        assert "driver" in text
        assert "cupy-cuda" in text
    elif not gpu_or_driver():
        assert text.startswith("no NVIDIA GPU or driver was found on this machine: install the GPU's driver")
        assert "pip install" not in text
    else:
        assert text.startswith("CuPy is not installed")
        assert "pip install 'cupy-cuda13x[ctk]'" in text


@without_gpu
def test_the_default_device_does_not_fall_back_either(restored: None) -> None:
    with nnx.use("gpu"), pytest.raises(DeviceError, match="choose device cpu"):
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
@pytest.mark.skipif(not HAS_GPU, reason="no usable GPU: nothing ran on one")
def test_a_real_gpu_describes_itself_and_refuses_foreign_arrays() -> None:
    backend = resolve("gpu")
    assert backend.device == "gpu:0"
    assert backend.memory()["device_total"] > 0
    with pytest.raises(DeviceError, match="there is no gpu:999"):
        resolve("gpu:999")
    with pytest.raises(nnx.DataError, match="it has no DLPack"):
        backend.asarray(Foreign())
    with pytest.raises(DeviceError, match="out of memory"):
        backend.empty(2**50, "float32")
    x = backend.asarray(np.eye(3))
    assert backend.owns(x)
    assert backend.asarray(x) is x
    np.testing.assert_array_equal(backend.to_numpy(x), np.eye(3))
