"""Compiled convolutions equal the plain form, on sizes that several threads and several passes share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends.base import Backend
from nnx.ops.windows import transposed_windows, windows

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import convolution_numba
from nnx.ops.convolution_numba import shape_of

# size, kernel, strides, padding, dilation, channels, filters, groups, rows, activation
JOBS: dict[str, tuple[Any, ...]] = {
    "one channel": ((28, 28), (5, 5), (1, 1), "same", (1, 1), 1, 6, 1, 9, "relu"),
    "few channels": ((14, 14), (5, 5), (1, 1), "valid", (1, 1), 6, 16, 1, 9, "tanh"),
    "one channel, strides": ((28, 28), (3, 3), (2, 2), "same", (1, 1), 1, 32, 1, 17, "sigmoid"),
    "many channels, strides": ((14, 14), (3, 3), (2, 2), "same", (1, 1), 32, 64, 1, 17, "relu"),
    "one row of windows is too large": ((3, 40), (3, 3), (1, 1), "same", (1, 1), 120, 5, 1, 9, "identity"),
    "groups": ((19, 17), (3, 2), (2, 1), "same", (1, 1), 4, 6, 2, 17, "leaky_relu"),
    "wide groups": ((9, 17), (3, 3), (1, 1), "same", (1, 1), 40, 6, 2, 17, "relu"),
    "dilation": ((19, 17), (3, 2), (1, 1), "same", (2, 3), 20, 6, 1, 17, "relu"),
    "dilation, few channels": ((19, 17), (3, 2), (1, 1), "same", (2, 3), 2, 6, 1, 17, "relu"),
    "pointwise": ((9, 17), (1, 1), (1, 1), "same", (1, 1), 40, 30, 1, 17, "relu"),
    "pointwise, strides": ((19, 17), (1, 1), (2, 3), "same", (1, 1), 40, 30, 1, 17, "elu"),
    "pointwise, groups": ((9, 17), (1, 1), (1, 1), "same", (1, 1), 40, 30, 2, 17, "relu"),
    "depthwise": ((19, 17), (3, 2), (2, 1), "same", (1, 1), 20, 20, 20, 17, "relu"),
    "depthwise, dilation": ((19, 17), (3, 3), (1, 1), "valid", (1, 2), 33, 33, 33, 17, "sigmoid"),
    "gaps between windows": ((30, 20), (2, 2), (3, 4), "valid", (1, 1), 3, 20, 1, 33, "relu"),
    "sequence": ((1, 500), (1, 7), (1, 3), "same", (1, 1), 3, 5, 1, 9, "relu"),
    "windows larger than the image": ((3, 3), (5, 7), (1, 1), "same", (1, 1), 3, 50, 1, 9, "relu"),
    "one image": ((40, 40), (3, 3), (1, 1), "same", (1, 1), 8, 8, 1, 1, "relu"),
}
jobs = pytest.mark.parametrize("job", JOBS)


def buffer(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory with NaN in it, as the last call may have left it."""
    return np.full(shape, np.nan, dtype)


