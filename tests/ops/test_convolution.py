"""Convolutions: every backend equals the plain form, which equals a sum over single windows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from support.contract import ALPHA, KINDS, ORACLE, agree, room

from nnx.backends import Backend
from nnx.ops import convolution, convolution_cuda
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.windows import Windows, transposed_windows, windows

FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]
# size, kernel, strides, padding, dilation, channels, filters, groups
JOBS: dict[str, tuple[Any, ...]] = {
    "3x3": ((6, 5), (3, 3), (1, 1), "valid", (1, 1), 2, 3, 1),
    "same": ((5, 6), (3, 2), (1, 1), "same", (1, 1), 3, 2, 1),
    "strides": ((7, 6), (3, 3), (2, 3), "valid", (1, 1), 2, 3, 1),
    "same, strides": ((7, 8), (3, 2), (2, 2), "same", (1, 1), 2, 3, 1),
    "gaps between windows": ((8, 7), (1, 2), (3, 3), "same", (1, 1), 2, 3, 1),
    "dilation": ((8, 7), (3, 2), (1, 1), "same", (2, 3), 2, 3, 1),
    "pointwise": ((4, 5), (1, 1), (1, 1), "valid", (1, 1), 5, 3, 1),
    "pointwise, strides": ((4, 5), (1, 1), (2, 2), "valid", (1, 1), 5, 3, 1),
    "groups": ((5, 6), (3, 3), (1, 1), "same", (1, 1), 4, 6, 2),
    "pointwise, groups": ((4, 4), (1, 1), (1, 1), "valid", (1, 1), 4, 6, 2),
    "depthwise": ((6, 5), (3, 3), (2, 2), "same", (1, 1), 3, 3, 3),
    "depthwise, more filters": ((5, 5), (2, 3), (1, 1), "valid", (1, 1), 3, 6, 3),
    "sequence": ((1, 9), (1, 4), (1, 2), "same", (1, 1), 3, 4, 1),
    "one window": ((5, 4), (5, 4), (1, 1), "valid", (1, 1), 3, 4, 1),
}
ROWS = [1, 7]
jobs = pytest.mark.parametrize("job", JOBS)


def buffer_of(backend: Backend) -> Any:
    """Memory with NaN in it, as the last call may have left it."""

    def buffer(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        memory = backend.empty(shape, dtype)
        memory[...] = float("nan")
        return memory

    return buffer


def numbers(
    rng: np.random.Generator, job: str, rows: int, transposed: bool = False
) -> tuple[Windows, int, dict[str, np.ndarray]]:
    """The windows of a job, its groups, and x, W, b, and dy."""
    size, kernel, strides, padding, dilation, channels, filters, groups = JOBS[job]
    if transposed:
        found = transposed_windows(size, kernel, strides, padding, dilation)
        shapes = (
            (rows, *found.outputs, channels),
            (*kernel, filters, channels),
            (rows, *found.size, filters),
        )
    else:
        found = windows(size, kernel, strides, padding, dilation)
        shapes = (
            (rows, *size, channels), (*kernel, channels // groups, filters), (rows, *found.outputs, filters),
        )  # fmt: skip
    x, W, dy = (rng.standard_normal(shape) for shape in shapes)
    return found, groups, {"x": x, "W": W, "b": rng.standard_normal(filters), "dy": dy}


def terms(job: str, rows: int) -> int:
    """The most terms of a sum: in a window, or over all rows and positions."""
    size, kernel, _, _, _, channels, filters, _ = JOBS[job]
    return max(kernel[0] * kernel[1] * max(channels, filters), rows * (size[0] + 8) * (size[1] + 8))


@pytest.mark.parametrize("rows", ROWS)
@jobs
def test_the_plain_form_is_a_sum_over_single_windows(rng: np.random.Generator, job: str, rows: int) -> None:
    found, groups, given = numbers(rng, job, rows)
    x, W = given["x"], given["W"]
    y = room(*given["dy"].shape)
    ORACLE.convolution_forward(x, W, given["b"], y, found, groups, buffer_of(ORACLE))
    inner, width = W.shape[2], W.shape[3] // groups
    for r, q, f in itertools.product(range(found.outputs[0]), range(found.outputs[1]), range(W.shape[3])):
        expected = np.full(rows, given["b"][f])
        for i, j in itertools.product(*map(range, found.kernel)):
            u = r * found.strides[0] + i * found.dilation[0] - found.before[0]
            v = q * found.strides[1] + j * found.dilation[1] - found.before[1]
            if 0 <= u < found.size[0] and 0 <= v < found.size[1]:
                first = f // width * inner
                expected += x[:, u, v, first : first + inner] @ W[i, j, :, f]
        np.testing.assert_allclose(y[:, r, q, f], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@jobs
def test_the_plain_gradients_are_those_of_the_sum(rng: np.random.Generator, job: str, rows: int) -> None:
    """The sum is linear in x and in W: ⟨dy, x ∗ W⟩ = ⟨dx, x⟩ = ⟨dW, W⟩ for all x and W."""
    found, groups, given = numbers(rng, job, rows)
    x, W, dy = given["x"], given["W"], given["dy"]
    y, dW, dx = room(*dy.shape), room(*W.shape), room(*x.shape)
    ORACLE.convolution_backward(dy, x, W, dW, None, dx, found, groups, buffer_of(ORACLE))
    for _ in range(3):
        other = rng.standard_normal(x.shape)
        ORACLE.convolution_forward(other, W, None, y, found, groups, buffer_of(ORACLE))
        np.testing.assert_allclose(np.vdot(dx, other), np.vdot(dy, y), rtol=1e-10, atol=1e-10)
        weights = rng.standard_normal(W.shape)
        ORACLE.convolution_forward(x, weights, None, y, found, groups, buffer_of(ORACLE))
        np.testing.assert_allclose(np.vdot(dW, weights), np.vdot(dy, y), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", ROWS)
@jobs
def test_convolution_forward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, job: str, rows: int
) -> None:
    found, groups, given = numbers(rng, job, rows)
    dy = given.pop("dy")
    arguments = given | {"y": room(*dy.shape), "windows": found, "groups": groups}
    arguments["buffer"] = buffer_of(backend)
    agree(backend, "convolution_forward", dtype, arguments, ("y",), terms=terms(job, rows))
    agree(backend, "convolution_forward", dtype, arguments | {"b": None}, ("y",), terms=terms(job, rows))


@pytest.mark.parametrize("rows", ROWS)
@jobs
def test_convolution_backward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, job: str, rows: int
) -> None:
    found, groups, given = numbers(rng, job, rows)
    b, x, W = given.pop("b"), given["x"], given["W"]
    arguments = given | {
        "dW": room(*W.shape), "db": room(*b.shape), "dx": room(*x.shape), "windows": found,
        "groups": groups, "buffer": buffer_of(backend),
    }  # fmt: skip
    both(backend, "convolution_backward", dtype, arguments, terms(job, rows))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("job", [job for job in JOBS if JOBS[job][-1] == 1])
def test_transposed_convolution(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, job: str, rows: int
) -> None:
    found, _, given = numbers(rng, job, rows, transposed=True)
    dy = given.pop("dy")
    shared = {"windows": found, "buffer": buffer_of(backend)}
    arguments = given | {"y": room(*dy.shape)} | shared
    agree(backend, "transposed_convolution_forward", dtype, arguments, ("y",), terms=terms(job, rows))
    b, x, W = given.pop("b"), given["x"], given["W"]
    gradients = {"dW": room(*W.shape), "db": room(*b.shape), "dx": room(*x.shape)}
    arguments = given | {"dy": dy} | gradients | shared
    both(backend, "transposed_convolution_backward", dtype, arguments, terms(job, rows))


@pytest.mark.parametrize("job", ["same", "same, strides", "groups", "depthwise", "depthwise, more filters"])
def test_a_few_images_at_a_time(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """Memory for the columns of two or three of seven images; the last part is smaller."""
    kernel, *_, channels, filters, groups = JOBS[job][1:]
    found, groups, given = numbers(rng, job, 7)
    depthwise = channels == groups
    each = np.prod(found.outputs) * (filters if depthwise else kernel[0] * kernel[1] * channels // groups)
    for module in (convolution, convolution_cuda):
        monkeypatch.setattr(module, "COLUMNS", 3 * each + 1)
    b, dy, shared = given.pop("b"), given.pop("dy"), {"windows": found, "groups": groups}
    shared |= {"buffer": buffer_of(backend)}
    arguments = given | {"b": b, "y": room(*dy.shape)} | shared
    agree(backend, "convolution_forward", dtype, arguments, ("y",), terms=terms(job, 7))
    gradients = {"dW": room(*given["W"].shape), "db": room(*b.shape), "dx": room(*given["x"].shape)}
    both(backend, "convolution_backward", dtype, given | {"dy": dy} | gradients | shared, terms(job, 7))


def both(backend: Backend, operation: str, dtype: np.dtype, arguments: dict[str, Any], many: int) -> None:
    """Compare a backward pass with all its gradients, and without those that may be left out."""
    whole = agree(backend, operation, dtype, arguments, ("dW", "db", "dx"), terms=many)
    without = agree(backend, operation, dtype, arguments | {"db": None, "dx": None}, ("dW",), terms=many)
    np.testing.assert_array_equal(whole["dW"], without["dW"], err_msg="db or dx changed dW")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kind", FUSED)
def test_with_an_activation(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, transposed: bool
) -> None:
    found, groups, given = numbers(rng, "same, strides", 3, transposed)
    dy, b = given.pop("dy"), given["b"]
    shared = {"windows": found, "buffer": buffer_of(backend), "kind": kind, "alpha": ALPHA}
    shared |= {} if transposed else {"groups": groups}
    before = "transposed_" if transposed else ""
    arguments = given | {"y": room(*dy.shape)} | shared
    agree(backend, f"{before}convolution_forward", dtype, arguments, ("y",), terms=400)
    y = ACTIVATIONS[kind].forward(ORACLE, rng.standard_normal((dy.size // len(b), len(b))), ALPHA)
    gradients = {"dW": room(*given["W"].shape), "db": room(*b.shape), "dx": room(*given["x"].shape)}
    arguments = given | {"dy": dy, "y": y.reshape(dy.shape), "dz": room(*dy.shape)} | gradients | shared
    outputs = ("dW", "db", "dx") if kind == "identity" else ("dW", "db", "dx", "dz")
    if kind == "identity":
        arguments |= {"y": None, "dz": None}  # the identity needs neither
    del arguments["b"]
    agree(backend, f"{before}convolution_backward", dtype, arguments, outputs, terms=400)


@pytest.mark.parametrize("transposed", [False, True])
def test_with_bfloat16_factors(backend: Backend, rng: np.random.Generator, transposed: bool) -> None:
    """The factors are rounded, and nothing else: as in float32 on rounded x, W and dz."""
    found, groups, given = numbers(rng, "same", 3, transposed)
    x, W, b, dy = (backend.asarray(value, "float32") for value in given.values())
    shared = {"windows": found, "buffer": buffer_of(backend)} | ({} if transposed else {"groups": groups})
    forward, backward = (
        getattr(backend, f"{'transposed_' * transposed}convolution_{way}") for way in ("forward", "backward")
    )
    factors = backend.empty(x.shape, "float32"), backend.empty(W.shape, "float32")
    rounded = backend.empty(dy.shape, "float32")
    results = []
    for on_rounded in (False, True):
        y, dW, db, dx = (backend.empty(like.shape, "float32") for like in (dy, W, b, x))
        if on_rounded:
            forward(*factors, b, y, **shared)
            backward(rounded, *factors, dW, None, dx, **shared)
            db = backend.asarray(given["dy"].reshape(-1, len(b)).sum(axis=0), "float32")
        else:
            forward(x, W, b, y, factors=factors, **shared)
            backward(dy, *factors, dW, db, dx, rounded_dz=rounded, **shared)
        results.append([backend.to_numpy(value) for value in (y, dW, db, dx)])
    for name, apart, together in zip(("y", "dW", "db", "dx"), *results, strict=True):
        np.testing.assert_allclose(apart, together, rtol=1e-5, atol=1e-5 * (name == "db"), err_msg=name)
    assert not np.array_equal(backend.to_numpy(factors[0]), backend.to_numpy(x))


def test_dz_may_be_dy(backend: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    found, groups, given = numbers(rng, "3x3", 4)
    results = []
    for shared in (False, True):
        x, W, _, dy = (backend.asarray(value.copy(), dtype) for value in given.values())
        y = backend.asarray(np.tanh(given["dy"]), dtype)
        dW, db, dx = (backend.empty(shape, dtype) for shape in (W.shape, W.shape[-1], x.shape))
        dz = dy if shared else backend.empty(dy.shape, dtype)
        memory = buffer_of(backend)
        backend.convolution_backward(dy, x, W, dW, db, dx, found, groups, memory, "tanh", 0.0, y, dz)
        results.append([backend.to_numpy(value) for value in (dW, db, dx)])
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)
