"""Sums over many rows in float32: rounding errors do not grow with their number.

Naive summation of n numbers of one sign is off by up to n ε / 2: 1e-2 for 200,000. Sums in blocks of about √n
are off by √n ε at most, 3e-5, and by less than 1e-5 here, where roundings differ in sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.devices_here import usable

import nnx
from nnx.backends import Backend

pytestmark = pytest.mark.usefixtures("on_cpu")
ROWS = 200_000
NEAR = 1e-5
PLAIN = Backend()


@pytest.fixture(params=["plain", "numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def every(request: pytest.FixtureRequest) -> Backend:
    """The plain form too."""
    return PLAIN if request.param == "plain" else usable(request.param)


def drawn(*shape: int, low: float = 0.1, high: float = 0.2) -> np.ndarray:
    """Numbers of one sign in float32, which naive sums round away."""
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def near(actual: Any, expected: Any, rtol: float = NEAR) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol)


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300, 4096, ROWS])
@pytest.mark.parametrize("columns", [1, 4])
def test_moments(every: Backend, rows: int, columns: int) -> None:
    x = drawn(rows, columns, low=1000.0, high=1001.0)
    mean, variance = every.empty(columns, "float32"), every.empty(columns, "float32")
    every.batch_moments(every.asarray(x), mean, variance)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(every.to_numpy(mean), exact.mean(axis=0), rtol=6e-8)  # to the last digit
    np.testing.assert_allclose(every.to_numpy(variance), exact.var(axis=0), rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("rows", [16, 64, 256, 1000, 5001])
@pytest.mark.parametrize("layer", [nnx.BatchNorm, nnx.LayerNorm])
def test_what_does_not_vary_is_normalized_to_beta(every: Backend, layer: type[nnx.Layer], rows: int) -> None:
    """What rounding leaves of it would be divided by √ε: 0.8 for 1000 rows of 12345.678."""
    one = layer()
    shape = (rows, 4) if layer is nnx.BatchNorm else (4, rows)
    one.build(shape[1], device=every)
    y = one.forward(every.asarray(np.full(shape, 12345.678, np.float32)), training=True)
    assert not every.to_numpy(y).any()


def test_batch_norm_of_many_rows(every: Backend, rng: np.random.Generator) -> None:
    x, dy = drawn(ROWS, 3, low=1000.0, high=1001.0), drawn(ROWS, 3)
    layer = nnx.BatchNorm(momentum=0.0).build(3, device=every)
    y = every.to_numpy(layer.forward(every.asarray(x), training=True)).copy()
    exact = x.astype(np.float64)
    normalized = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-3)
    np.testing.assert_allclose(y, normalized, atol=2e-4)  # x itself is known to 6e-5, 2e-4 of its deviation
    layer.backward(every.asarray(dy))
    near(every.to_numpy(layer.dbeta), dy.astype(float).sum(axis=0))
    wide = np.abs(dy.astype(float) * normalized).sum(axis=0)
    np.testing.assert_allclose(
        every.to_numpy(layer.dgamma) / wide, (dy.astype(float) * normalized).sum(axis=0) / wide, atol=2e-4
    )


def test_layer_norm_of_many_rows_and_of_wide_ones(every: Backend) -> None:
    for shape in ((ROWS, 3), (3, ROWS)):
        x, dy = drawn(*shape, low=1000.0, high=1001.0), drawn(*shape)
        layer = nnx.LayerNorm().build(shape[1], device=every)
        y = every.to_numpy(layer.forward(every.asarray(x)))
        exact = x.astype(np.float64)
        expected = exact - exact.mean(axis=1, keepdims=True)
        expected /= np.sqrt(exact.var(axis=1, keepdims=True) + 1e-3)
        np.testing.assert_allclose(y, expected, atol=1e-3 if shape[1] == 3 else 2e-4)
        layer.backward(every.asarray(dy))
        near(every.to_numpy(layer.dbeta), dy.astype(float).sum(axis=0))


@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh", "softplus"])
def test_gradients_of_a_bias(every: Backend, activation: str) -> None:
    dy, x, W = drawn(ROWS, 3), drawn(ROWS, 2), drawn(2, 3)
    y, dz = drawn(ROWS, 3), np.empty((ROWS, 3), np.float32)
    dW, db = every.empty((2, 3), "float32"), every.empty(3, "float32")
    given = [every.asarray(a) for a in (dy, x, W)]
    every.dense_backward(*given, dW, db, None, activation, 0.0, every.asarray(y), every.asarray(dz))
    slope = PLAIN.activation_backward(
        activation, dy.astype(float), None, y.astype(float), np.empty((ROWS, 3))
    )
    near(every.to_numpy(db), slope.sum(axis=0))


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("squared_error", 3), ("absolute_error", 3), ("huber", 3),
        ("binary_cross_entropy", 3), ("binary_cross_entropy_from_logits", 3),
        ("categorical_cross_entropy", 3), ("categorical_cross_entropy_from_logits", 3),
        ("squared_error", 784),
    ],
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(every: Backend, kind: str, columns: int, weighted: bool) -> None:
    rows = ROWS if columns < 10 else 5000
    y, p = drawn(rows, columns), drawn(rows, columns, low=0.3, high=0.6)
    weights = drawn(rows) if weighted else None
    expected = np.empty(1)
    exact = [a if a is None else a.astype(float) for a in (y, p, weights)]
    PLAIN.loss(kind, *exact[:2], expected, None, 1.0, 1e-7, exact[2])
    value, dy = every.empty(1, "float32"), every.empty(y.shape, "float32")
    given = None if weights is None else every.asarray(weights)
    every.loss(kind, every.asarray(y), every.asarray(p), value, dy, 1.0, 1e-7, given)
    near(every.to_numpy(value), expected, 2e-6)


def test_the_norm_that_clips(every: Backend) -> None:
    g = drawn(5_000_000)
    exact = np.linalg.norm(g.astype(float))
    clipped = every.asarray(g.copy())
    every.clip_by_norm([clipped], 1.0)
    near(every.to_numpy(clipped), g / exact)


def test_the_compiled_loop_on_as_many_rows_as_it_takes() -> None:
    """The gradient of W and b is a mean over rows; one step of SGD shows it."""
    pytest.importorskip("numba")
    rows = 8192
    x, y = np.ones((rows, 1), np.float32), -drawn(rows, 1)
    network = nnx.Network([nnx.Dense(1, 1)], seed=0, device="numba")
    network[0].W[...] = network[0].b[...] = 0.0
    network.fit(x, y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(1.0), batch_size=rows)
    expected = 2.0 * y.astype(float).mean()
    near([network[0].W[0, 0], network[0].b[0]], [expected, expected], 1e-6)


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, 1e6])
def test_layer_norm_of_rows_far_from_zero(every: Backend, rng: np.random.Generator, mean: float) -> None:
    """What rounding leaves of a row's mean is taken off as well; float32 knows 1e6 to 0.03."""
    x = (rng.standard_normal((50, 300)) + mean).astype(np.float32)
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=1, keepdims=True)
    sigma = np.sqrt(exact.var(axis=1, keepdims=True) + 1e-3)
    layer = nnx.LayerNorm().build(300, device=every)
    y = every.to_numpy(layer.forward(every.asarray(x), training=True))
    np.testing.assert_allclose(y, centred / sigma, atol=2e-6)  # a few roundings of numbers up to 4
    dy = rng.standard_normal((50, 300)).astype(np.float32)
    dx = every.to_numpy(layer.backward(every.asarray(dy)))
    g, normalized = dy.astype(np.float64), centred / sigma
    expected = g - g.mean(axis=1, keepdims=True) - normalized * (g * normalized).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(dx, expected / sigma, atol=4e-6)


