"""Every kernel's source, compiled by g++, computes the same as the plain backend.

The plain forms of `nnx.ops` compute in float64 on the same numbers where they are finite, and in
the kernel's own type where they are not, because the type decides what overflows or becomes NaN.
Raw kernels run thread by thread, from the first thread and from the last, and on one thread.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from support.contract import close, room
from support.ladder.host_kernels import compile

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.losses import LOSSES

pytest.importorskip("cupy", reason="needs CuPy's real wheel: nox -s ladder")
import nnx.ops.convolution_cuda  # noqa: F401 - `nnx.backends` does not import its kernels
from nnx.ops.cuda import Elementwise, Raw
from nnx.ops.embedding import position_bits

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

PLAIN = Backend()
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-30, 20.0, -20.0, 89.0, -89.0, 710.0, -710.0)
LAYOUTS = ("contiguous", "strided", "reversed", "broadcast", "empty", "one")
SHAPES = {"empty": (0, 6), "one": (1, 1)}
KINDS = [kind for kind in ACTIVATIONS if kind != "softmax"]
FUSED = [kind for kind in KINDS if f"{kind}_bias_gradient" in Raw.known]
ALPHA = 0.3
OF_IMAGES = ("global_average_forward", "global_average_backward", "upsample_backward")  # in another module
THREADS = ({"threads": False}, {}, {"backwards": True})
OPTIMIZERS: dict[str, tuple[str, tuple[float, ...], dict[str, Any], tuple[str, ...]]] = {
    # kernel: (operation, numbers of the kernel after rate, shrink and l2, of the operation, more buffers)
    "sgd": ("sgd_step", (), {"velocity": None}, ()),
    "sgd_momentum": ("sgd_step", (0.9, True), {"momentum": 0.9, "nesterov": True}, ("velocity",)),
    "adam": ("adam_step", (1 - 0.9, 1 - 0.999, 1e-7), {"step": 3}, ("m", "v")),
    "rmsprop": ("rmsprop_step", (1 - 0.9, 1e-7), {"velocity": None}, ("v",)),
    "rmsprop_momentum": ("rmsprop_step", (1 - 0.9, 1e-7, 0.8), {"momentum": 0.8}, ("v", "velocity")),
    "adagrad": ("adagrad_step", (1e-7,), {}, ("accumulator",)),
}


@pytest.fixture(params=["float32", "float64"])
def number(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, in memory as the layout says."""
    if layout == "strided":
        wide = np.full((x.shape[0], 2 * x.shape[1]), 7.0, x.dtype)
        wide[:, ::2] = x
        return wide[:, ::2]
    if layout == "reversed":  # columns first, the last row first
        return np.asfortranarray(x[::-1])[::-1]
    if layout == "broadcast":
        return np.broadcast_to(x[:1], x.shape)
    return np.ascontiguousarray(x)


def same(actual: np.ndarray, expected: np.ndarray, number: np.dtype) -> None:
    """Both in one type: NaN where NaN is, the same infinities, the rest within rounding."""
    np.testing.assert_allclose(actual, expected, rtol=64 * np.finfo(number).eps, atol=0.0, equal_nan=True)


def drawn(rng: np.random.Generator, layout: str, number: np.dtype, count: int) -> list[np.ndarray]:
    shape = SHAPES.get(layout, (5, 7))
    return [laid(rng.normal(size=shape).astype(number), layout) for _ in range(count)]


def special(number: np.dtype, rng: np.random.Generator) -> list[np.ndarray]:
    """x and dy, in which each special number of one meets each of the other."""
    values = np.array([*SPECIAL, *rng.normal(size=2)]).astype(number)
    x, dy = np.meshgrid(values, values)
    return [np.ascontiguousarray(x), np.ascontiguousarray(dy)]


