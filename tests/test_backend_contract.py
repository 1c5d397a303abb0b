"""Every operation of every backend against the plain one, with what callers may rely on.

The oracle computes in float64 on inputs that were first rounded to the type under test, so what remains is
the rounding of the backend's own arithmetic. A sum of n terms carries a rounding error of about ε √n times
its size (errors of either sign, partial sums growing as √n); elementwise work adds a few ε. The tolerance is
16 ε √n times the largest expected element: wrong formulas are off by far more, in float64 at the least.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from nnx.backends import Backend
from nnx.backends.activations import ACTIVATIONS
from nnx.backends.losses import LOSSES
from nnx.errors import DeviceError

ORACLE = Backend()
KINDS = sorted(ACTIVATIONS)
FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]
ROWS = [1, 7]
ALPHA = 0.3
LARGE = 2 * 16384 + 5  # beyond the chunks in which an optimizer may work, and not a multiple of any


def to_device(backend: Backend, x: Any, strided: bool) -> Any:
    """A copy on the device; `strided` makes it every other column of a wider array."""
    if not isinstance(x, np.ndarray):
        return x
    if not strided or x.ndim < 2:
        return backend.asarray(x.copy())
    wide = np.full((x.shape[0], 2 * x.shape[1]), 7.0, x.dtype)
    wide[:, ::2] = x
    return backend.asarray(wide)[:, ::2]


def close(actual: Any, expected: Any, dtype: np.dtype, terms: int = 1) -> None:
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    tolerance = 16.0 * np.finfo(dtype).eps * terms**0.5 * scale
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance)


def agree(
    backend: Backend,
    operation: str,
    dtype: np.dtype,
    arguments: dict[str, Any],
    outputs: tuple[str, ...],
    *,
    terms: int = 1,
    strided: bool = False,
    returns: bool = True,
) -> dict[str, np.ndarray]:
    """Run an operation on the oracle and the backend; compare outputs, returned value and inputs.

    Arguments named in `outputs` are written; all others must come out as they went in.
    """
    rounded = {
        name: x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in arguments.items()
    }
    expected = {
        name: x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in rounded.items()
    }
    getattr(ORACLE, operation)(**expected)
    device = {name: to_device(backend, x, strided and name not in outputs) for name, x in rounded.items()}
    with backend.quiet():
        returned = getattr(backend, operation)(**device)
    if returns:
        assert returned is device[outputs[0]]
    actual = {}
    for name, x in rounded.items():
        if not isinstance(x, np.ndarray):
            continue
        actual[name] = backend.to_numpy(device[name])
        if name in outputs:
            assert actual[name].dtype == x.dtype
            close(actual[name], expected[name], dtype, terms)
        else:
            np.testing.assert_array_equal(actual[name], x, err_msg=f"{operation} changed {name}")
    return actual


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

    with pytest.raises(DeviceError, match="bring it to the host"):
        ORACLE.asarray(Foreign())


@pytest.mark.parametrize("rows", ROWS)
def test_gather(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    source = rng.standard_normal((11, 5))
    indices = rng.integers(0, 11, rows)
    agree(
        backend, "gather", dtype,
        {"source": source, "indices": indices, "out": np.empty((rows, 5))}, ("out",),
    )  # fmt: skip


def test_gather_of_labels(backend: Backend) -> None:
    labels = backend.asarray(np.arange(10, 20))
    out = backend.empty(3, labels.dtype)
    assert backend.gather(labels, backend.asarray(np.array([9, 0, 4])), out) is out
    assert backend.to_numpy(out).tolist() == [19, 10, 14]


def test_erf(backend: Backend, dtype: np.dtype) -> None:
    # Abramowitz and Stegun, table 7.1
    x = backend.asarray(np.array([[0.0, 0.5, 1.0, -2.0, 30.0]]), dtype)
    close(backend.to_numpy(backend.erf(x))[0], [0.0, 0.5204998778, 0.8427007929, -0.9953222650, 1.0],
          np.dtype("float32"))  # fmt: skip


# --------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", FUSED)
def test_dense_forward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x, W, b = rng.standard_normal((rows, 40)), rng.standard_normal((40, 6)), rng.standard_normal(6)
    arguments = {"x": x, "W": W, "b": b, "y": np.empty((rows, 6)), "kind": kind, "alpha": ALPHA}
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
        "dy": dy, "x": x, "W": W, "dW": np.empty((40, 6)), "db": np.empty(6), "dx": np.empty((rows, 40)),
        "kind": kind, "alpha": ALPHA, "y": y, "dz": np.empty((rows, 6)),
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
    forward = {"kind": kind, "x": x, "y": np.empty_like(x), "alpha": ALPHA}
    y = agree(backend, "activation_forward", dtype, forward, ("y",), terms=9, strided=strided)["y"]
    backward = {"kind": kind, "dy": rng.standard_normal(x.shape), "x": x, "y": y.astype(float),
                "dx": np.empty_like(x), "alpha": ALPHA}  # fmt: skip
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
    arguments = {"x": x, "y": np.empty_like(x), "rate": rate, "key": key, "row": row}
    for strided in (False, True):
        y = agree(backend, "dropout", dtype, arguments, ("y",), strided=strided)["y"]
    same = backend.asarray(x, dtype)
    np.testing.assert_array_equal(backend.to_numpy(backend.dropout(same, same, rate, key, row)), y)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_batch_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    x, dy = rng.standard_normal((rows, 5)) + 3.0, rng.standard_normal((rows, 5))
    gamma, beta, mean, variance = rng.uniform(0.5, 2.0, (4, 5))
    room = {"mean": np.empty(5), "variance": np.empty(5)}
    agree(backend, "batch_moments", dtype, {"x": x, **room}, ("mean", "variance"), terms=rows)
    given = {"x": x, "mean": mean, "variance": variance, "gamma": gamma, "epsilon": 1e-3}
    for strided in (False, True):
        forward = given | {"beta": beta, "y": np.empty_like(x)}
        agree(backend, "batch_norm_forward", dtype, forward, ("y",), strided=strided)
        for constant, dx in itertools.product((False, True), (np.empty_like(x), None)):
            backward = given | {"dy": dy, "dgamma": np.empty(5), "dbeta": np.empty(5), "dx": dx,
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
    forward = given | {"beta": beta, "y": np.empty_like(x)}
    agree(backend, "layer_norm_forward", dtype, forward, ("y",), terms=50, strided=strided)
    for dx in (np.empty_like(x), None):
        backward = given | {"dy": dy, "dgamma": np.empty(50), "dbeta": np.empty(50), "dx": dx}
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


# --------------------------------------------------------------------------------- losses


def loss_arguments(kind: str, rng: np.random.Generator, rows: int, weighted: bool) -> dict[str, Any]:
    parameter = 0.2 if kind == "huber" else 1e-7
    logits = kind.endswith("_from_logits")
    p = 3.0 * rng.standard_normal((rows, 6)) if logits else rng.uniform(0.02, 0.98, (rows, 6))
    return {
        "kind": kind, "y_true": rng.uniform(0.0, 1.0, (rows, 6)), "y_pred": p, "value": np.empty(1),
        "dy": np.empty((rows, 6)), "scale": 1.0 / 6.0, "parameter": parameter,
        "weights": rng.uniform(0.5, 1.5, rows) if weighted else None,
    }  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_losses(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, weighted: bool
) -> None:
    arguments = loss_arguments(kind, rng, rows, weighted)
    for strided in (False, True):
        both = agree(backend, "loss", dtype, arguments, ("value", "dy"), terms=6 * rows, strided=strided,
                     returns=False)  # fmt: skip
    for absent in ("value", "dy"):
        kept = "dy" if absent == "value" else "value"
        alone = agree(
            backend, "loss", dtype, arguments | {absent: None}, (kept,), terms=6 * rows, returns=False
        )
        close(alone[kept], both[kept], dtype, 6 * rows)


@pytest.mark.parametrize("kind", ["categorical_cross_entropy", "categorical_cross_entropy_from_logits"])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_are_rows_with_a_one(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, weighted: bool
) -> None:
    arguments = loss_arguments(kind, rng, 7, weighted)
    labels = rng.integers(0, 6, 7)
    dense = agree(backend, "loss", dtype, arguments | {"y_true": np.eye(6)[labels]}, ("value", "dy"),
                  terms=42, returns=False)  # fmt: skip
    by_label = agree(backend, "loss", dtype, arguments | {"y_true": labels}, ("value", "dy"),
                     terms=42, returns=False)  # fmt: skip
    for name in ("value", "dy"):
        close(by_label[name], dense[name], dtype, 42)


@pytest.mark.parametrize("kind", sorted(LOSSES))
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_stay_finite_at_extremes(backend: Backend, dtype: np.dtype, kind: str, weighted: bool) -> None:
    size = 1e4 if "cross" not in kind or "logits" in kind else 1.0
    p = np.array([[0.0, size], [size, 0.0]])
    if size > 1.0:
        p[0, 0], p[1, 1] = -size, -size
    y = np.array([[1.0, 0.0], [1.0, 0.0]])
    dy, value = backend.empty((2, 2), dtype), backend.empty(1, dtype)
    weights = backend.asarray(np.ones(2), dtype) if weighted else None
    backend.loss(kind, backend.asarray(y, dtype), backend.asarray(p, dtype), value, dy, 1.0, 1e-7, weights)
    assert np.isfinite(backend.to_numpy(dy)).all()
    assert np.isfinite(backend.to_numpy(value)).all()


# ----------------------------------------------------------------------------- optimizers

EXTRAS = [{}, {"weight_decay": 0.02}, {"l2": 0.03}, {"weight_decay": 0.02, "l2": 0.03}]
STEPS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("sgd_step", (), {}),
    ("sgd_step", ("velocity",), {"momentum": 0.9}),
    ("sgd_step", ("velocity",), {"momentum": 0.9, "nesterov": True}),
    ("adam_step", ("m", "v"), {"step": 3, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-7}),
    ("rmsprop_step", ("v",), {"rho": 0.8}),
    ("rmsprop_step", ("v", "velocity"), {"rho": 0.8, "momentum": 0.7}),
    ("adagrad_step", ("accumulator",), {}),
]
NAMES = [f"{name}-{'-'.join(options) or 'plain'}" for name, _, options in STEPS]


def step_arguments(
    operation: str,
    rng: np.random.Generator,
    size: int,
    slots: tuple[str, ...],
    options: dict[str, Any],
    fault: int = 0,
) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: rng.uniform(0.1, 1.0, size) for name in slots}
    if "velocity" not in slots and operation in ("sgd_step", "rmsprop_step"):
        arguments["velocity"] = None
    return arguments | {
        "values": rng.standard_normal(size), "gradients": rng.standard_normal(size),
        "fault": np.array([fault]), "learning_rate": 0.05, **options,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 100, LARGE])
@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: "-".join(extra) or "bare")
@pytest.mark.parametrize(("operation", "slots", "options"), STEPS, ids=NAMES)
def test_optimizer_steps(
    backend: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, Any],
    extra: dict[str, float],
    size: int,
) -> None:
    arguments = step_arguments(operation, rng, size, slots, options) | extra
    agree(backend, operation, dtype, arguments, ("values", *slots))


@pytest.mark.parametrize(("operation", "slots", "options"), STEPS, ids=NAMES)
def test_a_fault_stops_every_change(
    backend: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, Any],
) -> None:
    arguments = step_arguments(operation, rng, 100, slots, options, fault=3) | EXTRAS[3]
    arguments["gradients"][::2] = np.nan
    # named as no output at all: everything must come out as it went in
    agree(backend, operation, dtype, arguments, (), returns=False)


@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clip_by_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, limit: float) -> None:
    host = [rng.standard_normal(40).astype(dtype), rng.standard_normal(3).astype(dtype)]
    norm = float(np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in host)))
    device = [backend.asarray(g.copy()) for g in host]
    backend.clip_by_norm(device, limit)
    for before, after in zip(host, device, strict=True):
        if norm <= limit:
            np.testing.assert_array_equal(backend.to_numpy(after), before)
        else:
            close(backend.to_numpy(after), before * (limit / norm), dtype, 43)


def test_clip_by_norm_of_nothing(backend: Backend, dtype: np.dtype) -> None:
    gradients = backend.zeros(5, dtype)
    backend.clip_by_norm([gradients], 1.0)
    assert not backend.to_numpy(gradients).any()


def test_clip_by_value(backend: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    gradients = 3.0 * rng.standard_normal(50)
    clipped = agree(backend, "clip_by_value", dtype, {"gradients": gradients, "limit": 0.5}, ("gradients",))
    assert np.abs(clipped["gradients"]).max() == 0.5


@pytest.mark.parametrize(
    ("loss", "gradient", "fault"),
    [(1.0, 1.0, 0), (np.nan, 1.0, 4), (np.inf, 1.0, 4), (1.0, np.nan, 4), (1.0, -np.inf, 4), (1.0, 1e30, 0)],
)
def test_raise_fault(backend: Backend, dtype: np.dtype, loss: float, gradient: float, fault: int) -> None:
    gradients = np.ones(70)
    gradients[33] = gradient  # 1e30: its square overflows in float32, it does not
    flag = backend.zeros(1, "int64")
    with backend.quiet():
        device = backend.asarray(np.array([loss]), dtype), backend.asarray(gradients, dtype)
        assert backend.raise_fault(*device, flag, 4) is flag
        assert int(flag[0]) == fault
        backend.raise_fault(device[0] * np.nan, device[1], flag, 9)
    assert int(flag[0]) == (fault or 9), "the first fault is the one to keep"
