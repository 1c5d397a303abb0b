"""Dense layers with bfloat16 factors: the rounding, and every backend equals the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ALPHA, KINDS, ORACLE, agree, close, room

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS

FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]
SINGLE = np.dtype("float32")
UNIT = 2.0**-8  # the largest relative error of rounding to bfloat16
SIZES = [(1, 5, 3), (7, 40, 6), (33, 17, 1)]  # rows, inputs, units


def rounded(backend: Backend, x: np.ndarray) -> np.ndarray:
    x = backend.asarray(x)
    out = backend.empty(x.shape, "float32")
    assert backend.round_to_bfloat16(x, out) is out
    return backend.to_numpy(out)


def plainly(x: np.ndarray) -> np.ndarray:
    return rounded(ORACLE, x.astype(np.float32))


def floats(*lower: int) -> np.ndarray:
    """Every bfloat16 number, NaN and infinity, with some lower halves of a float32."""
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    return (upper | np.array(lower, np.uint32)).view(np.float32)


@pytest.mark.parametrize(
    ("x", "nearest"),
    [
        (1.0, 1.0),
        (1.0 + 2**-8, 1.0),  # half way: the last bit of 1.0 is 0
        (1.0 + 2**-8 + 2**-23, 1.0 + 2**-7),
        (1.0 + 3 * 2**-8, 1.0 + 2**-6),  # half way, and the last bit of 1 + 2⁻⁷ is 1
        (-1.0 - 3 * 2**-8, -1.0 - 2**-6),
        (-0.0, -0.0),
        (2.0**-133, 2.0**-133),  # the smallest number above 0
        (2.0**-134, 0.0),
        (1.5 * 2.0**-133, 2.0**-132),
        (2.0**128 * (1 - 2**-8), 2.0**128 * (1 - 2**-8)),  # the largest finite number
        (2.0**128 * (1 - 2**-9), np.inf),
        (2.0**128 * (1 - 2**-9 - 2**-24), 2.0**128 * (1 - 2**-8)),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (np.nan, np.nan),
    ],
)
def test_a_number_becomes_the_nearest(backend: Backend, x: float, nearest: float) -> None:
    found = rounded(backend, np.array([x], np.float32))
    np.testing.assert_array_equal(found, np.array([nearest], np.float32))
    assert np.signbit(found[0]) == np.signbit(nearest)


def test_rounding_is_that_of_ml_dtypes(backend: Backend) -> None:
    """Of every bfloat16 number, and around every boundary between two; every NaN stays NaN."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed (TensorFlow has it)")
    x = floats(0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)
    with np.errstate(invalid="ignore"):
        expected = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(rounded(backend, x), expected)


def test_rounding_leaves_its_input_and_takes_any_columns(backend: Backend, rng: np.random.Generator) -> None:
    wide = rng.standard_normal((5, 12)).astype(np.float32)
    columns = backend.asarray(wide)[:, ::2]
    out = backend.empty((5, 6), "float32")
    backend.round_to_bfloat16(columns, out)
    np.testing.assert_array_equal(backend.to_numpy(out), plainly(wide[:, ::2]))
    np.testing.assert_array_equal(backend.to_numpy(columns), wide[:, ::2])


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(("rows", "inputs", "units"), SIZES)
@pytest.mark.parametrize("kind", FUSED)
def test_forward(
    backend: Backend, rng: np.random.Generator, kind: str, rows: int, inputs: int, units: int, strided: bool
) -> None:
    x, W = rng.standard_normal((rows, inputs)), rng.standard_normal((inputs, units))
    arguments = {
        "x": x, "W": W, "b": rng.standard_normal(units), "y": room(rows, units),
        "rounded_x": room(rows, inputs), "rounded_W": room(inputs, units), "kind": kind, "alpha": ALPHA,
    }  # fmt: skip
    found = agree(
        backend, "bfloat16_dense_forward", SINGLE, arguments, ("y", "rounded_x", "rounded_W"),
        terms=inputs, strided=strided,
    )  # fmt: skip
    np.testing.assert_array_equal(found["rounded_x"], plainly(x))
    np.testing.assert_array_equal(found["rounded_W"], plainly(W))