# ------------------------------------------------------------------ activations


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_activations(kind: str, layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    x, dy = drawn(rng, layout, number, 2)
    wide = x.astype(float)
    y = PLAIN.activation_forward(kind, wide, room(*x.shape), ALPHA)
    dx = PLAIN.activation_backward(kind, dy.astype(float), wide, y, room(*x.shape), ALPHA)
    for target in ("contiguous", "strided"):
        out = laid(np.full(x.shape, np.nan, number), target)
        compile(f"{kind}_forward", number.name)(x, ALPHA, out)
        close(out, y, number)
        compile(f"{kind}_backward", number.name)(dy, x, laid(y.astype(number), layout), ALPHA, out)
        close(out, dx, number)
    b = rng.normal(size=x.shape[1]).astype(number)
    spread = PLAIN.activation_forward(kind, wide + b, room(*x.shape), ALPHA)
    out = np.full(x.shape, np.nan, number)
    compile(f"{kind}_bias", number.name)(x, b, ALPHA, out)
    close(out, spread, number)
    if layout != "broadcast":  # in place
        compile(f"{kind}_bias", number.name)(x, b, ALPHA, x)
        close(x, spread, number)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_of_what_is_not_finite(kind: str, number: np.dtype, rng: np.random.Generator) -> None:
    x, dy = special(number, rng)
    y, dx = np.empty_like(x), np.empty_like(x)
    with np.errstate(all="ignore"):
        expected = PLAIN.activation_forward(kind, x, np.empty_like(x), ALPHA)
        back = PLAIN.activation_backward(kind, dy, x, expected, np.empty_like(x), ALPHA)
    compile(f"{kind}_forward", number.name)(x, ALPHA, y)
    compile(f"{kind}_backward", number.name)(dy, x, expected, ALPHA, dx)
    same(y, expected, number)
    same(dx, back, number)


# ------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("kernel", OPTIMIZERS)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "empty", "one", "special", "fault"])
def test_optimizers(kernel: str, layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    operation, numbers, options, names = OPTIMIZERS[kernel]
    values, gradients, *more = drawn(rng, layout, number, 2 + len(names))
    more = [laid(np.abs(one), layout) for one in more]
    if layout == "special":
        gradients.ravel()[: len(SPECIAL)] = SPECIAL
    fault = np.array([7 if layout == "fault" else 0])
    kind = number if layout == "special" else np.dtype(float)
    buffers = {"values": values, **dict(zip(names, more, strict=True))}
    plain = {name: one.astype(kind) for name, one in buffers.items()}
    rate, shrink = 0.01, 1 - 0.01 * 0.1
    with np.errstate(all="ignore"):
        getattr(PLAIN, operation)(
            gradients=gradients.astype(kind), fault=fault, learning_rate=rate, weight_decay=0.1, l2=0.02,
            **plain, **options,
        )  # fmt: skip
    if kernel == "adam":
        rate *= (1 - 0.999**3) ** 0.5 / (1 - 0.9**3)
    kept = values.copy()
    compile(kernel, number.name)(gradients, fault, rate, shrink, 0.02, *numbers, values, *more)
    for name, one in buffers.items():
        if layout == "special":
            np.testing.assert_allclose(one, plain[name], rtol=1e-4 if number.itemsize == 4 else 1e-12)
        else:
            close(one, plain[name], number, 4)
    if layout == "fault":
        np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout_drops_the_same_elements(layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    (x,) = drawn(rng, layout, number, 1)
    key, row = 0x123456789ABCDEF0, 3
    expected = PLAIN.dropout(x, np.empty(x.shape, number), 0.4, key, row)
    y = np.full(x.shape, np.nan, number)
    compile("dropout", number.name)(
        x, x.shape[1], x.shape[1], row, key & 0xFFFFFFFF, key >> 32, int(0.4 * 2**32), 1.0 / (1.0 - 0.4), y
    )
    np.testing.assert_array_equal(y == 0, expected == 0)
    close(y, expected, number)
    if layout == "contiguous":  # whole channels, at five positions
        wide = np.repeat(x[:, None], 5, axis=1)
        many = np.full(wide.shape, np.nan, number)
        compile("dropout", number.name)(
            wide, wide[0].size, x.shape[1], row, key & 0xFFFFFFFF, key >> 32, int(0.4 * 2**32),
            1.0 / (1.0 - 0.4), many,
        )  # fmt: skip
        np.testing.assert_array_equal(many, np.repeat(y[:, None], 5, axis=1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_become_numbers_as_they_are_gathered(
    layout: str, number: np.dtype, rng: np.random.Generator
) -> None:
    source = rng.integers(0, 256, (9, 6), dtype=np.uint8)
    order = {"empty": np.arange(0), "one": np.array([8])}.get(layout, rng.permutation(9)[:5])
    x = laid(np.full((len(order), 6), np.nan, number), "strided" if layout == "broadcast" else layout)
    compile("gather_bytes", number.name)(source, order[:, None], 6, 255.0, x)
    close(x, PLAIN.gather(source, order, room(len(order), 6), 255.0), number)


@pytest.mark.parametrize("wrong", [None, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["gradient", "value"])
def test_a_fault_is_raised_once(wrong: float | None, place: str, number: np.dtype) -> None:
    gradients, value = np.ones(5, number), np.ones(1, number)
    if wrong is not None:
        (gradients if place == "gradient" else value)[-1] = wrong
    for before in (0, 2):
        fault, plain = np.array([before]), np.array([before])
        compile("flag_nonfinite", number.name)(gradients, value, 9, fault)
        PLAIN.flag_nonfinite(value, gradients, plain, 9)
        np.testing.assert_array_equal(fault, plain)


# ------------------------------------------------------------- rows and columns


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (70, 5)])
def test_softmax(
    shape: tuple[int, int], how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    x, dy = rng.normal(size=(2, *shape)).astype(number)
    y, dx = np.full(shape, np.nan, number), np.full(shape, np.nan, number)
    expected = PLAIN.activation_forward("softmax", x.astype(float), room(*shape))
    compile("softmax", number.name)((2,), (32,), (x, y, *shape), **how)
    close(y, expected, number, shape[1])
    back = PLAIN.activation_backward("softmax", dy.astype(float), None, y.astype(float), room(*shape))
    compile("softmax_backward", number.name)((2,), (32,), (dy, y, dx, *shape), **how)
    close(dx, back, number, shape[1])


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind: str, how: dict[str, Any], number: np.dtype, rng: np.random.Generator) -> None:
    rows, columns, scale, constant = 6, 37, 0.25, 1.0 if kind == "huber" else 1e-7
    target = rng.uniform(size=(rows, columns)).astype(number)
    raw = kind.endswith("from_logits") or not kind.endswith("cross_entropy")
    drawn = rng.normal(size=target.shape) * 2 if raw else rng.uniform(0.01, 0.99, target.shape)
    prediction = drawn.astype(number)
    value, gradient = room(1), room(rows, columns)
    PLAIN.loss(kind, target.astype(float), prediction.astype(float), value, gradient, scale, constant)
    row_losses, dy, total = np.empty(rows, number), np.empty_like(target), np.full(1, np.nan, number)
    numbers = (number.type(constant), number.type(scale / rows))
    compile(f"{kind}_loss", number.name)(
        (4,), (64,), (target, prediction, row_losses, dy, rows, columns, *numbers, 1), **how
    )
    compile("sum_loss", number.name)((1,), (64,), (row_losses, total, rows, numbers[1]), **how)
    close(dy, gradient, number, 16)
    close(total, value, number, rows * columns)
    untouched = dy.copy()
    compile(f"{kind}_loss", number.name)(
        (4,), (64,), (target, prediction, row_losses, untouched, rows, columns, *numbers, 0), **how
    )
    np.testing.assert_array_equal(untouched, dy)  # no gradient was wanted


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_stays_visible(kind: str, wrong: float, number: np.dtype) -> None:
    """In its row's loss or gradient, as far as in the plain form; other rows are untouched."""
    target, prediction = np.full((3, 4), 0.25, number), np.full((3, 4), 0.5, number)
    prediction[1, 2] = wrong
    with np.errstate(all="ignore"):
        expected, gradient = LOSSES[kind].plain(PLAIN, target, prediction, 1e-7)
    row_losses, dy = np.empty(3, number), np.empty_like(target)
    numbers = (number.type(1e-7), number.type(1.0))
    compile(f"{kind}_loss", number.name)((3,), (32,), (target, prediction, row_losses, dy, 3, 4, *numbers, 1))
    np.testing.assert_allclose(row_losses, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dy, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 3), (5, 70)])
@pytest.mark.parametrize("kind", FUSED)
def test_bias_gradients(
    kind: str, shape: tuple[int, int], how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    dy, x = rng.normal(size=(2, *shape)).astype(number)
    y = PLAIN.activation_forward(kind, x, np.empty_like(x), ALPHA)
    wide = [one.astype(float) for one in (dy, y)]
    dz = PLAIN.activation_backward(kind, wide[0], None, wide[1], room(*shape), ALPHA)
    into, db = np.full(shape, np.nan, number), np.full(shape[1], np.nan, number)
    arguments = (dy, y, into, db, *shape, number.type(ALPHA))
    compile(f"{kind}_bias_gradient", number.name)((2,), (4, 8), arguments, **how)
    close(db, dz.sum(axis=0), number, shape[0])
    if kind != "identity":
        close(into, dz, number)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("positions", [1, 2, 31, 64, 150])
@pytest.mark.parametrize("vocabulary", [1, 20, 10**6])
def test_sums_by_row(
    vocabulary: int, positions: int, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    x, dy = rng.integers(0, vocabulary, positions), rng.normal(size=(positions, 3)).astype(number)
    expected_rows, expected = np.empty_like(x), room(positions, 3)
    PLAIN.embedding_backward(dy.astype(float), x, expected_rows, expected)
    bits, width = position_bits(positions), 16
    keys, merged = np.full((2, positions), -7)
    compile("sort_tiles", number.name)((2,), (32,), (x, keys, positions, bits, width), **how)
    while width < positions:
        compile("merge_tiles", number.name)((2,), (32,), (keys, merged, positions, width), **how)
        keys, merged, width = merged, keys, 2 * width
    np.testing.assert_array_equal(keys, np.sort(x << bits | np.arange(positions)))
    rows, sums = np.full_like(x, -7), np.full(dy.shape, np.nan, number)
    compile("sum_runs", number.name)((3,), (2, 8), (dy, keys, rows, sums, positions, 3, bits), **how)
    np.testing.assert_array_equal(rows, expected_rows)
    close(sums, expected, number, positions)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
def test_rows_are_taken_put_and_cleared(
    how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    table, rows = rng.normal(size=(9, 5)).astype(number), np.array([8, -1, 0, 3])
    x = np.full((4, 5), np.nan, number)
    compile("take_rows", number.name)(table, rows, 5, x)
    np.testing.assert_array_equal(x, PLAIN.take_rows(table, rows, np.empty_like(x)))
    for values in (x + 1, None):
        expected = PLAIN.put_rows(table.copy(), rows, values)
        given = table if values is None else values
        compile("put_rows", number.name)(
            (2,), (4,), (table, rows, given, 4, 5, int(values is not None)), **how
        )
        np.testing.assert_array_equal(table, expected)


CONVOLUTIONS = {"to_columns", "from_columns", "convolve_channels", "convolve_channels_back"}


def test_every_kernel_was_computed() -> None:
    """Here, or in another module of this folder that ends in _kernels."""
    elementwise = {f"{kind}_{what}" for kind in KINDS for what in ("forward", "backward", "bias")}
    others = {*OPTIMIZERS, *CONVOLUTIONS, "dropout", "flag_nonfinite", "gather_bytes", "take_rows"}
    images = {name for name in Elementwise.known if "pool" in name or name in OF_IMAGES}
    assert elementwise | others | images == set(Elementwise.known)
    fused = {f"{kind}_bias_gradient" for kind in FUSED}
    losses = {f"{kind}_loss" for kind in LOSSES}
    embedding = {"sort_tiles", "merge_tiles", "sum_runs", "put_rows"}
    others = {"softmax", "softmax_backward", "sum_loss", "convolve_channels_weights"}
    assert fused | losses | embedding | others == set(Raw.known)
