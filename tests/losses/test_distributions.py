"""Losses of distributions: closed forms, PyTorch's values, quantiles that do not cross, bad targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.losses import on

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("on_cpu")
CLOSE = {"rtol": 1e-11, "atol": 1e-14}


def test_pinball_is_the_error_times_the_level(backend: Backend) -> None:
    loss = nnx.Pinball((0.1, 0.5, 0.9))
    y, p = on(backend, [1.0, 1.0], [[0.0, 1.0, 3.0], [2.0, 0.0, 1.0]])
    assert float(loss(y, p)) == pytest.approx((0.1 * 1 + 0.0 + 0.1 * 2 + 0.9 * 1 + 0.5 * 1 + 0.0) / 6)
    gradient = backend.to_numpy(loss.gradient(y, p))
    np.testing.assert_allclose(gradient, np.array([[-0.1, 0.0, 0.1], [0.9, -0.5, 0.0]]) / 6)


def test_the_median_is_half_the_absolute_error(rng: np.random.Generator) -> None:
    y, p = rng.standard_normal((2, 5, 3))
    half = 0.5 * nnx.MeanAbsoluteError()(y, p)
    assert float(nnx.Pinball()(y, p)) == pytest.approx(float(half), rel=1e-14)


def test_pinball_is_scikit_learns(rng: np.random.Generator) -> None:
    from sklearn.metrics import mean_pinball_loss

    levels, (y, w) = (0.05, 0.3, 0.95), rng.uniform(0.1, 2.0, (2, 9))
    p = rng.standard_normal((9, 3))
    expected = np.mean(
        [mean_pinball_loss(y, p[:, k], alpha=level, sample_weight=w) for k, level in enumerate(levels)]
    )
    assert float(nnx.Pinball(levels)(y, p, w)) == pytest.approx(expected, rel=1e-13)


def test_poisson_with_its_last_layer_is_the_loss_of_the_rates(
    backend: Backend, rng: np.random.Generator
) -> None:
    y, z = on(backend, rng.poisson(3.0, (6, 4)), rng.standard_normal((6, 4)))
    value, dz = backend.empty(1, "float64"), backend.empty(z.shape, "float64")
    loss = nnx.Poisson()
    loss.evaluate(backend, y, z, value, dz, None, loss.fused["exponential"])
    rates = backend.asarray(np.exp(backend.to_numpy(z)))
    assert float(value[0]) == pytest.approx(float(loss(y, rates)), rel=1e-13)
    chained = backend.to_numpy(loss.gradient(y, rates)) * backend.to_numpy(rates)
    np.testing.assert_allclose(backend.to_numpy(dz), chained, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
def test_pytorch_says_the_same(rng: np.random.Generator, weighted: bool) -> None:
    """Poisson and the normal distribution, with gradients, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    f = torch.nn.functional
    y, z = rng.poisson(3.0, (7, 3)).astype(float), rng.standard_normal((7, 3))
    weights = rng.uniform(0.2, 2.0, 7) if weighted else np.ones(7)
    share = torch.tensor(weights / weights.sum())[:, None] / 3

    def compared(loss: nnx.Loss, p: np.ndarray, kind: str | None, reference: Any) -> None:
        given = torch.tensor(p, requires_grad=True)
        value = (reference(torch.tensor(y), given) * share).sum()
        value.backward()
        mine, gradient = np.empty(1), np.empty_like(p)
        loss.evaluate(nnx.resolve("numpy"), y, p, mine, gradient, weights if weighted else None, kind)
        np.testing.assert_allclose(mine[0], value.detach().numpy(), **CLOSE)
        np.testing.assert_allclose(gradient, given.grad.numpy(), **CLOSE)

    def of_rates(y: Any, p: Any) -> Any:
        return f.poisson_nll_loss(p, y, log_input=False, eps=0.0, reduction="none")

    def normal(y: Any, p: Any) -> Any:
        variance = (f.softplus(p[..., 1]) + 1e-6) ** 2
        return f.gaussian_nll_loss(p[..., 0], y, variance, full=True, eps=0.0, reduction="none")

    compared(nnx.Poisson(), z, "poisson_from_log", lambda y, z: f.poisson_nll_loss(z, y, reduction="none"))
    compared(nnx.Poisson(), np.exp(z), None, of_rates)
    compared(nnx.GaussianNLL(), rng.standard_normal((7, 3, 2)), None, normal)


