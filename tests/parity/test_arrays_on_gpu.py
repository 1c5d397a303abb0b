"""Arrays that lie on a GPU: used where they are, on the caller's stream, in memory of the caller's allocator.

What is copied is counted on the stand-in (`tests/ladder/test_arrays_on_device.py`). Here addresses are
compared, which real CuPy has too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.data.checking import check_samples

pytestmark = pytest.mark.gpu

X = np.random.default_rng(0).normal(size=(600, 20)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 4, 600)
CROSS_ENTROPY = nnx.CategoricalCrossEntropy()


@pytest.fixture
def cupy(gpu: Backend) -> Any:
    return gpu.xp


def network(device: str = "gpu") -> nnx.Network:
    layers = [nnx.Dense(20, 16), nnx.ReLU(), nnx.Dense(4), nnx.Softmax()]
    return nnx.Network(layers, device=device, seed=0)


def fit(one: nnx.Network, x: Any, y: Any) -> list[float]:
    how = {"loss": CROSS_ENTROPY, "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 64}
    return list(one.fit(x, y, **how)["loss"])


def torchs(x: np.ndarray[Any, Any]) -> tuple[Any, Callable[[Any], int]]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    return torch.from_numpy(x).to("cuda"), torch.Tensor.data_ptr


def jaxs(x: np.ndarray[Any, Any]) -> tuple[Any, Callable[[Any], int]]:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    try:
        device = jax.devices("gpu")[0]
    except RuntimeError:
        pytest.skip("JAX sees no GPU")
    return jax.device_put(x, device), lambda given: given.unsafe_buffer_pointer()


def cupys(x: np.ndarray[Any, Any]) -> tuple[Any, Callable[[Any], int]]:
    xp = nnx.resolve("gpu").xp
    return xp.asarray(x), lambda given: given.data.ptr


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("give", [cupys, torchs, jaxs])
def test_data_of_any_library_are_used_where_they_are(give: Callable[..., Any]) -> None:
    one, (x, address) = network(), give(X)
    assert one.asarray(x).data.ptr == address(x)
    samples = check_samples(one, CROSS_ENTROPY, x, give(LABELS.astype(np.int64))[0])
    assert samples.x.data.data.ptr == address(x)
    on_host = network()
    assert fit(one, x, give(LABELS.astype(np.int64))[0]) == fit(on_host, X, LABELS)
    y = one.predict(x)
    assert type(y) is one.backend.xp.ndarray
    np.testing.assert_array_equal(y.get(), on_host.predict(X))


@pytest.mark.usefixtures("gpu")
def test_answers_reach_pytorch_without_a_copy() -> None:
    (x, _), one = torchs(X), network()
    import torch

    y = one.predict(x)
    assert torch.from_dlpack(y).data_ptr() == y.data.ptr


def test_training_on_the_callers_stream(cupy: Any) -> None:
    host = network()
    expected = fit(host, X, LABELS)
    with cupy.cuda.Stream(non_blocking=True):
        one = network()
        assert fit(one, cupy.asarray(X), cupy.asarray(LABELS)) == expected
        np.testing.assert_array_equal((one.predict(cupy.asarray(X)) + 0.0).get(), host.predict(X))


@pytest.mark.usefixtures("gpu")
def test_what_pytorch_computes_on_another_stream_is_waited_for() -> None:
    (x, _), one = torchs(X), network()
    import torch

    with torch.cuda.stream(torch.cuda.Stream()):
        large = torch.ones((4096, 4096), device="cuda")
        for _ in range(20):
            large = large @ large / 4096.0
        late = x + (large[0, 0] - 1.0)
        found = one.predict(late)
    np.testing.assert_array_equal(found.get(), one.predict(X))


@pytest.fixture
def counted(cupy: Any) -> Iterator[list[int]]:
    """A pool of the caller's, and the sizes of what is taken from it."""
    sizes: list[int] = []
    pool = cupy.cuda.MemoryPool()

    def allocate(size: int) -> Any:
        sizes.append(size)
        return pool.malloc(size)

    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(allocate)
    try:
        yield sizes
    finally:
        cupy.cuda.set_allocator(before)


def test_all_memory_comes_from_the_callers_allocator(cupy: Any, counted: list[int]) -> None:
    default = cupy.get_default_memory_pool()
    used = default.used_bytes()
    one = network()
    losses = fit(one, X, LABELS)
    predicted = one.predict(cupy.asarray(X))
    assert default.used_bytes() == used
    assert sum(counted) >= X.nbytes + sum(value.nbytes for value in one.weights().values())
    assert predicted.shape == (600, 4)
    with_default = network()
    cupy.cuda.set_allocator(default.malloc)
    assert losses == fit(with_default, X, LABELS)
