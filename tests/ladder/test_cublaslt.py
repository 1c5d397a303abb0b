"""The binding of cuBLASLt: products with bias and ReLU in one launch, and when they are not used."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnx
from nnx.backends import cublaslt
from nnx.backends.cublas import Cublas, CublasError
from nnx.backends.cublaslt import CublasLt

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")
RNG = np.random.default_rng(0)


def made(tf32=False):
    return CublasLt(Cublas(cupy, tf32), cupy, tf32)


def numbers(*shape, dtype="float32"):
    return cupy.asarray(RNG.normal(size=shape).astype(dtype))


def expected(a, b, bias, kind):
    found = a.get() @ b.get() + bias.get()
    return np.maximum(found, 0) if kind == "relu" else found


@pytest.fixture
def behaviour(monkeypatch):
    """What the stand-in for the library does, which a test may change."""
    from cupy import _cublaslt

    monkeypatch.setattr(_cublaslt, "behaviour", dict(_cublaslt.behaviour))
    return _cublaslt.behaviour


@pytest.mark.parametrize("kind", ["identity", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize("tf32", [False, True])
def test_a_product_with_its_bias_is_one_launch(kind, dtype, shape, tf32):
    m, k, n = shape
    library = made(tf32)
    a, b, bias, out = (numbers(*one, dtype=dtype) for one in ((m, k), (k, n), (n,), (m, n)))
    assert library.product(a, b, bias, out, kind)  # the first one is tried before
    other = numbers(n, dtype=dtype)
    with cupy.recorded() as log:
        assert library.product(a, b, other, out, kind)
    assert [event.kind for event in log] == ["launch"]
    close = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(out.get(), expected(a, b, other, kind), rtol=close, atol=close)


def test_factors_may_be_bfloat16_numbers():
    a, b = (RNG.integers(-8, 9, size=shape).astype("f4") / 4 for shape in ((7, 40), (40, 5)))
    bits = [cupy.asarray((x.view(np.uint32) >> 16).astype(np.uint16)) for x in (a, b)]
    bias, out = cupy.asarray(np.arange(5, dtype="f4")), cupy.empty((7, 5), "float32")
    assert made().product(*bits, bias, out, "identity")
    np.testing.assert_array_equal(out.get(), a @ b + np.arange(5, dtype="f4"))


def test_arrays_that_are_aligned_less_have_their_own_plan():
    library, room = made(), numbers(64)
    for start in (0, 1, 2, 3):
        a, b = room[start : start + 6].reshape(2, 3), room[16 : 16 + 12].reshape(3, 4)
        bias, out = room[40:44], cupy.empty((2, 4), "float32")
        assert library.product(a, b, bias, out, "identity")
        np.testing.assert_allclose(out.get(), expected(a, b, bias, "identity"), rtol=1e-5, atol=1e-6)


def test_a_bias_that_is_not_aligned_or_not_contiguous_is_left_to_others():
    backend, room = nnx.resolve("gpu"), numbers(64)
    a, b, out = numbers(2, 3), numbers(3, 4), cupy.empty((2, 4), "float32")
    for bias in (room[1:5], room[2:6], room[3:7], room[::2][:4]):
        assert not made().product(a, b, bias, out, "relu")
        backend.dense_forward(a, b, bias, out, "relu")
        np.testing.assert_allclose(out.get(), expected(a, b, bias, "relu"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "kind"), [({"keeps_nan": False}, "relu"), ({"adds_bias": False}, "identity"),
                         ({"adds_bias": False}, "relu"), ({"supported": False}, "relu")],
)  # fmt: skip
def test_a_product_that_would_hide_nan_or_is_not_offered_is_left_to_others(behaviour, change, kind):
    library = made()
    behaviour.update(change)
    arguments = numbers(3, 4), numbers(4, 5), numbers(5), cupy.empty((3, 5), "float32")
    assert not library.product(*arguments, kind)
    with cupy.recorded() as log:
        assert not library.product(*arguments, kind)  # this is tried once only
    assert log == []
    assert library.used()[kind] == "0 of 1"


def waits_of(library, sizes, inputs=3, units=4):
    """How often the host waits for products of batches of these sizes, and which are computed."""
    used = []
    with cupy.recorded() as log:
        for rows in sizes:
            arguments = numbers(rows, inputs), numbers(inputs, units), numbers(units)
            used.append(library.product(*arguments, cupy.empty((rows, units), "float32"), "relu"))
    return log.count("wait"), used


def test_batches_of_many_sizes_share_the_tests_of_a_few_algorithms():
    """The stand-in recommends another algorithm for each power of two."""
    library = made()
    waits, used = waits_of(library, range(1, 600))  # more sizes than plans are kept
    assert waits == 10
    assert all(used)
    assert waits_of(library, range(1, 600)) == (0, used)
    assert waits_of(library, range(1, 600), units=8)[0] == 10  # another layer


def test_an_algorithm_that_hides_nan_is_not_used_for_any_size(behaviour):
    behaviour["hide_nan"] = (3,)
    _, used = waits_of(made(), range(1, 20))
    assert used == [not 4 <= rows < 8 for rows in range(1, 20)]


def test_the_test_of_a_very_large_batch_does_not_count_for_smaller_ones(monkeypatch):
    """It looks for NaN only, and would not find wrong numbers."""
    monkeypatch.setattr(cublaslt, "EPILOGUES", {"identity": cublaslt.EPILOGUES["relu"]})
    monkeypatch.setattr(cublaslt, "TESTED", 50)
    library, a, b, bias = made(), numbers(7, 3), numbers(3, 4), numbers(4)
    outputs = [cupy.empty((rows, 4), "float32") for rows in (7, 5)]  # the algorithm is the same for both
    used = [library.product(a[: len(out)], b, bias, out, "identity") for out in outputs]
    assert used == [True, False]


def test_a_new_size_needs_no_test_while_a_step_is_recorded():
    backend, out = nnx.resolve("gpu"), cupy.empty((5, 4), "float32")
    a, b, bias = numbers(5, 3), numbers(3, 4), numbers(4)
    library = backend._blas_lt()
    library.product(a[:4], b, bias, out[:4], "relu")
    graph = backend.capture(lambda: library.product(a, b, bias, out, "relu"))
    graph.launch()
    np.testing.assert_allclose(out.get(), expected(a, b, bias, "relu"), rtol=1e-5, atol=1e-6)


def test_other_activations_and_layouts_are_left_to_others():
    library, a, bias = made(), numbers(3, 4), numbers(5)
    out = cupy.empty((3, 5), "float32")
    assert not library.product(a, numbers(4, 5), bias, out, "tanh")
    assert not library.product(a, numbers(5, 4).T, bias, out, "relu")


def test_an_algorithm_that_computes_wrong_products_is_not_used(monkeypatch):
    monkeypatch.setattr(cublaslt, "EPILOGUES", {"identity": cublaslt.EPILOGUES["relu"]})
    arguments = numbers(3, 4), numbers(4, 5), numbers(5), cupy.empty((3, 5), "float32")
    assert not made().product(*arguments, "identity")


@pytest.mark.parametrize("nan", ["kept", "hidden", "no library"])
def test_a_dense_layer_computes_the_same_without_it(monkeypatch, behaviour, nan):
    """Two launches for each layer, instead of one; NaN stays visible."""
    behaviour["keeps_nan"] = nan == "kept"
    if nan == "no library":
        monkeypatch.setattr(cublaslt, "load", lambda major: (_ for _ in ()).throw(CublasError("missing")))
    backend = nnx.resolve("gpu")
    monkeypatch.setattr(backend, "_local", type(backend._local)())
    network = nnx.Network([nnx.Dense(4, 8), nnx.ReLU(), nnx.Dense(5)], device="gpu", seed=0)
    x = numbers(7, 4)
    network.forward(x)
    with cupy.recorded() as log:
        y = network.forward(x)
    assert log.count("launch") == {"kept": 2, "hidden": 3, "no library": 4}[nan]
    expected = nnx.Network([nnx.Dense(4, 8), nnx.ReLU(), nnx.Dense(5)], device="numpy", seed=0)(x.get())
    np.testing.assert_allclose(y.get(), expected, rtol=1e-5, atol=1e-6)
    x[3] = np.nan
    assert np.isnan(network.forward(x).get()).any(axis=1).tolist() == [row == 3 for row in range(7)]


def test_softmax_takes_one_launch_more():
    backend, out = nnx.resolve("gpu"), cupy.empty((3, 8), "float32")
    a, b, bias = numbers(3, 4), numbers(4, 8), numbers(8)
    backend.dense_forward(a, b, bias, out, "softmax")
    with cupy.recorded() as log:
        backend.dense_forward(a, b, bias, out, "softmax")
    assert [event.name for event in log] == ["cublasLtMatmul", "nnx_softmax"]
    powers = np.exp(expected(a, b, bias, "identity"))
    np.testing.assert_allclose(out.get(), powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_descriptors_are_destroyed():
    from cupy import _cublaslt

    gc.collect()
    before = len(_cublaslt.described)
    library = made()
    waits_of(library, range(1, 300))  # more plans than are kept
    assert 0 < len(_cublaslt.described) - before <= 4 * cublaslt.MOST
    del library
    gc.collect()
    assert len(_cublaslt.described) == before
