"""Arrays, layers and activations: every backend equals the plain one, see `contract`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.contract import ORACLE, ROWS, agree, close, room

from nnx.backends import Backend
from nnx.errors import DeviceError
from nnx.ops.activations import ACTIVATIONS

KINDS = sorted(ACTIVATIONS)
FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]
ALPHA = 0.3


# --------------------------------------------------------------------------------- arrays


def test_asarray_and_back(backend: Backend, dtype: np.dtype) -> None:
    host = np.arange(12.0).reshape(3, 4).T[::2]
    array = backend.asarray(host, dtype)
    assert backend.owns(array)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    back = backend.to_numpy(array)
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, host)


def test_empty_and_zeros(backend: Backend, dtype: np.dtype) -> None:
    assert backend.empty((2, 3), dtype).shape == (2, 3)
    zeros = backend.zeros((2, 3), dtype)
    assert zeros.dtype == dtype
    assert not backend.to_numpy(zeros).any()


def test_an_array_of_another_device_is_refused_by_the_cpu() -> None:
    class Foreign:
        __cuda_array_interface__ = None

    with pytest.raises(DeviceError, match=r"GPU.*host"):
        ORACLE.asarray(Foreign())


@pytest.mark.parametrize("rows", ROWS)
def test_gather(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    source = rng.standard_normal((11, 5))
    indices = rng.integers(0, 11, rows)
    agree(
        backend, "gather", dtype,
        {"source": source, "indices": indices, "out": room(rows, 5)}, ("out",),
    )  # fmt: skip


def test_gather_of_labels(backend: Backend) -> None:
    labels = backend.asarray(np.arange(10, 20))
    out = backend.empty(3, labels.dtype)
    assert backend.gather(labels, backend.asarray(np.array([9, 0, 4])), out) is out
    assert backend.to_numpy(out).tolist() == [19, 10, 14]


@pytest.mark.parametrize("rows", [*ROWS, 300])
@pytest.mark.parametrize("divisor", [1.0, 255.0])
def test_gather_of_bytes(backend: Backend, dtype: np.dtype, rows: int, divisor: float) -> None:
    """Not close but equal: a data set may be kept either way."""
    every = np.arange(256 * 150).reshape(-1, 150).astype(np.uint8)
    indices = np.random.default_rng(0).permutation(np.arange(512) % 256)[:rows]
    source, out = backend.asarray(every), backend.empty((rows, 150), dtype)
    assert backend.gather(source, backend.asarray(indices), out, divisor) is out
    np.testing.assert_array_equal(backend.to_numpy(out), np.divide(every[indices], divisor, dtype=dtype))
    np.testing.assert_array_equal(backend.to_numpy(source), every)


@pytest.mark.parametrize("kind", ["float", "bytes"])
@pytest.mark.parametrize("rows", [3, 300])
def test_gather_of_rows_with_axes(backend: Backend, dtype: np.dtype, kind: str, rows: int) -> None:
    every = np.arange(11 * 60).reshape(11, 3, 4, 5).astype(dtype if kind == "float" else np.uint8)
    indices = np.arange(rows) * 7 % 11
    out = backend.empty((rows, 3, 4, 5), dtype)
    divisor = 1.0 if kind == "float" else 255.0
    assert backend.gather(backend.asarray(every), backend.asarray(indices), out, divisor) is out
    np.testing.assert_array_equal(backend.to_numpy(out), np.divide(every[indices], divisor, dtype=dtype))


def test_erfc(backend: Backend, dtype: np.dtype) -> None:
    # Abramowitz and Stegun, table 7.1
    x = backend.asarray(np.array([[0.0, 0.5, 1.0, -2.0, 30.0]]), dtype)
    close(backend.to_numpy(backend.erfc(x))[0], [1.0, 0.4795001222, 0.1572992071, 1.9953222650, 0.0],
          np.dtype("float32"))  # fmt: skip


# --------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", FUSED)
def test_dense_forward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x, W, b = rng.standard_normal((rows, 40)), rng.standard_normal((40, 6)), rng.standard_normal(6)
    arguments = {"x": x, "W": W, "b": b, "y": room(rows, 6), "kind": kind, "alpha": ALPHA}
    agree(backend, "dense_forward", dtype, arguments, ("y",), terms=40, strided=strided)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", FUSED)
def test_dense_backward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x, W, dy = (rng.standard_normal(shape) for shape in ((rows, 40), (40, 6), (rows, 6)))
    y = ACTIVATIONS[kind].forward(ORACLE, rng.standard_normal((rows, 6)), ALPHA)
    arguments = {
        "dy": dy, "x": x, "W": W, "dW": room(40, 6), "db": room(6), "dx": room(rows, 40),
        "kind": kind, "alpha": ALPHA, "y": y, "dz": room(rows, 6),
    }  # fmt: skip
    outputs = ("dW", "db", "dx") if kind == "identity" else ("dW", "db", "dx", "dz")
    if kind == "identity":
        arguments |= {"y": None, "dz": None}  # the identity needs neither
    whole = agree(backend, "dense_backward", dtype, arguments, outputs, terms=40, strided=strided)
    without = agree(
        backend, "dense_backward", dtype, arguments | {"dx": None}, tuple(o for o in outputs if o != "dx"),
        terms=40, strided=strided,
    )  # fmt: skip
    for name in ("dW", "db"):
        np.testing.assert_array_equal(whole[name], without[name], err_msg="dx=None changed a gradient")


def test_dense_backward_may_use_dy_as_its_room(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    x, W, dy, y = (rng.standard_normal(shape) for shape in ((7, 5), (5, 6), (7, 6), (7, 6)))
    y = np.tanh(y)
    results = []
    for shared in (False, True):
        host = [backend.asarray(v, dtype) for v in (dy.copy(), x, W, y)]
        dW, db, dx = (backend.empty(shape, dtype) for shape in ((5, 6), 6, (7, 5)))
        dz = host[0] if shared else backend.empty((7, 6), dtype)
        backend.dense_backward(host[0], host[1], host[2], dW, db, dx, "tanh", 0.0, host[3], dz)
        results.append([backend.to_numpy(v) for v in (dW, db, dx)])
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_activations(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x = 3.0 * rng.standard_normal((rows, 9))
    forward = {"kind": kind, "x": x, "y": room(*x.shape), "alpha": ALPHA}
    y = agree(backend, "activation_forward", dtype, forward, ("y",), terms=9, strided=strided)["y"]
    backward = {"kind": kind, "dy": rng.standard_normal(x.shape), "x": x, "y": y.astype(float),
                "dx": room(*x.shape), "alpha": ALPHA}  # fmt: skip
    agree(backend, "activation_backward", dtype, backward, ("dx",), terms=9, strided=strided)
    if ACTIVATIONS[kind].from_output:
        agree(backend, "activation_backward", dtype, backward | {"x": None}, ("dx",), terms=9)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_in_place(backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str) -> None:
    x, dy = (backend.asarray(rng.standard_normal((5, 6)), dtype) for _ in range(2))
    y = backend.activation_forward(kind, x, backend.empty(x.shape, dtype), ALPHA)
    dx = backend.activation_backward(kind, dy, x, y, backend.empty(x.shape, dtype), ALPHA)
    backend.activation_backward(kind, dy, x, y, dy, ALPHA)
    backend.activation_forward(kind, x, x, ALPHA)
    np.testing.assert_array_equal(backend.to_numpy(dy), backend.to_numpy(dx))
    np.testing.assert_array_equal(backend.to_numpy(x), backend.to_numpy(y))


@pytest.mark.parametrize("kind", KINDS)
def test_activations_stay_finite_at_extremes(backend: Backend, dtype: np.dtype, kind: str) -> None:
    x = backend.asarray(np.array([[0.0, -0.0, 1e-30, -1e-30, 60.0, -60.0, 1e4, -1e4]]), dtype)
    dy = backend.asarray(np.ones(x.shape), dtype)
    y, dx = backend.empty(x.shape, dtype), backend.empty(x.shape, dtype)
    backend.activation_forward(kind, x, y, ALPHA)
    backend.activation_backward(kind, dy, x, y, dx, ALPHA)
    assert np.isfinite(backend.to_numpy(y)).all()
    assert np.isfinite(backend.to_numpy(dx)).all()
    assert (backend.to_numpy(dx) <= 1.2).all()  # GELU's slope reaches 1.13, all others stay below it


@pytest.mark.parametrize("kind", KINDS)
def test_activations_do_not_hide_nan(backend: Backend, dtype: np.dtype, kind: str) -> None:
    x = backend.asarray(np.array([[np.nan, 1.0]]), dtype)
    with backend.quiet():
        y = backend.activation_forward(kind, x, backend.empty(x.shape, dtype), ALPHA)
    assert np.isnan(backend.to_numpy(y)[0, 0])


@pytest.mark.parametrize(
    ("key", "row", "rate"), [(0, 0, 0.5), (2**64 - 1, 3, 0.1), (12345 << 32 | 7, 999, 0.9)]
)
def test_dropout_draws_the_oracles_mask(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, key: int, row: int, rate: float
) -> None:
    x = rng.uniform(1.0, 2.0, (33, 65))
    arguments = {"x": x, "y": room(*x.shape), "rate": rate, "key": key, "row": row}
    for strided in (False, True):
        y = agree(backend, "dropout", dtype, arguments, ("y",), strided=strided)["y"]
    same = backend.asarray(x, dtype)
    np.testing.assert_array_equal(backend.to_numpy(backend.dropout(same, same, rate, key, row)), y)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_batch_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    x, dy = rng.standard_normal((rows, 5)) + 3.0, rng.standard_normal((rows, 5))
    gamma, beta, mean, variance = rng.uniform(0.5, 2.0, (4, 5))
    moments = {"mean": room(5), "variance": room(5)}
    agree(backend, "batch_moments", dtype, {"x": x, **moments}, ("mean", "variance"), terms=rows)
    given = {"x": x, "mean": mean, "variance": variance, "gamma": gamma, "epsilon": 1e-3}
    for strided in (False, True):
        forward = given | {"beta": beta, "y": room(*x.shape)}
        agree(backend, "batch_norm_forward", dtype, forward, ("y",), strided=strided)
        for constant, dx in itertools.product((False, True), (room(*x.shape), None)):
            backward = given | {"dy": dy, "dgamma": room(5), "dbeta": room(5), "dx": dx,
                                "constant": constant}  # fmt: skip
            outputs = ("dgamma", "dbeta") if dx is None else ("dgamma", "dbeta", "dx")
            agree(backend, "batch_norm_backward", dtype, backward, outputs, terms=rows, strided=strided)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("strided", [False, True])
def test_layer_norm(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int, strided: bool
) -> None:
    x, dy = rng.standard_normal((rows, 50)) - 2.0, rng.standard_normal((rows, 50))
    gamma, beta = rng.uniform(0.5, 2.0, (2, 50))
    given = {"x": x, "gamma": gamma, "epsilon": 1e-3}
    forward = given | {"beta": beta, "y": room(*x.shape)}
    agree(backend, "layer_norm_forward", dtype, forward, ("y",), terms=50, strided=strided)
    for dx in (room(*x.shape), None):
        backward = given | {"dy": dy, "dgamma": room(50), "dbeta": room(50), "dx": dx}
        outputs = ("dgamma", "dbeta") if dx is None else ("dgamma", "dbeta", "dx")
        agree(backend, "layer_norm_backward", dtype, backward, outputs, terms=50, strided=strided)


@pytest.mark.parametrize("value", [0.0, 1e4, -1e4])
def test_norms_of_what_does_not_vary_are_finite(backend: Backend, dtype: np.dtype, value: float) -> None:
    x = backend.asarray(np.full((4, 3), value), dtype)
    one, zero = backend.asarray(np.ones(3), dtype), backend.zeros(3, dtype)
    mean, variance, y = backend.empty(3, dtype), backend.empty(3, dtype), backend.empty((4, 3), dtype)
    backend.batch_moments(x, mean, variance)
    assert not backend.to_numpy(variance).any()
    backend.batch_norm_forward(x, mean, variance, one, zero, y, 1e-3)
    assert not backend.to_numpy(y).any()
    backend.layer_norm_forward(x, one, zero, y, 1e-3)
    assert np.isfinite(backend.to_numpy(y)).all()