def test_the_normal_distribution_is_learned(rng: np.random.Generator) -> None:
    """Without inputs that say anything, the mean and the spread are those of the targets."""
    y = 2.0 + 3.0 * rng.standard_normal(4000)
    network, loss = nnx.Network([nnx.Dense(1, 2)], dtype="float64", seed=0), nnx.GaussianNLL()
    x = np.zeros((4000, 1))
    network.fit(x, y, loss=loss, optimizer=nnx.Adam(0.1), epochs=400, batch_size=4000)
    output = network.predict(x[:1])
    assert output[0, 0] == pytest.approx(y.mean(), abs=0.02)
    assert float(loss.spread(np, output)[0]) == pytest.approx(y.std(), rel=0.02)
    found = network.evaluate(x, y, loss=loss, metrics=["mse", "r2"])
    assert found["loss"] == pytest.approx(0.5 * math.log(2 * math.pi * y.var()) + 0.5, rel=1e-3)
    assert found["mse"] == pytest.approx(y.var(), rel=1e-3)


def test_quantiles_do_not_cross_after_the_ascending_layer(rng: np.random.Generator) -> None:
    x = rng.uniform(-2.0, 2.0, (600, 1))
    y = x[:, 0] + rng.standard_normal(600)
    loss = nnx.Pinball((0.05, 0.25, 0.5, 0.75, 0.95))
    layers = [nnx.Dense(32, activation="relu"), nnx.Dense(5), nnx.Ascending()]
    network = nnx.Network(layers, seed=0)
    history = network.fit(x, y, loss=loss, optimizer=nnx.Adam(0.01), epochs=40, batch_size=100)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    far = np.linspace(-1e4, 1e4, 2001).reshape(-1, 1)  # also far from the rows of the training
    assert (np.diff(network.predict(far), axis=1) >= 0.0).all()
    shares = (y[:, None] <= network.predict(x)).mean(axis=0)
    np.testing.assert_allclose(shares, loss.quantiles, atol=0.06)


def test_metrics_get_the_number_that_predicts_the_target(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    network = nnx.Network([nnx.Dense(2, 3), nnx.Ascending()], seed=0)
    loss = nnx.Pinball((0.1, 0.6, 0.9))
    found = network.evaluate(x, y, loss=loss, metrics=["mae", "pinball"])
    assert found["mae"] == pytest.approx(np.abs(network.predict(x)[:, 1] - y).mean(), rel=1e-6)
    assert found["pinball"] == pytest.approx(found["loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nnx.Pinball(1.0), r"Pinball: a quantile must lie in \(0, 1\), not 1.0"),
        (lambda: nnx.Pinball((0.5, 0.1)), "in ascending order"),
        (lambda: nnx.Pinball((0.5, 0.5)), "different levels in ascending order"),
        (lambda: nnx.Pinball(()), "one or more"),
        (lambda: nnx.Poisson(0.0), "Poisson: epsilon"),
        (lambda: nnx.GaussianNLL(-1.0), "GaussianNLL: epsilon"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_counts_are_not_negative_and_neither_are_rates() -> None:
    x, y = np.zeros((8, 1)), np.arange(8.0) - 1.0
    fit = {"loss": nnx.Poisson(), "optimizer": nnx.SGD(), "batch_size": 8}
    rates = nnx.Network([nnx.Dense(1, 1), nnx.Exp()], seed=0)
    with pytest.raises(DataError, match=r"Poisson: targets must be counts or rates of at least 0, found -1"):
        rates.fit(x, y, **fit)
    with pytest.raises(ConfigurationError, match=r"needs rates.*dense_1.*nnx.Exp\(\)"):
        nnx.Network([nnx.Dense(1, 1)], seed=0).fit(x, y + 1.0, **fit)
    with pytest.raises(DataError, match=r"Poisson needs rates.*-1"):
        nnx.Poisson()(np.ones((1, 1)), -np.ones((1, 1)))
    rates.fit(x, y + 1.0, **fit)
