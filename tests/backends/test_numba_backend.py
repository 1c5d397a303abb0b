"""Networks on the compiled backend: seeds, threads, processes, and a machine without Numba."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.places import TESTS, with_helpers
from support.teams import trained

import nnx
from nnx import backends
from nnx.backends import resolve
from nnx.errors import DeviceError

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.backends.numba_backend import NumbaBackend
from nnx.ops import team_numba

# -------------------------------------------------------------- threads, processes, runs


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert trained() == trained()


def test_networks_in_several_threads_are_trained_as_alone() -> None:
    alone = [trained(seed) for seed in range(4)]
    found: dict[int, bytes] = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: trained(s)})) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(4)] == alone


FORKED = """
import hashlib, multiprocessing, sys
sys.path.insert(0, {tests!r})
from support import teams as module
def work(queue):
    queue.put(module.trained())
if __name__ == "__main__":
    before = module.trained()  # the parent's team is at work when it forks
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=work, args=(queue,))
    worker.start()
    assert queue.get(timeout=60) == before
    worker.join(60)
    assert worker.exitcode == 0 and module.trained() == before
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork processes"
)
def test_a_forked_worker_gives_the_same_numbers(tmp_path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED.format(tests=str(TESTS)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


MANY_THREADS = """
import sys, hashlib, numpy as np, nnx
def network(device):
    layers = [nnx.Dense(300, 400), nnx.ReLU(), nnx.Dense(40), nnx.Dense(300), nnx.Sigmoid()]
    return nnx.Network(layers, seed=1, device=device)
def fit(network, optimizer, x, epochs):
    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=optimizer, epochs=epochs, batch_size=200)
    return network.weights()
x = np.random.default_rng(5).random((420, 300), dtype=np.float32)  # batches of 200 and of 20 rows
backend = nnx.resolve("numba")
assert backend.threads == int(sys.argv[1]), backend.describe()
first = fit(network("numba"), nnx.Adam(1e-3), x, 4)
resumed, optimizer = network("numba"), nnx.Adam(1e-3)
fit(resumed, optimizer, x, 1)
again = fit(resumed, optimizer, x, 3)
plain = fit(network("numpy"), nnx.Adam(1e-3), x, 4)
for name in first:
    np.testing.assert_array_equal(first[name], again[name])
    np.testing.assert_allclose(first[name], plain[name], rtol=0, atol=1e-3)
print(hashlib.sha256(b"".join(value.tobytes() for value in first.values())).hexdigest())
"""


@pytest.mark.parametrize("threads", [4, 8])
def test_with_more_threads_than_cores_the_bytes_are_the_same_each_time(threads: int) -> None:
    """Three processes at once disturb each other's threads; each compares with NumPy and with a pause."""
    if NumbaBackend().blas is None:
        pytest.skip(f"no team of threads here: {NumbaBackend().describe()}")
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", MANY_THREADS, str(threads)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in processes]
    assert all(process.returncode == 0 for process in processes), answers
    assert len({printed for printed, _ in answers}) == 1


# Elsewhere than on Linux with an x86 processor, the threads are Numba's. Compiled code calls one kind of
# threads, so these programs have a cache of their own.
ELSEWHERE = """
from nnx.ops import team_numba
team_numba.AVAILABLE = False
from nnx.backends import resolve
backend = resolve("numba")
"""


def elsewhere(cache: Path, code: str, **variables: str) -> str:
    """Return what a program prints that has no team of nnx's own."""
    environment = with_helpers(NUMBA_CACHE_DIR=str(cache), **variables)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE + code], capture_output=True, text=True, check=False,
        env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_threads_of_tbb_compute_the_same_bytes(tmp_path) -> None:
    try:
        importlib.metadata.version("tbb")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("TBB is not installed: pip install tbb")
    code = """
from support.teams import trained
assert (backend.layer, backend.threads) == ("tbb", 2), backend.describe()
print(trained().hex())
"""
    assert elsewhere(tmp_path, code, NUMBA_NUM_THREADS="2").strip() == trained().hex()


def test_a_threading_layer_that_is_not_tbb_means_one_thread(tmp_path) -> None:
    """Numba's own work queue ends the process when two threads enter it; nnx never enters it."""
    code = """
import nnx, numpy as np
assert (backend.threads, backend.blas) == (1, None), backend.describe()
assert "one thread" in backend.describe()
x = np.ones((300, 90), np.float32)
network = nnx.Network([nnx.Dense(90, 200), nnx.ReLU(), nnx.Dense(1)], device="numba", seed=0)
network.fit(x, x[:, 0], loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=100)
"""
    elsewhere(tmp_path, code, NUMBA_THREADING_LAYER="workqueue", NNX_BLAS="")


@pytest.mark.skipif(not team_numba.AVAILABLE, reason="the threads are Numba's on this system")
def test_where_nnx_has_threads_of_its_own_numba_starts_none() -> None:
    code = """
from support.teams import trained
trained()
from numba.np.ufunc import parallel
assert not parallel._is_initialized
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=with_helpers(),
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# ----------------------------------------------------------------------- where it is not


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch):
    """A Python in which Numba cannot be imported."""
    for name in [
        n for n in sys.modules if n.partition(".")[0] == "numba" or (n.startswith("nnx.") and "numba" in n)
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(backends, "_numba", backends._numba.__wrapped__)
    monkeypatch.setattr(backends, "_cpu", backends._cpu.__wrapped__)


def test_asked_for_by_name_its_absence_is_one_line(without_numba: None) -> None:
    with pytest.raises(DeviceError, match=r"Numba .*pip install .nnx-arrays\[fast\]") as caught:
        resolve("numba")
    assert "\n" not in str(caught.value)
    status = {s.name: s for s in backends.available()}["numba"]
    assert (status.usable, status.remedy) == (False, backends.INSTALL_NUMBA)


def test_the_cpu_is_numpy_where_numba_does_not_work(
    without_numba: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())  # installed, but broken
    with caplog.at_level("INFO", logger="nnx"):
        assert resolve("cpu").name == "numpy"
    assert "device cpu: using NumPy" in caplog.text


def test_a_numpy_that_numba_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object) -> None:
        raise ImportError("Numba needs NumPy 2.3 or less.\nGot NumPy 9.9.")

    monkeypatch.setattr(NumbaBackend, "__init__", refused)
    monkeypatch.setattr(backends, "_numba", backends._numba.__wrapped__)
    monkeypatch.setattr(backends, "_cpu", backends._cpu.__wrapped__)
    with pytest.raises(DeviceError, match=r"needs NumPy 2\.3 or less\. Got NumPy 9\.9"):
        resolve("numba")
    assert resolve("cpu").name == "numpy"


CACHED = """
import nnx, numpy as np
network = nnx.Network([nnx.Dense(3, 4), nnx.Dense(1)], device="numba", seed=0)
print(network.predict(np.ones((2, 3)))[0, 0])
"""


def test_a_damaged_cache_is_no_worse_than_none(tmp_path: Path) -> None:
    def run() -> str:
        done = subprocess.run([sys.executable, "-c", CACHED], capture_output=True, text=True, check=False,
                              env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert files
    for path in files:
        path.write_bytes(b"")
    assert run() == first
    for path in files:
        path.write_bytes(b"not what it was")
    assert run() == first


def test_without_compilation_the_cpu_is_numpy() -> None:
    code = "from nnx.backends import resolve; print(resolve('cpu').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "NUMBA_DISABLE_JIT": "1"})  # fmt: skip
    assert done.stdout.strip() == "numpy"


def test_numpy_asked_for_by_name_loads_no_numba() -> None:
    code = (
        "import sys, nnx, numpy as np\n"
        "n = nnx.Network([nnx.Dense(2, 1)], device='numpy'); x = np.ones((4, 2), 'f')\n"
        "nnx.MeanSquaredError()(x[:, :1], n.forward(x)); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pickled_network_asks_for_a_cpu_and_not_for_numba() -> None:
    for asked, kept in (("cpu", "cpu"), ("numba", "cpu"), ("numpy", "numpy")):
        assert nnx.Network([nnx.Dense(2, 1)], device=asked).__getstate__()["device"] == kept