@pytest.mark.parametrize("wants_rounded", [False, True])
@pytest.mark.parametrize(("rows", "inputs", "units"), SIZES)
@pytest.mark.parametrize("kind", FUSED)
def test_forward_from_rounded_factors(
    backend: Backend,
    rng: np.random.Generator,
    kind: str,
    rows: int,
    inputs: int,
    units: int,
    wants_rounded: bool,
) -> None:
    """y agrees with the plain form, and r(y) is exact."""
    arguments = {
        "rounded_x": plainly(rng.standard_normal((rows, inputs))),
        "rounded_W": plainly(rng.standard_normal((inputs, units))),
        "b": rng.standard_normal(units), "y": room(rows, units), "kind": kind, "alpha": ALPHA,
    }  # fmt: skip
    found = agree(backend, "rounded_dense_forward", SINGLE, arguments, ("y",), terms=inputs)
    given = [backend.asarray(arguments[name], SINGLE) for name in ("rounded_x", "rounded_W", "b")]
    y, rounded_y = (backend.asarray(room(rows, units), SINGLE) for _ in range(2))
    more = (rounded_y,) if wants_rounded else ()
    assert backend.rounded_dense_forward(*given, y, kind, ALPHA, *more) is y
    np.testing.assert_array_equal(backend.to_numpy(y), found["y"])
    expected = plainly(found["y"]) if wants_rounded else room(rows, units)
    np.testing.assert_array_equal(backend.to_numpy(rounded_y), expected)


def test_two_arrays_are_rounded(backend: Backend, rng: np.random.Generator) -> None:
    wide, x = rng.standard_normal(20).astype("f4"), rng.standard_normal((3, 8)).astype("f4")
    for columns in (slice(None), slice(None, None, 2)):  # the second is not contiguous
        found = backend.empty(20, "float32"), backend.empty(x[:, columns].shape, "float32")
        given = backend.asarray(wide), backend.asarray(x)[:, columns]
        backend.round_both_to_bfloat16(given[0], found[0], given[1], found[1])
        np.testing.assert_array_equal(backend.to_numpy(found[0]), plainly(wide))
        np.testing.assert_array_equal(backend.to_numpy(found[1]), plainly(x[:, columns]))


@pytest.mark.parametrize("wants_dx", [False, True])
@pytest.mark.parametrize(("rows", "inputs", "units"), SIZES)
@pytest.mark.parametrize("kind", FUSED)
def test_backward(
    backend: Backend, rng: np.random.Generator, kind: str, rows: int, inputs: int, units: int, wants_dx: bool
) -> None:
    """dz within float32's rounding of the plain form; then the products of its own dz, rounded.

    Another last bit of dz can round to another bfloat16 number, so the products are compared for this dz.
    """
    x, W, dy = (
        rng.standard_normal(s).astype(np.float32) for s in ((rows, inputs), (inputs, units), (rows, units))
    )
    y = ACTIVATIONS[kind].forward(ORACLE, rng.standard_normal((rows, units)), ALPHA).astype(np.float32)
    given = [backend.asarray(value.copy()) for value in (dy, plainly(x), plainly(W))]
    dW, db, dx = (
        backend.asarray(room(*shape).astype("f4")) for shape in ((inputs, units), (units,), x.shape)
    )
    rounded_dz, dz = (backend.asarray(room(rows, units).astype("f4")) for _ in range(2))
    returned = backend.bfloat16_dense_backward(
        *given, dW, db, dx if wants_dx else None, rounded_dz, kind, ALPHA, backend.asarray(y), dz
    )
    assert returned is dW
    for array, before in zip(given, (dy, plainly(x), plainly(W)), strict=True):
        np.testing.assert_array_equal(backend.to_numpy(array), before)
    exact = dy.astype(np.float64)
    if kind != "identity":
        expected = ORACLE.activation_backward(
            kind, exact, None, y.astype(np.float64), np.empty(y.shape), ALPHA
        )
        exact = backend.to_numpy(dz).astype(np.float64)
        close(exact, expected, SINGLE)
    factor = plainly(exact).astype(np.float64)
    np.testing.assert_array_equal(backend.to_numpy(rounded_dz), factor)
    close(backend.to_numpy(dW), plainly(x).astype(np.float64).T @ factor, SINGLE, rows)
    close(backend.to_numpy(db), exact.sum(axis=0), SINGLE, rows)
    if wants_dx:
        close(backend.to_numpy(dx), factor @ plainly(W).astype(np.float64).T, SINGLE, units)
    else:
        assert np.isnan(backend.to_numpy(dx)).all()


