"""Fixtures shared by the suite: the backends that can run, the float types, the real MNIST files."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

# Read once, when NumPy loads its BLAS: the arrays here are small, and parallel workers share the cores.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # a team, also on one core
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from nnx import initializers  # noqa: E402
from nnx.backends import Backend, threads  # noqa: E402

pytest.register_assert_rewrite("support")

from support.devices_here import HAS_GPU, shortened, usable  # noqa: E402
from support.places import ROOT  # noqa: E402
from support.skips import pytest_terminal_summary  # noqa: E402, F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `long` is left out on the stand-in for a GPU, unless NNX_LONG=1."""
    reason = "takes minutes on the stand-in for CuPy: NNX_LONG=1 runs it"
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if item.get_closest_marker("long") and shortened(str(parameters.get("device", ""))):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched; a test that talks to a local server undoes this."""
    monkeypatch.setenv("NNX_OFFLINE", "1")


@pytest.fixture(autouse=True)
def options_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an option of the command line sets for its whole process is as before after each test.

    Numba reads its variable again whenever it compiles, so a number left there changes or stops later tests.
    """
    monkeypatch.setattr(threads, "_asked", list(threads._asked))
    for name in (*threads.VARIABLES, "CUPY_TF32", "NNX_DEBUG"):
        before = os.environ.get(name)
        monkeypatch.setenv(name, before or "")  # notes what to put back
        if before is None:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def the_same_seeds_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given no seed gets another one at each call, but the same ones in each run of a test.

    Else a test that compares a mean with its expectation fails once in many runs.
    """
    seeds = np.random.default_rng(20240229)
    monkeypatch.setattr(initializers, "fresh_seed", lambda: int(seeds.integers(2**32)))


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU for whatever names no device, also where a GPU would be the default."""
    monkeypatch.setenv("NNX_DEVICE", "cpu")


@pytest.fixture(params=["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    return usable(request.param)


@pytest.fixture
def gpu() -> Backend:
    """The GPU."""
    return usable("gpu")


ON_GPU = [pytest.param("gpu", marks=pytest.mark.gpu)] if HAS_GPU or os.environ.get("NNX_REQUIRE_GPU") else []


@pytest.fixture(scope="module", params=["cpu", *ON_GPU])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The CPU and, where there is one, the GPU, for whatever names no device: a module runs on each.

    That there is none is told once, by `backends/test_backends.py`.
    """
    found = usable(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNX_DEVICE", request.param)
        yield found.device


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


@pytest.fixture
def answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CompletedProcess[str]]:
    """Run the command line in this process, in `tmp_path`: as `command` does, but faster."""
    from support.command_line import in_process

    return partial(in_process, tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder and the process of an autoencoder trained by the command line.

    On the digits, which stand in for an MNIST that is not there.
    """
    from support.command_line import command

    place = tmp_path_factory.mktemp("cli")
    done = command(
        place, "run", "autoencoder", "--preset", "shallow", "--epochs", 40, "--json", "--out", "ae"
    )
    assert done.returncode == 0, done.stderr
    return place / "ae", done


@pytest.fixture(scope="session")
def run_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each experiment, by name."""
    from support.report_runs import make

    return make(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Chromium, see `support.browser`."""
    from support.browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(params=["digits", pytest.param("mnist", marks=pytest.mark.mnist)])
def labelled_images(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Five hundred images with values in [0, 1], their labels and their shape, of each data set in turn."""
    if request.param == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return x[:500] / 16.0, y[:500], (8, 8)
    folder = request.getfixturevalue("mnist_directory")
    x, y = (
        np.frombuffer(gzip.decompress((folder / f"t10k-{name}-ubyte.gz").read_bytes()), np.uint8, offset=skip)
        for name, skip in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return x[: 500 * 784].reshape(500, 784).astype(np.float32) / np.float32(255), y[:500], (28, 28)


@pytest.fixture
def matplotlib_untouched() -> Iterator[None]:
    """No function may change matplotlib's settings or hand a figure to pyplot."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
