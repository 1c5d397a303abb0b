"""Compiled kernels equal the plain forms, on sizes that several threads share."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.contract import agree, close, room
from support.places import TESTS
from support.teams import trained

import nnx
from nnx import backends
from nnx.backends import resolve
from nnx.backends.base import Backend
from nnx.errors import DeviceError

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.backends.numba_backend import NumbaBackend  # noqa: E402
from nnx.ops import activations_numba, base_numba  # noqa: E402
from nnx.ops.base_numba import SMALL_ARRAY  # noqa: E402
from nnx.ops.dense_numba import SMALL_PRODUCT  # noqa: E402

INPUTS, UNITS = 100, 90
SHARED = [31, 131, 257]  # rows: one part, two that differ by a row, and more
KINDS = ["identity", "relu", "sigmoid", "tanh", "leaky_relu"]


@pytest.fixture(params=["team", "one thread"])
def compiled(request: pytest.FixtureRequest) -> NumbaBackend:
    """The backend as it is here, and as it is where TBB is missing."""
    backend = NumbaBackend()
    if request.param == "one thread":
        backend.blas, backend.threads = None, 1
    elif backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    else:
        assert backend.threads >= 2
    return backend


# ------------------------------------------------------------------- as the plain forms


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", SHARED)
@pytest.mark.parametrize("kind", KINDS)
def test_dense(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    assert rows * INPUTS * UNITS > SMALL_PRODUCT
    x, W, b = (rng.standard_normal(shape) for shape in ((rows, INPUTS), (INPUTS, UNITS), UNITS))
    y = agree(
        compiled, "dense_forward", dtype,
        {"x": x, "W": W, "b": b, "y": room(rows, UNITS), "kind": kind, "alpha": 0.3}, ("y",),
        terms=INPUTS, strided=strided,
    )["y"]  # fmt: skip
    backward = {
        "dy": rng.standard_normal((rows, UNITS)), "x": x, "W": W, "dW": room(INPUTS, UNITS),
        "db": room(UNITS), "dx": room(rows, INPUTS), "kind": kind, "alpha": 0.3, "y": y.astype(float),
        "dz": room(rows, UNITS),
    }  # fmt: skip
    outputs = ("dW", "db", "dx") if kind == "identity" else ("dW", "db", "dx", "dz")
    if kind == "identity":
        backward |= {"y": None, "dz": None}
    whole = agree(compiled, "dense_backward", dtype, backward, outputs, terms=rows, strided=strided)
    without = agree(
        compiled, "dense_backward", dtype, backward | {"dx": None}, tuple(o for o in outputs if o != "dx"),
        terms=rows, strided=strided,
    )  # fmt: skip
    for name in ("dW", "db"):
        np.testing.assert_array_equal(whole[name], without[name])


def test_relu_may_use_dy_as_its_room(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    x, W, dy, y = (
        rng.standard_normal(s).astype(dtype) for s in ((131, 100), (100, 90), (131, 90), (131, 90))
    )
    results = []
    for shared in (False, True):
        gradient = dy.copy()
        dW, db, dx = np.empty_like(W), np.empty(90, dtype), np.empty_like(x)
        dz = gradient if shared else np.empty_like(dy)
        compiled.dense_backward(gradient, x, W, dW, db, dx, "relu", 0.0, y, dz)
        results.append((dW, db, dx))
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)


def test_nan_passes_through_a_shared_layer(compiled: Backend, dtype: np.dtype) -> None:
    x, W, b = np.ones((131, INPUTS), dtype), np.ones((INPUTS, UNITS), dtype), np.zeros(UNITS, dtype)
    x[7, 3] = np.nan
    y = compiled.dense_forward(x, W, b, np.empty((131, UNITS), dtype), "relu")
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, 7, axis=0)).all()


@pytest.mark.parametrize("view", [lambda v: v[None], lambda v: np.expand_dims(v, 0)])
def test_a_row_that_states_no_distance_to_the_next(compiled: Backend, dtype: np.dtype, view) -> None:
    """NumPy calls such a view contiguous; a BLAS refuses a distance of 0."""
    W, b, row = np.ones((600, 600), dtype), np.zeros(600, dtype), view(np.ones(600, dtype))
    y = compiled.dense_forward(row, W, b, np.empty((1, 600), dtype), "relu")
    np.testing.assert_array_equal(y, 600.0)
    dW, db, dx = np.empty_like(W), np.empty_like(b), np.empty((1, 600), dtype)
    compiled.dense_backward(view(np.ones(600, dtype)), row, W, dW, db, dx)
    for gradient, expected in ((dW, 1.0), (db, 1.0), (dx, 600.0)):
        np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("other", ["float32", "float64", "int32"])
def test_gradients_of_another_type_or_that_cannot_be_written(dtype: np.dtype, other: str) -> None:
    dy = np.random.default_rng(0).integers(-3, 4, (64, 90)).astype(other)
    dy.flags.writeable = False
    gradients = []
    for device in ("numba", "numpy"):
        net = nnx.Network([nnx.Dense(100, 90)], device=device, dtype=dtype, seed=0)
        net.forward(np.ones((64, 100), dtype), training=True)
        net.backward(dy)
        gradients.append(net.layers[0].dblock.copy())
    np.testing.assert_allclose(*gradients, rtol=1e-5)


def test_small_losses_are_not_lost(compiled: Backend) -> None:
    z, y = np.full((64, 784), 20.0, np.float32), np.ones((64, 784), np.float32)
    value = np.zeros(1, np.float32)
    compiled.loss("binary_cross_entropy_from_logits", y, z, value, np.empty_like(z), 1.0 / 784)
    assert value[0] == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-5)


def test_gather(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    source, indices = rng.standard_normal((300, 150)), rng.integers(0, 300, 257)
    assert SMALL_ARRAY < 257 * 150
    arguments = {"source": source, "indices": indices, "out": room(257, 150)}
    agree(compiled, "gather", dtype, arguments, ("out",))


@pytest.mark.parametrize("columns", [10, 300, 1100])
@pytest.mark.parametrize(
    "kind",
    ["squared_error", "binary_cross_entropy_from_logits", "categorical_cross_entropy_from_logits"],
)
def test_losses(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, columns: int
) -> None:
    arguments = {
        "kind": kind, "y_true": rng.uniform(0.0, 1.0, (131, columns)),
        "y_pred": 6.0 * rng.standard_normal((131, columns)), "value": room(1), "dy": room(131, columns),
        "scale": 1.0 / columns,
    }  # fmt: skip
    agree(compiled, "loss", dtype, arguments, ("value", "dy"), terms=131 * columns, returns=False)


@pytest.mark.parametrize("extra", [{}, {"weight_decay": 0.02, "l2": 0.03}], ids=["bare", "both"])
@pytest.mark.parametrize(
    ("operation", "slots", "options"),
    [("sgd_step", (), {"velocity": None}), ("adam_step", ("m", "v"), {"step": 3})],
)
def test_optimizers(
    compiled: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, object],
    extra: dict[str, float],
) -> None:
    size = 2 * SMALL_ARRAY + 7
    arguments = {name: rng.uniform(0.1, 1.0, size) for name in slots} | {
        "values": rng.standard_normal(size), "gradients": rng.standard_normal(size), "fault": np.array([0]),
        "learning_rate": 0.05, **options, **extra,
    }  # fmt: skip
    agree(compiled, operation, dtype, arguments, ("values", *slots))
    stopped = arguments | {"fault": np.array([4])}
    agree(compiled, operation, dtype, stopped, (), returns=False)


def test_faults_and_norms_of_large_buffers(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    g = rng.standard_normal(SMALL_ARRAY + 3).astype(dtype)
    value, fault = np.ones(1, dtype), np.zeros(1, np.int64)
    compiled.flag_nonfinite(value, g, fault, 5)
    assert fault[0] == 0
    g[-1] = np.nan
    compiled.flag_nonfinite(value, g, fault, 5)
    assert fault[0] == 5
    g[-1] = 0.0
    before = g.copy()
    compiled.clip_by_norm([g], 2.0)
    close(g, before * (2.0 / np.linalg.norm(before.astype(float))), dtype, len(g))


def test_the_exponential_is_right_to_two_units_in_the_last_place() -> None:
    exp = numba.vectorize(lambda x: activations_numba.exp_float32(x))
    x = np.linspace(-87.0, 0.0, 2_000_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.max(np.abs(exp(x) / exact - 1.0)) < 2 * np.finfo(np.float32).eps
    assert exp(np.float32(0.0)) == 1.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(exp(np.float32(np.nan)))
    assert exp(np.float32(-1e30)) == 0.0
    assert exp(np.float32(-87.3)) > 0.0


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


OTHER_LAYER = """
from nnx.backends import resolve
import nnx, numpy as np
backend = resolve("numba")
assert (backend.threads, backend.blas) == (1, None), backend.describe()
assert "one thread" in backend.describe()
x = np.ones((300, 90), np.float32)
network = nnx.Network([nnx.Dense(90, 200), nnx.ReLU(), nnx.Dense(1)], device="numba", seed=0)
network.fit(x, x[:, 0], loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=100)
"""


def test_a_threading_layer_that_is_not_tbb_means_one_thread() -> None:
    """Numba's own work queue ends the process when two threads enter it; nnx never enters it."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_LAYER], capture_output=True, text=True, check=False, env=environment
    )
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
    with pytest.raises(DeviceError, match=r"Numba .*pip install numba tbb") as caught:
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


def test_without_a_folder_to_cache_in_kernels_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = numba.njit

    def njit(cache: bool = False, **options: object):
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return genuine(**options)

    monkeypatch.setattr(numba, "njit", njit)
    double = base_numba.compiled()(lambda x: 2 * x)
    assert double(21) == 42
