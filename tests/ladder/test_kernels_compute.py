"""Every kernel's source, compiled by g++, computes the same as the plain backend.

The plain forms of `nnx.ops` compute in float64 on the same numbers where they are finite, and in
the kernel's own type where they are not, because the type decides what overflows or becomes NaN.
Raw kernels run thread by thread, from the first thread and from the last, and on one thread.
"""

from __future__ import annotations

import math
import shutil
from typing import Any

import numpy as np
import pytest
from support.contract import close, room
from support.ladder.host_kernels import compile
from support.losses import OF_LABELS, constants, loss_data

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.losses import LOSSES

pytest.importorskip("cupy", reason="needs CuPy's real wheel: nox -s ladder")
import nnx.ops.convolution_cuda  # noqa: F401 - `nnx.backends` does not import its kernels
from nnx.ops.cuda import Elementwise, Raw
from nnx.ops.curvature import DERIVATIVES
from nnx.ops.embedding import position_bits
from nnx.ops.gradients import BLOCKS
from nnx.ops.sparsity import ROUNDING

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
    "sgd_momentum": ("sgd_step", (0.9, 1), {"momentum": 0.9, "nesterov": True}, ("velocity",)),
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


def at_address(x: Any, aligned: bool) -> Any:
    """A copy that begins at a multiple of 16 bytes, or not."""
    room = np.empty(x.size + 16, x.dtype)
    start = -room.ctypes.data % 16 // x.itemsize + (not aligned)
    copy = room[start : start + x.size].reshape(x.shape)
    copy[...] = x
    return copy


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


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 68), (4, 66)])
@pytest.mark.parametrize("unaligned", ["none", "x", "b"])
@pytest.mark.parametrize("kind", KINDS)
def test_bias_and_activation(
    kind: str, unaligned: str, shape: tuple[int, int], how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    x = at_address(rng.normal(size=shape).astype(number), unaligned != "x")
    b = at_address(rng.normal(size=shape[1]).astype(number), unaligned != "b")
    y, alpha = at_address(np.full(shape, np.nan, number), True), number.type(ALPHA)
    expected = PLAIN.activation_forward(kind, x.astype(float) + b, room(*shape), ALPHA)
    compile(f"{kind}_bias", number.name)((2,), (32,), (x, b, y, *shape, alpha), **how)
    close(y, expected, number)
    compile(f"{kind}_bias", number.name)((2,), (32,), (x, b, x, *shape, alpha), **how)
    np.testing.assert_array_equal(x, y)  # in place


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


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("kernel", OPTIMIZERS)
@pytest.mark.parametrize("case", ["aligned", "one", "special", "fault", *range(5)])
def test_optimizers(
    kernel: str, case: str | int, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    """A number is the buffer that is not aligned: then all are read one by one. 301 numbers have a tail."""
    operation, numbers, options, names = OPTIMIZERS[kernel]
    values, gradients, *more = rng.normal(size=(2 + len(names), 1 if case == "one" else 301)).astype(number)
    if case == "special":
        gradients[: len(SPECIAL)] = SPECIAL
    several = [gradients, values, *map(np.abs, more)]
    gradients, values, *more = (at_address(one, case != place) for place, one in enumerate(several))
    fault = np.array([7 if case == "fault" else 0])
    kind = number if case == "special" else np.dtype(float)
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
    of_steps = np.array([9.0, 9.0, 9.0, rate, shrink, 9.0], number)  # of two steps with one more number
    place = of_steps, np.array([0, 1]), 3, 0
    given = (number.type(one) if isinstance(one, float) else one for one in (0.02, *numbers))
    arguments = (gradients, values, *more, values.size, fault, *place, *given)
    compile(kernel, number.name)((2,), (32,), arguments, **how)
    for name, one in buffers.items():
        if case == "special":
            np.testing.assert_allclose(one, plain[name], rtol=1e-4 if number.itemsize == 4 else 1e-12)
        else:
            close(one, plain[name], number, 4)
    if case == "fault":
        np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout_drops_the_same_elements(layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    (x,) = drawn(rng, layout, number, 1)
    key, row = 0x123456789ABCDEF0, 3
    expected = PLAIN.dropout(x, np.empty(x.shape, number), 0.4, key, row)
    y = np.full(x.shape, np.nan, number)
    keys = np.array([1, 2, 3, key & 0xFFFFFFFF, key >> 32], np.uint32)
    place = keys, np.array([7, 1]), 2, 1
    scale, whole = 1.0 / (1.0 - 0.4), x.shape[1]
    compile("dropout", number.name)(x, whole, whole, row, *place, int(0.4 * 2**32), scale, y)
    np.testing.assert_array_equal(y == 0, expected == 0)
    close(y, expected, number)
    if layout == "contiguous":  # whole channels, at five positions
        wide = np.repeat(x[:, None], 5, axis=1)
        many = np.full(wide.shape, np.nan, number)
        compile("dropout", number.name)(
            wide, 5 * whole, whole, row, *place, int(0.4 * 2**32), scale, many
        )  # fmt: skip
        np.testing.assert_array_equal(many, np.repeat(y[:, None], 5, axis=1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_noise_is_that_of_the_plain_form(layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    (x,) = drawn(rng, layout, number, 1)
    key, row = 0x123456789ABCDEF0, 3
    expected = PLAIN.add_noise(x, np.empty(x.shape, number), 0.5, key, row)
    y = np.full(x.shape, np.nan, number)
    keys = np.array([1, 2, 3, key & 0xFFFFFFFF, key >> 32], np.uint32)
    place = keys, np.array([7, 1]), 2, 1
    compile("add_noise", number.name)(x, x.shape[1], x.shape[1], row, *place, 0.5, y)
    # an error of the angle is multiplied by a radius below 7
    np.testing.assert_allclose(y, expected, rtol=8 * np.finfo(number).eps, atol=32 * np.finfo(number).eps)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_are_rounded_to_bfloat16(layout: str, rng: np.random.Generator) -> None:
    """As the plain form rounds, also what is not finite, and half way; the bits are those of the number."""
    x = laid(rng.normal(size=SHAPES.get(layout, (5, 7))).astype("f4"), layout)
    if layout == "contiguous":
        upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
        x = (upper | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)).view("f4")
    with np.errstate(invalid="ignore"):
        expected = PLAIN.round_to_bfloat16(x, np.empty(x.shape, "f4"))
    found, bits = np.empty(x.shape, "f4"), np.empty(x.shape, "u2")
    compile("round_to_bfloat16", "float32")(x, found)
    compile("upper_half", "float32")(x, bits)
    kinds = [bits]
    if layout == "contiguous":
        for aligned in (True, False):
            one = at_address(x, aligned)
            kinds.append(at_address(np.zeros(x.shape, "u2"), aligned))
            nothing = one[:0], kinds[-1][:0]
            compile("upper_halves", "float32")((8,), (32,), (one, kinds[-1], *nothing, x.size, 0))
    for one in (found, *((kind.astype("u4") << 16).view("f4") for kind in kinds)):
        np.testing.assert_array_equal(one, expected)
        np.testing.assert_array_equal(np.signbit(one)[~np.isnan(x)], np.signbit(expected)[~np.isnan(x)])


@pytest.mark.parametrize("sizes", [(6, 4), (6, 300), (1, 5), (5, 0), (260, 3)])
def test_two_arrays_are_rounded_together(sizes: tuple[int, int], rng: np.random.Generator) -> None:
    x, others = (rng.normal(size=size).astype("f4") for size in sizes)
    found = [np.zeros(size, "u2") for size in sizes]
    arrays = (x, found[0], others, found[1])
    compile("upper_halves", "float32")((2,), (32,), (*arrays, len(x), len(others)))
    for one, bits in zip((x, others), found, strict=True):
        np.testing.assert_array_equal(bits, upper_half(one))


def upper_half(x: np.ndarray) -> np.ndarray:
    """The bits of r(x), by the plain form."""
    with np.errstate(invalid="ignore"):
        rounded = PLAIN.round_to_bfloat16(x, np.empty_like(x)).view("u4")
    return (np.where(np.isnan(x), rounded | 0x400000, rounded) >> 16).astype("u2")  # a NaN becomes quiet


@pytest.mark.parametrize("special_numbers", [False, True])
@pytest.mark.parametrize("unaligned", ["none", "product", "bits"])
@pytest.mark.parametrize("kind", FUSED)
def test_an_output_and_its_rounded_form(
    kind: str, unaligned: str, special_numbers: bool, rng: np.random.Generator
) -> None:
    """y has the bits of the kernel that only writes y."""
    x = special(np.dtype("f4"), rng)[0] if special_numbers else rng.normal(size=(5, 7)).astype("f4")
    x = at_address(x, unaligned != "product")
    b = rng.normal(size=x.shape[1]).astype("f4")
    y, expected = (at_address(np.empty_like(x), True) for _ in range(2))
    bits, numbers = at_address(np.empty(x.shape, "u2"), unaligned != "bits"), (*x.shape, np.float32(ALPHA))
    compile(f"{kind}_bias", "float32")((2,), (32,), (x, b, expected, *numbers))
    for product, into in ((x, y), (x, x)):  # the second is in place
        compile(f"rounded_{kind}_bias", "float32")((2,), (32,), (product, b, into, bits, *numbers))
        np.testing.assert_array_equal(into.view("u4"), expected.view("u4"))
        np.testing.assert_array_equal(bits, upper_half(expected))


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("kernel", ["gather_rows", "gather_bytes"])
@pytest.mark.parametrize("columns", [1, 6, 68, 103])
@pytest.mark.parametrize("unaligned", ["none", "source", "x"])
def test_rows_of_the_next_step_are_gathered(
    kernel: str, columns: int, unaligned: str, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    """Rows of a multiple of four numbers are read four at a time, if both arrays are aligned."""
    kind = np.dtype(np.uint8) if kernel == "gather_bytes" else number
    source = at_address(rng.integers(0, 256, (9, columns)).astype(kind), unaligned != "source")
    order, counter = rng.permutation(9), np.array([1, 0])
    rows = order[5:8]  # of step 1, which begins at 4, the second and more
    x = at_address(np.full((len(rows), columns), np.nan, number), unaligned != "x")
    arguments = (source, order, counter, x, *x.shape, 4, 1, number.type(255.0))
    compile(kernel, number.name)((2,), (32,), arguments, **how)
    np.testing.assert_array_equal(x, PLAIN.gather(source, rows, np.empty_like(x), 255.0))
    np.testing.assert_array_equal(counter, [1, 1])


@pytest.mark.parametrize("kind", ["int64", "uint8"])
def test_labels_of_the_next_step_are_gathered(kind: str, rng: np.random.Generator) -> None:
    source, order, counter = rng.integers(0, 10, (9, 2)).astype(kind), rng.permutation(9), np.array([1, 0])
    x = np.full((3, 2), 99, kind)
    compile("gather_labels", kind)(source, order, 4, 1, 2, x, counter)
    np.testing.assert_array_equal(x, source[order[5:8]])
    np.testing.assert_array_equal(counter, [1, 1])


def test_small_kernels_of_a_step(number: np.dtype) -> None:
    counter = np.array([3, 0])
    compile("begin_step", number.name)(counter[:1], counter[1:])
    np.testing.assert_array_equal(counter, [3, 3])
    first, second = np.zeros((2, 1), number)
    compile("write_numbers", number.name)(0.25, 4.0, first, second, counter)
    assert (first[0], second[0], counter[1]) == (0.25, 4.0, 0)
    fault = np.array([5])
    compile("clear", number.name)(0, fault)
    assert fault[0] == 0


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("wrong", [None, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["value", 0, 127, 260])
@pytest.mark.parametrize("before", [0, 2])
def test_a_step_is_recorded(
    wrong: float | None, place: str | int, before: int, aligned: bool, how: dict[str, Any], number: np.dtype
) -> None:
    gradients, value = at_address(np.ones(261, number), aligned), np.full(1, 0.5, number)
    if wrong is not None and place == "value":
        value[0] = wrong
    elif wrong is not None:
        gradients[place] = wrong
    found, plain = (
        {"losses": np.zeros(4, number), "fault": np.array([before]), "counter": np.array([1, 1])}
        for _ in range(2)
    )
    arguments = (gradients, gradients.size, value, found["losses"], found["fault"], found["counter"])
    compile("record_step", number.name)((2,), (32,), arguments, **how)
    PLAIN.record_step(value, gradients=gradients, **plain)
    for name, expected in plain.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_the_terms_of_a_step_are_recorded(number: np.dtype) -> None:
    terms, values, counter = np.array([0.5, 0.25], number), np.zeros((4, 2), number), np.array([3, 2])
    compile("record_terms", number.name)(terms, 2, counter, values)
    np.testing.assert_array_equal(values, [[0.0, 0.0], [0.0, 0.0], terms, [0.0, 0.0]])


@pytest.mark.parametrize("fault", [0, 3])
def test_a_step_is_left_out(fault: int, number: np.dtype) -> None:
    kept = np.arange(5).astype(number)
    found, plain = (
        {"state": np.ones(5, number), "losses": np.ones(4, number), "fault": np.array([fault])}
        for _ in range(2)
    )
    counter = np.array([3, 2])
    compile("leave_out", number.name)(kept, np.nan, found["fault"], counter, found["state"], found["losses"])
    PLAIN.leave_out(kept=kept, counter=counter, **plain)
    for name in ("state", "losses"):
        np.testing.assert_array_equal(found[name], plain[name], err_msg=name)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("wrong", [None, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["gradient", "value"])
def test_a_fault_is_raised_once(wrong: float | None, place: str, aligned: bool, number: np.dtype) -> None:
    gradients, value = at_address(np.ones(261, number), aligned), np.ones(1, number)
    if wrong is not None:
        (gradients if place == "gradient" else value)[-1] = wrong
    for before in (0, 2):
        fault, plain = np.array([before]), np.array([before])
        compile("flag_nonfinite", number.name)((2,), (32,), (gradients, gradients.size, value, fault, 9))
        PLAIN.flag_nonfinite(value, gradients, plain, 9)
        np.testing.assert_array_equal(fault, plain)


# ------------------------------------------------------------- rows and columns


def sum_over_rows(
    name: str, arrays: tuple[Any, ...], shape: tuple[int, ...], *more: Any, blocks: int | tuple[int, int],
    how: dict[str, Any],
) -> None:  # fmt: skip
    """A kernel with `COLUMNS`; so many blocks share the rows, and the last one adds what they found."""
    number, grid = arrays[0].dtype, (20, *np.atleast_1d(blocks))
    parts, done = np.full(math.prod(grid[1:]) * 2 * shape[1], np.nan, number), np.zeros(1200, np.uint32)
    compile(name, number.name)(grid, (4, 8), (*arrays, parts, done, *shape, *more), **how)
    np.testing.assert_array_equal(done, 0)  # for the next launch


TALL = [(1, 1), (37, 3), (300, 5), (5, 70), (41, 36)]


def test_no_bit_depends_on_whether_arrays_are_aligned(number: np.dtype, rng: np.random.Generator) -> None:
    """For sums over rows, sums of rows and elements."""
    given, bits = rng.normal(size=(4, 41, 36)).astype(number), []
    for aligned in (True, False):
        dy, y, m, v = (at_address(one, aligned) for one in given)
        db = at_address(np.zeros(36, number), aligned)
        sum_over_rows("tanh_bias_gradient", (dy, y, dy, db), dy.shape, number.type(0), blocks=3, how={})
        parts, total, done = np.zeros(8, number), np.zeros(1, number), np.zeros(1, np.uint32)
        loss = (*dy.shape, number.type(0), number.type(1 / 41), 0, 1)
        compile("squared_error_loss", number.name)(
            (4,), (32,), (y, dy, parts, parts, dy, total, parts, done, *loss)
        )
        step = (np.zeros(1, np.int64), np.array([0.1, 0.9], number), np.zeros(2, np.int64), 0, 0)
        numbers = (number.type(one) for one in (0.02, 0.1, 0.001, 1e-7))
        np.abs(v, out=v)
        compile("adam", number.name)((2,), (32,), (dy, y, m, v, dy.size, *step, *numbers))
        bits.append([one.tobytes() for one in (dy, y, m, v, db, total)])
    assert bits[0] == bits[1]


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (70, 5), (2, 300), (2, 257)])
@pytest.mark.parametrize("aligned", [True, False])
def test_softmax(
    shape: tuple[int, int], aligned: bool, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    """Rows of one part of 4 · 32 numbers, and of several."""
    x, dy, y, dx = (at_address(rng.normal(size=shape).astype(number), aligned) for _ in range(4))
    expected = PLAIN.activation_forward("softmax", x.astype(float), room(*shape))
    compile("softmax", number.name)((2,), (32,), (x, y, *shape), **how)
    close(y, expected, number, shape[1])
    back = PLAIN.activation_backward("softmax", dy.astype(float), None, y.astype(float), room(*shape))
    compile("softmax_backward", number.name)((2,), (32,), (dy, y, dx, *shape), **how)
    close(dx, back, number, shape[1])


@pytest.mark.parametrize("columns", [300, 301])
@pytest.mark.parametrize("unaligned", ["none", "target", "prediction"])
@pytest.mark.parametrize("kind", [kind for kind in LOSSES if not LOSSES[kind].one_target])
def test_a_row_of_several_parts_has_its_loss_and_gradient(
    kind: str, columns: int, unaligned: str, number: np.dtype, rng: np.random.Generator
) -> None:
    """Three parts of 4 · 32 numbers; the gradient may replace the prediction."""
    rows, constant = 3, constants(kind, columns)
    target, prediction = (
        at_address(one.astype(number), unaligned != name)
        for name, one in zip(("target", "prediction"), loss_data(kind, rng, rows, columns), strict=True)
    )
    value, gradient = room(1), room(rows, columns)
    PLAIN.loss(kind, target.astype(float), prediction.astype(float), value, gradient, 1.0, constant)
    parts, total, done = *np.empty((2, 2), number), np.zeros(1, np.uint32)
    several = np.atleast_1d(constant).astype(number)
    arrays = (target, prediction, several, several, prediction, total, parts, done)
    numbers = (rows, columns, several[0], number.type(1 / rows), 0, 1)
    compile(f"{kind}_loss", number.name)((2,), (32,), (*arrays, *numbers))
    close(prediction, gradient, number, columns)
    close(total[:1], value, number, rows * columns)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind: str, how: dict[str, Any], number: np.dtype, rng: np.random.Generator) -> None:
    rows, scale, constant = 6, 0.25, constants(kind, 37)
    target, prediction = (one.astype(number) for one in loss_data(kind, rng, rows, 37))
    columns = prediction.shape[1]
    value, gradient = room(1), room(rows, columns)
    PLAIN.loss(kind, target.astype(float), prediction.astype(float), value, gradient, scale, constant)
    parts, dy, total = np.empty(4, number), np.empty_like(prediction), np.full(1, np.nan, number)
    several, done = np.atleast_1d(constant).astype(number), np.zeros(1, np.uint32)
    numbers = (rows, columns, several[0], number.type(scale / rows), 0)
    arrays = (target, prediction, several, several, dy, total, parts, done)
    compile(f"{kind}_loss", number.name)((4,), (64,), (*arrays, *numbers, 1), **how)
    close(dy, gradient, number, 16)
    close(total, value, number, rows * columns)
    assert done[0] == 0  # for the next launch
    untouched = dy.copy()
    compile(f"{kind}_loss", number.name)((4,), (64,), (*arrays, *numbers, 0), **how)
    np.testing.assert_array_equal(untouched, dy)  # no gradient was wanted


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("weights", ["some", "none", "large"])
@pytest.mark.parametrize("kind", OF_LABELS)
def test_losses_with_labels_and_weights(
    kind: str, labels: bool, weights: str, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    rows, columns, scale = 6, 5, 0.25
    target = (
        rng.integers(0, columns, rows) if labels else rng.dirichlet(np.ones(columns), rows).astype(number)
    )
    prediction = rng.uniform(0.01, 0.99, (rows, columns)).astype(number)
    given = {"some": rng.uniform(0, 2, rows), "none": np.zeros(rows), "large": np.full(rows, 2e38)}[weights]
    given = given.astype(number)
    value, gradient = room(1), room(rows, columns)
    wide = [x.astype(float) for x in (prediction, given)]
    y, constant = target if labels else target.astype(float), constants(kind)
    PLAIN.loss(kind, y, wide[0], value, gradient, scale, constant, wide[1])
    factors, parts, dy = np.empty(rows, number), np.empty(4, number), np.empty_like(prediction)
    total, done, same_factor = np.empty(1, number), np.zeros(1, np.uint32), number.type(9.0)
    compile("row_factors", number.name)((1,), (32,), (given, factors, rows, number.type(scale)), **how)
    name = f"{kind}_labels" if labels else f"{kind}_loss"
    several = np.atleast_1d(constant).astype(number)
    arrays = (target, prediction, factors, several, dy, total, parts, done)
    numbers = (rows, columns, several[0], same_factor, 1, 1)
    compile(name, number.name)((4,), (32,), (*arrays, *numbers), **how)
    close(dy, gradient, number, 16)
    close(total, value, number, rows * columns)


@pytest.mark.parametrize("unaligned", ["none", "values", "average"])
def test_the_average_of_parameters(unaligned: str, number: np.dtype, rng: np.random.Generator) -> None:
    values, average = (
        at_address(rng.normal(size=701).astype(number), unaligned != name) for name in ("values", "average")
    )
    expected = PLAIN.average_step(average.astype(float), values.astype(float), 0.01)
    compile("average", number.name)((2,), (32,), (values, average, values.size, number.type(0.01)))
    close(average, expected, number)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("columns", [37, 140])
@pytest.mark.parametrize("aligned", [True, False])
def test_smoothed_targets(
    labels: bool, columns: int, aligned: bool, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    labeled, like = rng.integers(0, columns, 6), np.zeros((6, columns), number)
    target = labeled if labels else at_address(np.eye(columns, dtype=number)[labeled], aligned)
    smoothed = at_address(np.full_like(like, np.nan), aligned)
    name, share = "smooth_labels" if labels else "smooth_targets", 0.1 / columns
    numbers = (number.type(0.9), number.type(share))
    compile(name, number.name)((4,), (32,), (target, smoothed, 6, columns, *numbers), **how)
    close(smoothed, PLAIN.smooth_targets(labeled, like.astype(float), 0.9, share), number)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("limit", [0.5, 1e3])
@pytest.mark.parametrize("aligned", [True, False])
def test_clipping(
    limit: float, aligned: bool, how: dict[str, Any], number: np.dtype, rng: np.random.Generator
) -> None:
    gradients = [at_address(rng.normal(size=size).astype(number), aligned) for size in (703, 5)]
    expected = [g.astype(float) for g in gradients]
    PLAIN.clip_by_norm(expected, limit)
    count, bound = 2 * BLOCKS, number.type(limit)
    tops, sums = np.full((2, count), np.nan, number)
    grid, block = (BLOCKS,), (32,)
    for place, g in enumerate(gradients):
        compile("greatest", number.name)(grid, block, (g, tops, g.size, bound, place * BLOCKS), **how)
    for place, g in enumerate(gradients):
        compile("squares", number.name)(grid, block, (g, tops, sums, g.size, count, place * BLOCKS), **how)
    for g, clipped in zip(gradients, expected, strict=True):
        compile("scale", number.name)(grid, block, (g, tops, sums, g.size, count, bound), **how)
        close(g, clipped, number, 700)
    compile("clip", number.name)(gradients[0], 0.01, gradients[0])
    close(gradients[0], PLAIN.clip_by_value(expected[0], 0.01), number, 700)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", TALL)
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_trained_slopes(
    shape: tuple[int, int], blocks: int, aligned: bool, how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    x, dy = (at_address(one, aligned) for one in rng.normal(size=(2, *shape)).astype(number))
    alpha, dalpha = rng.normal(size=shape[1]).astype(number), np.full(shape[1], np.nan, number)
    wide = dy.astype(float), x.astype(float), alpha.astype(float)
    slopes, dx = room(shape[1]), room(*shape)
    PLAIN.prelu_backward(*wide, slopes, dx)
    out = np.full(shape, np.nan, number)
    compile("prelu", number.name)(x, alpha, out)
    close(out, PLAIN.prelu_forward(wide[1], wide[2], room(*shape)), number)
    compile("prelu_backward", number.name)(dy, x, alpha, out)
    close(out, dx, number)
    sum_over_rows("prelu_slopes", (dy, x, dalpha), shape, blocks=blocks, how=how)
    close(dalpha, slopes, number, shape[0])


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 5), (3, 37, 70), (3, 37, 36), (50, 6, 1)])
@pytest.mark.parametrize("aligned", [True, False])
def test_sums_along_an_axis(
    shape: tuple[int, int, int], aligned: bool, how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    x = at_address(rng.normal(size=shape).astype(number), aligned)
    for blocks in ((1, 2), (3, shape[0])):  # that share the rows of a group, and for the groups
        out = np.full(shape[::2], np.nan, number)
        sum_over_rows("axis_sums", (x, out), shape[1:], shape[0], blocks=blocks, how=how)
        close(out, x.astype(float).sum(axis=1), number, shape[1])


def test_divergences_from_a_target(number: np.dtype) -> None:
    means = np.array([[-0.1, 0.0, 1e-9, 0.05, 0.4, 1.0, 1.1, np.nan, np.inf]], number)
    found, expected = ([np.full(means.shape, np.nan, number) for _ in range(2)] for _ in range(2))
    compile("divergences", number.name)(means, 0.05, ROUNDING, np.nan, *found)
    PLAIN.divergences(means, 0.05, *expected)
    for one, other in zip(found, expected, strict=True):
        same(one, other, number)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_places_of_categories(layout: str, number: np.dtype) -> None:
    given = np.array([[0, 1, 2, 3], [2.4, -0.4, 1.6, -1], [9, np.nan, np.inf, -np.inf]], number)
    x, limits, begins = laid(given, layout), np.array([3, 2, 9, 1], number), np.array([0, 3, 5, 14])
    found, expected = (np.full(x.shape, -7) for _ in range(2))
    compile("category_places", number.name)(x, limits, begins, found)
    np.testing.assert_array_equal(found, PLAIN.category_places(x, limits, begins, expected))
    assert ((found >= begins) & (found < begins + limits)).all()


@pytest.mark.parametrize("kind", DERIVATIVES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives(kind: str, layout: str, number: np.dtype, rng: np.random.Generator) -> None:
    x = laid(np.concatenate([rng.normal(size=(5, 7)), [[np.nan, np.inf, 0.0, -0.0, 1.0, 0.5, 9.0]]]), "one")
    with np.errstate(all="ignore"):
        y = laid(PLAIN.activation_forward(kind, x, x.copy(), ALPHA).astype(number), layout)
        found, expected = ([np.full(y.shape, np.nan, number) for _ in range(2)] for _ in range(2))
        PLAIN.activation_derivatives(kind, y, *expected, ALPHA)
    compile(f"{kind}_derivatives", number.name)(y, ALPHA, *found)
    for one, other in zip(found, expected, strict=True):
        close(one, other, number)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", TALL)
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_normalization(
    shape: tuple[int, int], blocks: int, aligned: bool, how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    rows, columns = shape
    x, dy = (at_address(one, aligned) for one in rng.normal(size=(2, *shape)).astype(number))
    gamma, beta = rng.normal(size=(2, columns)).astype(number)
    wide = {name: one.astype(float) for name, one in {"x": x, "dy": dy, "gamma": gamma, "beta": beta}.items()}
    mean, variance, dgamma, dbeta = np.full((4, columns), np.nan, number)
    y, dx = np.full((2, *shape), np.nan, number)
    moments = room(columns), room(columns)
    PLAIN.batch_moments(wide["x"], *moments)
    epsilon = number.type(1e-3)
    sum_over_rows("batch_moments", (x, mean, variance), shape, blocks=blocks, how=how)
    close(mean, moments[0], number, rows)
    close(variance, moments[1], number, rows)
    expected = PLAIN.batch_norm_forward(wide["x"], *moments, wide["gamma"], wide["beta"], room(*shape), 1e-3)
    compile("batch_norm", number.name)(x, mean, variance, gamma, beta, 1e-3, y)
    close(y, expected, number, rows)
    for constant in (False, True):
        sums, slope = (room(columns), room(columns)), room(*shape)
        PLAIN.batch_norm_backward(
            wide["dy"], wide["x"], *moments, wide["gamma"], *sums, slope, 1e-3, constant, rows
        )
        arrays = (dy, x, mean, variance, dgamma, dbeta)
        sum_over_rows("batch_norm_sums", arrays, shape, epsilon, blocks=blocks, how=how)
        numbers = (1e-3, float(rows), constant, dx)
        compile("batch_norm_backward", number.name)(dy, x, mean, variance, gamma, dgamma, dbeta, *numbers)
        for found, plain in zip((dgamma, dbeta, dx), (*sums, slope), strict=True):
            close(found, plain, number, 8 * rows)
    average = np.ones(columns, number)
    compile("moving_average", number.name)(mean, 0.9, 1.0 - 0.9, average)
    close(average, PLAIN.moving_average(np.ones(columns), moments[0], 0.9), number, rows)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [*TALL, (3, 260)])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_layer_normalization(
    shape: tuple[int, int], blocks: int, aligned: bool, how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    rows, columns = shape
    x, dy = (at_address(one, aligned) for one in rng.normal(size=(2, *shape)).astype(number))
    gamma, beta = rng.normal(size=(2, columns)).astype(number)
    wide = [one.astype(float) for one in (dy, x, gamma)]
    y, dx = np.full((2, *shape), np.nan, number)
    dgamma, dbeta = np.full((2, columns), np.nan, number)
    epsilon, moments = number.type(1e-3), np.empty(3 * rows, number)
    expected = PLAIN.layer_norm_forward(wide[1], wide[2], beta.astype(float), room(*shape), 1e-3)
    compile("layer_norm", number.name)((2,), (32,), (x, gamma, beta, y, *shape, epsilon), **how)
    close(y, expected, number, 8 * columns)
    sums, slope = (room(columns), room(columns)), room(*shape)
    PLAIN.layer_norm_backward(*wide, *sums, slope, 1e-3)
    backward = compile("layer_norm_backward", number.name)
    backward((2,), (32,), (dy, x, gamma, dx, moments, *shape, epsilon, 1), **how)
    close(dx, slope, number, 64 * columns)
    untouched = dx.copy()
    backward((2,), (32,), (dy, x, gamma, untouched, moments, *shape, epsilon, 0), **how)
    np.testing.assert_array_equal(untouched, dx)
    sum_over_rows("layer_norm_sums", (dy, x, moments, dgamma, dbeta), shape, blocks=blocks, how=how)
    close(dgamma, sums[0], number, 8 * rows * columns)
    close(dbeta, sums[1], number, 8 * rows)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_stays_visible(kind: str, wrong: float, number: np.dtype) -> None:
    """In its row's loss or gradient, as far as in the plain form; other rows are untouched."""
    columns, constant = (2 if kind == "gaussian" else 4), constants(kind, 4)
    target, prediction = np.full((3, columns), 0.25, number), np.full((3, columns), 0.5, number)
    target = target[:, 0].copy() if LOSSES[kind].one_target else target
    prediction[1, 1] = wrong
    with np.errstate(all="ignore"):
        expected, gradient = LOSSES[kind].plain(PLAIN, target, prediction, constant)
    row_losses, dy, total = np.empty(3, number), np.empty_like(prediction), np.empty(1, number)
    several, done = np.atleast_1d(constant).astype(number), np.zeros(1, np.uint32)
    numbers = (several[0], number.type(1.0))
    arrays = (target, prediction, several, several, dy, total, row_losses, done)  # a block for each row
    compile(f"{kind}_loss", number.name)((3,), (32,), (*arrays, 3, columns, *numbers, 0, 1))
    np.testing.assert_allclose(row_losses, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(total, [sum(expected)], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dy, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 3), (5, 70), (41, 36)])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("unaligned", ["none", "dy", "db"])
@pytest.mark.parametrize("kind", FUSED)
def test_bias_gradients(
    kind: str, unaligned: str, blocks: int, shape: tuple[int, int], how: dict[str, Any], number: np.dtype,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    dy, x = rng.normal(size=(2, *shape)).astype(number)
    dy = at_address(dy, unaligned != "dy")
    y = PLAIN.activation_forward(kind, x, np.empty_like(x), ALPHA)
    wide = [one.astype(float) for one in (dy, y)]
    dz = PLAIN.activation_backward(kind, wide[0], None, wide[1], room(*shape), ALPHA)
    db = at_address(np.full(shape[1], np.nan, number), unaligned != "db")
    into = dy if unaligned == "dy" else at_address(np.full(shape, np.nan, number), True)  # or in place
    arrays = (dy, at_address(y, True), into, db)
    sum_over_rows(f"{kind}_bias_gradient", arrays, shape, number.type(ALPHA), blocks=blocks, how=how)
    close(db, dz.sum(axis=0), number, shape[0])
    if kind != "identity":
        close(into, dz, number)


@pytest.mark.parametrize("how", THREADS, ids=["one thread", "threads", "threads, last first"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 3), (5, 70), (16, 16)])
@pytest.mark.parametrize("kind", FUSED)
def test_bias_gradients_with_rounded_dz(
    kind: str, shape: tuple[int, int], how: dict[str, Any], rng: np.random.Generator
) -> None:
    """db has the bits of the kernel that stores dz, and the rounded form is that of this dz."""
    number = np.dtype("f4")
    y, dy = special(number, rng) if shape == (16, 16) else rng.normal(size=(2, *shape)).astype(number)
    dz, db, found = dy.copy(), *np.full((2, shape[1]), np.nan, number)
    bits = np.zeros(shape, "u2")
    alpha = number.type(ALPHA)
    sum_over_rows(f"{kind}_bias_gradient", (dy, y, dz, db), shape, alpha, blocks=2, how=how)
    sum_over_rows(f"rounded_{kind}_bias_gradient", (dy, y, bits, found), shape, alpha, blocks=2, how=how)
    np.testing.assert_array_equal(found.view("u4"), db.view("u4"))
    np.testing.assert_array_equal(bits, upper_half(dz))


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
    elementwise = {f"{kind}_{what}" for kind in KINDS for what in ("forward", "backward")}
    others = {
        *CONVOLUTIONS,
        "prelu",
        "prelu_backward",
        "dropout",
        "take_rows",
    }
    images = {name for name in Elementwise.known if "pool" in name or name in OF_IMAGES}
    steps = {
        "gather_labels", "begin_step", "write_numbers", "clear", "leave_out", "clip", "batch_norm",
        "batch_norm_backward", "moving_average", "add_noise", "record_terms", "round_to_bfloat16",
        "upper_half", "divergences", "category_places", *(f"{kind}_derivatives" for kind in DERIVATIVES),
    }  # fmt: skip
    assert elementwise | others | images | steps == set(Elementwise.known)
    flat = {*OPTIMIZERS, "record_step", "flag_nonfinite", "average", "gather_rows", "gather_bytes"}
    flat |= {"upper_halves", *(f"rounded_{kind}_bias" for kind in FUSED)}
    fused = {f"{start}{kind}_bias_gradient" for kind in FUSED for start in ("", "rounded_")}
    fused |= {f"{kind}_bias" for kind in KINDS}
    losses = {f"{kind}_loss" for kind in LOSSES}
    losses |= {
        "row_factors", "smooth_targets", "smooth_labels",
        *(f"{kind}_labels" for kind in OF_LABELS),
    }  # fmt: skip
    embedding = {"sort_tiles", "merge_tiles", "sum_runs", "put_rows"}
    norms = {
        "prelu_slopes",
        "batch_moments",
        "batch_norm_sums",
        "layer_norm",
        "layer_norm_backward",
        "layer_norm_sums",
    }
    others = {
        "softmax", "softmax_backward", "convolve_channels_weights", "greatest", "squares", "scale",
        "axis_sums",
    }  # fmt: skip
    assert flat | fused | losses | embedding | norms | others == set(Raw.known)