def numbers(
    rng: np.random.Generator, job: str, transposed: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments that both passes have, and arrays: x, W, b, y, dy."""
    size, kernel, strides, padding, dilation, channels, filters, groups, rows, kind = JOBS[job]
    found = (transposed_windows if transposed else windows)(size, kernel, strides, padding, dilation)
    W = (*kernel, filters, channels) if transposed else (*kernel, channels // groups, filters)
    x = (rows, *found.outputs, channels) if transposed else (rows, *size, channels)
    y = (rows, *(found.size if transposed else found.outputs), filters)
    shared = {"windows": found, "buffer": buffer, "kind": kind, "alpha": 0.3}
    arrays = {name: rng.standard_normal(shape) for name, shape in (("x", x), ("W", W), ("dy", y))}
    return shared | ({} if transposed else {"groups": groups}), arrays | {"b": rng.standard_normal(filters)}


@jobs
@pytest.mark.parametrize("operation", ["convolution", "transposed_convolution"])
def test_both_passes(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, operation: str, job: str
) -> None:
    transposed = operation == "transposed_convolution"
    if transposed and JOBS[job][7] > 1:
        return  # transposed convolutions have no groups
    shared, arrays = numbers(rng, job, transposed)
    dy, b, W, x = (arrays.pop(name) for name in ("dy", "b", "W", "x"))
    in_window = W[..., 0, 0].size * max(W.shape[2:])
    forward = shared | {"x": x, "W": W, "b": b, "y": room(*dy.shape)}
    y = agree(compiled, f"{operation}_forward", dtype, forward, ("y",), terms=in_window)["y"]
    agree(compiled, f"{operation}_forward", dtype, forward | {"b": None}, ("y",), terms=in_window)
    backward = shared | {
        "x": x, "W": W, "dy": dy, "dW": room(*W.shape), "db": room(*b.shape), "dx": room(*x.shape),
        "y": y.astype(float), "dz": room(*dy.shape),
    }  # fmt: skip
    outputs = ("dW", "db", "dx", "dz")
    if shared["kind"] == "identity":
        backward |= {"y": None, "dz": None}
        outputs = ("dW", "db", "dx")
    terms = max(in_window, x[..., 0].size, dy[..., 0].size)
    whole = agree(compiled, f"{operation}_backward", dtype, backward, outputs, terms=terms)
    without = agree(
        compiled, f"{operation}_backward", dtype, backward | {"dx": None, "db": None},
        tuple(one for one in outputs if one not in ("dx", "db")), terms=terms,
    )  # fmt: skip
    np.testing.assert_array_equal(whole["dW"], without["dW"])


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("job", "transposed"),
    [(job, way) for job in ("one channel", "many channels, strides") for way in (False, True)]
    + [("depthwise", False)],
)
def test_the_same_threads_give_the_same_bytes(
    rng: np.random.Generator, threads: int, job: str, transposed: bool
) -> None:
    backend = team(threads)
    shared, arrays = numbers(rng, job, transposed)
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    first, *others = (passes(backend, shared, arrays, transposed) for _ in range(4))
    alone = passes(team(1), shared, arrays, transposed)
    for name, value in first.items():
        for other in others:
            assert other[name].tobytes() == value.tobytes()
        # only the sums of dW are divided among threads
        np.testing.assert_allclose(value, alone[name], rtol=0.0, atol=1e-5 * np.abs(alone[name]).max())


@pytest.mark.parametrize("narrow", [0, 10**6])
@pytest.mark.parametrize("job", ["one channel", "many channels, strides", "dilation", "groups"])
def test_tall_and_wide_columns_give_the_same(
    patched: pytest.MonkeyPatch, rng: np.random.Generator, job: str, narrow: int
) -> None:
    patched.setattr(convolution_numba, "NARROW", narrow)
    shared, arrays = numbers(rng, job)
    backend = team(2)
    found = passes(backend, shared, arrays, transposed=False)
    groups = shared["groups"]
    shape = shape_of(shared["windows"], arrays["x"].shape[-1], arrays["dy"].shape[-1], groups)
    assert shape.tall == (narrow > 0)
    expected = passes(Backend(), shared, arrays, transposed=False)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0.0, atol=1e-12 * np.abs(value).max())


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Forget shapes that were computed with other limits."""
    shape_of.cache_clear()
    yield monkeypatch
    shape_of.cache_clear()


def test_dz_may_be_dy(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    for transposed in (False, True):
        shared, arrays = numbers(rng, "many channels, strides", transposed)
        arrays = {name: value.astype(dtype) for name, value in arrays.items()}
        apart = passes(compiled, shared, arrays, transposed)
        together = passes(compiled, shared, arrays, transposed, in_place=True)
        for name, value in apart.items():
            np.testing.assert_array_equal(together[name], value)


def test_nan_reaches_exactly_the_windows_that_hold_it(compiled: Backend, dtype: np.dtype) -> None:
    found = windows((14, 14), (3, 3), (1, 1), "valid")
    x, W = np.ones((40, 14, 14, 20), dtype), np.ones((3, 3, 20, 20), dtype)
    x[7, 5, 6, 3] = np.nan
    y, b = np.empty((40, 12, 12, 20), dtype), np.zeros(20, dtype)
    compiled.convolution_forward(x, W, b, y, found, 1, buffer, "relu")
    expected = np.zeros(y.shape, bool)
    expected[7, 3:6, 4:7] = True
    np.testing.assert_array_equal(np.isnan(y), expected)


def test_a_sum_over_many_positions_is_exact_enough(dtype: np.dtype) -> None:
    """Added one by one in float32, 200,000 numbers near 1000 are off by more than 1e-4."""
    found = windows((1000, 200), (1, 1), (1, 1), "valid")
    dy = np.random.default_rng(0).normal(1000.0, 1.0, (1, 1000, 200, 1)).astype(dtype)
    x, W = np.ones_like(dy), np.ones((1, 1, 1, 1), dtype)
    dW, db = np.empty_like(W), np.empty(1, dtype)
    team(2).convolution_backward(dy, x, W, dW, db, None, found, 1, buffer)
    for value in (db[0], dW[0, 0, 0, 0]):
        assert abs(float(value) / float(dy.sum(dtype=np.float64)) - 1.0) < 1e-5


def team(threads: int) -> Backend:
    """The compiled backend with so many threads."""
    from nnx.backends.numba_backend import NumbaBackend
    from nnx.ops import team_numba

    backend = NumbaBackend()
    if backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    team_numba.start(threads)
    backend.threads = threads
    return backend


def passes(
    backend: Backend, shared: dict[str, Any], arrays: dict[str, Any], transposed: bool, in_place: bool = False
) -> dict[str, np.ndarray]:
    """Run both passes; return y, dW, db and dx."""
    name = "transposed_convolution" if transposed else "convolution"
    x, W, b, dy = (arrays[one].copy() for one in ("x", "W", "b", "dy"))
    found = {"y": np.empty_like(dy)}
    getattr(backend, f"{name}_forward")(x=x, W=W, b=b, y=found["y"], **shared)
    gradients = {f"d{one}": np.full_like(value, np.nan) for one, value in (("W", W), ("b", b), ("x", x))}
    dz = dy if in_place else np.empty_like(dy)
    getattr(backend, f"{name}_backward")(dy=dy, x=x, W=W, y=found["y"], dz=dz, **shared, **gradients)
    return found | gradients
