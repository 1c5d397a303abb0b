"""Fixtures shared by the suite: the backends that can run, the float types, the real MNIST files."""

from __future__ import annotations

import os
from pathlib import Path

# Read once, when NumPy loads its BLAS: the arrays here are small, and parallel workers share the cores.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from nnx.backends import Backend, resolve  # noqa: E402
from nnx.errors import DeviceError  # noqa: E402

pytest.register_assert_rewrite("contract")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched; a test that talks to a local server undoes this."""
    monkeypatch.setenv("NNX_OFFLINE", "1")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU for whatever names no device, also where a GPU would be the default."""
    monkeypatch.setenv("NNX_DEVICE", "cpu")


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn; the GPU's absence is a skip, or a failure where NNX_REQUIRE_GPU=1."""
    try:
        return resolve(request.param)
    except DeviceError as error:
        if os.environ.get("NNX_REQUIRE_GPU") == "1":
            pytest.fail(f"NNX_REQUIRE_GPU=1, but {error}")
        pytest.skip(str(error))


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """Each float type in turn."""
    return np.dtype(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def mnist_directory() -> Path:
    """The directory that holds the four MNIST files: NNX_DATA_DIR, else ``../shared/data``."""
    named = os.environ.get("NNX_DATA_DIR")
    place = Path(named) if named else ROOT.parent / "shared" / "data"
    for folder in (place, place / "mnist"):
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            return folder
    pytest.skip(f"no MNIST files in {place}: set NNX_DATA_DIR")