def test_dz_may_be_dy(backend: Backend, rng: np.random.Generator) -> None:
    dy, x, W = (rng.standard_normal(shape).astype(np.float32) for shape in ((7, 6), (7, 5), (5, 6)))
    y = np.tanh(rng.standard_normal((7, 6))).astype(np.float32)
    results = []
    for shared in (False, True):
        given = [backend.asarray(value.copy()) for value in (dy, plainly(x), plainly(W))]
        dW, db, dx, rounded_dz, dz = (
            backend.empty(shape, "float32") for shape in ((5, 6), 6, (7, 5), (7, 6), (7, 6))
        )
        dz = given[0] if shared else dz
        backend.bfloat16_dense_backward(*given, dW, db, dx, rounded_dz, "tanh", 0.0, backend.asarray(y), dz)
        results.append([backend.to_numpy(value).tobytes() for value in (dW, db, dx)])
    assert results[0] == results[1]


def test_the_error_is_that_of_two_rounded_factors(backend: Backend, rng: np.random.Generator) -> None:
    """|Σ r(a) r(b) − Σ a b| ≤ ((1 + 2⁻⁸)² − 1) Σ |a| |b|, and float32's rounding of the sums."""
    rows, inputs, units = 64, 48, 32
    x, W, dy = (
        rng.standard_normal(s).astype(np.float32) for s in ((rows, inputs), (inputs, units), (rows, units))
    )
    y, dW, dx = (
        backend.empty(shape, "float32") for shape in ((rows, units), (inputs, units), (rows, inputs))
    )
    b, db = backend.zeros(units, "float32"), backend.empty(units, "float32")
    factors = [backend.empty(value.shape, "float32") for value in (x, W, dy)]
    backend.bfloat16_dense_forward(backend.asarray(x), backend.asarray(W), b, y, *factors[:2])
    backend.bfloat16_dense_backward(backend.asarray(dy), factors[0], factors[1], dW, db, dx, factors[2])
    for found, left, right in ((y, x, W), (dW, x.T, dy), (dx, dy, W.T)):
        left, right = left.astype(np.float64), right.astype(np.float64)
        size = np.abs(left) @ np.abs(right)
        bound = ((1 + UNIT) ** 2 - 1 + left.shape[1] * np.finfo(np.float32).eps) * size
        error = np.abs(backend.to_numpy(found) - left @ right)
        assert (error <= bound).all()
        assert error.max() > UNIT**2 * size.max()  # the factors were rounded: float32's error is far smaller


def test_values_that_are_not_finite_stay(backend: Backend) -> None:
    x = np.array([[1.0, np.inf], [np.nan, 1.0], [1.0, 1.0]], np.float32)
    y = backend.empty((3, 1), "float32")
    factors = backend.empty((3, 2), "float32"), backend.empty((2, 1), "float32")
    one = backend.asarray(np.ones((2, 1), np.float32))
    with backend.quiet():
        backend.bfloat16_dense_forward(backend.asarray(x), one, backend.zeros(1, "float32"), y, *factors)
    np.testing.assert_array_equal(backend.to_numpy(y)[:, 0], np.array([np.inf, np.nan, 2.0], np.float32))