@pytest.mark.parametrize("size", [1e-44, 1e-30, 1e37])
@pytest.mark.parametrize("loss", [nnx.MeanSquaredError(), nnx.BinaryCrossEntropy(), nnx.Huber()])
def test_only_the_ratios_of_weights_count(
    every: Backend, rng: np.random.Generator, loss: Any, size: float
) -> None:
    """The sum of weights of 1e37 does not fit in float32, nor does one over the sum of 1e-44."""
    y, p = (every.asarray(rng.uniform(0.1, 0.9, (100, 2)).astype(np.float32)) for _ in range(2))
    shares = rng.integers(0, 2, 100).astype(np.float32)
    shares[0] = 1.0

    def both(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, dy = every.empty(1, "float32"), every.empty((100, 2), "float32")
        loss.evaluate(every, y, p, value, dy, every.asarray(weights))
        return every.to_numpy(value), every.to_numpy(dy)

    for actual, expected in zip(both(shares * np.float32(size)), both(shares), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
        assert expected.any()


@pytest.mark.parametrize("size", [1.0, 1e37])
def test_large_weights_in_training_and_evaluation(on_cpu: Any, size: float) -> None:
    x = drawn(100, 3, low=0.0, high=1.0)
    y, weights = x[:, :1] + 1, np.full(100, size)
    network = nnx.Network([nnx.Dense(3, 4), nnx.Dense(1)], seed=0)
    expected = float(np.mean((network.predict(x).astype(float) - y) ** 2))
    loss = nnx.MeanSquaredError()
    assert network.evaluate(x, y, loss=loss, sample_weight=weights)["loss"] == pytest.approx(expected)
    history = network.fit(
        x, y, loss=loss, optimizer=nnx.SGD(0.1), batch_size=100, sample_weight=weights,
        validation=(x, y, weights),
    )  # fmt: skip
    after = float(np.mean((network.predict(x).astype(float) - y) ** 2))
    assert history["loss"][0] == pytest.approx(expected)
    assert history["val_loss"][0] == pytest.approx(after)
    assert after < expected


@pytest.mark.parametrize(("rows", "sums"), [(1, 1), (128, 1), (256, 2), (300, 3)])
def test_column_sums_sum_nothing_that_is_empty(rows: int, sums: int) -> None:
    """On a GPU each is a launch or two."""
    taken: list[Any] = []

    class Counted:
        @staticmethod
        def sum(x: Any, axis: int) -> Any:
            taken.append(x.shape)
            return np.sum(x, axis=axis)

    backend = Backend()
    backend.xp = Counted
    x = drawn(rows, 2)
    near(backend._column_sums(x), x.astype(float).sum(axis=0))
    assert len(taken) == sums
