"""The code of a variational autoencoder: term and gradients are PyTorch's, and codes are drawn right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm
from support.resumed import KillAt, Killed, same

import nnx
from nnx.backends import Backend
from nnx.distributed import ALONE, Shard
from nnx.errors import ConfigurationError, TrainingError
from nnx.layers import Plan
from nnx.layers.terms import PLAIN, Terms

X = np.array([[0.5, -1.25, 0.3, -0.7], [2.0, 0.125, -2.0, 1.1], [-0.75, 0.0, 0.0, 0.4]])
NOISE = np.array([[0.3, -1.1], [1.7, 0.2], [-0.4, 0.9]])
DZ = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]])
# of torch.distributions.kl_divergence and autograd, PyTorch 2.13, float64: 0.7 times the mean divergence, and
# the gradient of it plus Σ dz z, with all weights 1 and with these weights
WEIGHTS = np.array([1.0, 0.0, 3.0])
PYTORCH = {
    None: (
        1.0229794302223683,
        [
            [1.1166666666666667, -0.7916666666666666, 0.21509199729310946, 0.13505751011497732],
            [0.7166666666666666, 2.029166666666667, -0.02270316904013035, 0.5804699730338962],
            [-1.675, 0.75, 0.30000000000000004, 0.46960297893720554],
        ],
    ),
    "weights": (
        0.351917842875482,
        [
            [1.0875, -0.71875, 0.20488778207214273, 0.14974043875439455],
            [0.25, 2.0, 0.07817438124893149, 0.3466506035734791],
            [-1.8937499999999998, 0.75, 0.30000000000000004, 0.5413274140098908],
        ],
    ),
}


def plan(backend: Backend, *layers: nnx.Layer, width: int = 4, dtype: str = "float64") -> Plan:
    made = nnx.Network(list(layers), device=backend, dtype=dtype, seed=5).build(width)
    return Plan(made.layers, made.arena, keep=True)


@pytest.mark.parametrize("weighted", [None, "weights"])
def test_term_and_gradients_are_those_of_pytorch(backend: Backend, monkeypatch, weighted) -> None:
    def given(self, x, y, deviation, key, row=0):
        assert deviation == 1.0
        y[...] = x + backend.asarray(NOISE)
        return y

    monkeypatch.setattr(type(backend), "add_noise", given)
    made, x = plan(backend, nnx.GaussianCode(0.7)), backend.asarray(X)
    weights = backend.asarray(WEIGHTS) if weighted else None
    z = backend.to_numpy(made.forward(x, terms=Terms(weights)))
    np.testing.assert_allclose(z, X[:, :2] + np.exp(0.5 * X[:, 2:]) * NOISE)
    value, gradient = PYTORCH[weighted]
    assert [float(term[0]) for _, term in made.terms()] == pytest.approx([value])
    dx = backend.to_numpy(made.backward(backend.asarray(DZ), input_gradient=True))
    np.testing.assert_allclose(dx, gradient, rtol=1e-12)


def test_the_term_is_the_integral_of_the_divergence(backend: Backend) -> None:
    mean, log_variance = 0.8, -1.3
    p, q = norm(mean, math.exp(0.5 * log_variance)), norm()
    exact, _ = quad(lambda z: p.pdf(z) * (p.logpdf(z) - q.logpdf(z)), -12, 12)
    made = plan(backend, nnx.GaussianCode(), width=2)
    made.forward(backend.asarray(np.array([[mean, log_variance]])), training=False, terms=PLAIN)
    assert [float(term[0]) for _, term in made.terms()] == pytest.approx([exact], rel=1e-7)


def test_a_small_divergence_keeps_its_digits_in_float32(backend: Backend) -> None:
    """σ² − 1 − ln σ² for ln σ² = 0.001, which is 5e-7, near the rounding of its parts."""
    made = plan(backend, nnx.GaussianCode(), width=2, dtype="float32")
    made.forward(backend.asarray(np.array([[0.0, 1e-3]], np.float32)), training=False, terms=PLAIN)
    exact = 0.5 * (math.expm1(1e-3) - 1e-3)
    assert [float(term[0]) for _, term in made.terms()] == pytest.approx([exact], rel=1e-3)


def test_codes_are_drawn_from_the_distribution_that_x_describes(backend: Backend, dtype: np.dtype) -> None:
    x = np.tile(np.array([[1.5, -2.0, math.log(0.25), math.log(9.0)]]), (4000, 1))
    made = plan(backend, nnx.GaussianCode(), dtype=dtype.name)
    z = backend.to_numpy(made.forward(backend.asarray(x, dtype))).astype(np.float64)
    for column, mean, deviation in ((0, 1.5, 0.5), (1, -2.0, 3.0)):
        assert kstest(z[:, column], norm(mean, deviation).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / math.sqrt(4000)
    mean = backend.to_numpy(made.forward(backend.asarray(x, dtype), training=False))
    np.testing.assert_array_equal(mean, x.astype(dtype)[:, :2])


def test_each_training_pass_draws_other_codes_and_ranks_draw_their_rows(backend: Backend) -> None:
    made = plan(backend, nnx.GaussianCode())
    x = backend.asarray(np.zeros((6, 4)))
    first = backend.to_numpy(made.forward(x, draw=0)).copy()
    assert np.abs(backend.to_numpy(made.forward(x, draw=1)) - first).min() > 0.0
    later = made.forward(x[:2], draw=0, shard=Shard(4, 6, 2, 6, ALONE))
    np.testing.assert_array_equal(backend.to_numpy(later), first[4:])


def test_a_run_that_is_killed_resumes_with_the_same_codes(tmp_path) -> None:
    def trained(callbacks=(), **options):
        layers = [nnx.Dense(6, 8), nnx.GaussianCode(0.1), nnx.Dense(6)]
        network = nnx.Network(layers, seed=3, device="numpy")
        x = np.random.default_rng(2).uniform(1.0, 2.0, (61, 6))
        history = network.fit(
            x, x, loss="mse", optimizer=nnx.Adam(0.01), epochs=3, batch_size=8, callbacks=callbacks, **options
        )
        return network, history

    whole = trained()
    with pytest.raises(Killed):
        trained([KillAt(13)], checkpoint=nnx.Checkpoint(tmp_path, every=3))
    same(trained(checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True)), whole)
    assert len(whole[1].metrics["kl"]) == 3


def test_the_loss_of_fit_is_minus_the_elbo() -> None:
    """One step on one batch: the loss is the sum of its parts, computed by hand with the drawn noise."""
    layers = [nnx.Dense(6, 4), nnx.GaussianCode(2.0), nnx.Dense(6)]
    network = nnx.Network(layers, seed=3, dtype="float64", device="numpy")
    x = np.random.default_rng(0).normal(size=(5, 6))
    weights = {name: value.copy() for name, value in network.build(6).weights().items()}
    history = network.fit(x, x, loss="mse", optimizer=nnx.SGD(0.0), batch_size=5, shuffle=False)
    zeros = np.zeros((5, 2))
    noise = network.backend.add_noise(zeros, zeros, 1.0, network.layers[1].key(3, 0))
    mean, log_variance = np.split(x @ weights["dense_1.W"] + weights["dense_1.b"], 2, axis=1)
    z = mean + np.exp(0.5 * log_variance) * noise
    error = np.mean((z @ weights["dense_2.W"] + weights["dense_2.b"] - x) ** 2)
    kl = np.mean(0.5 * np.sum(mean**2 + np.exp(log_variance) - 1.0 - log_variance, axis=1))
    assert history.metrics["kl"] == pytest.approx([2.0 * kl])
    assert history.metrics["loss"] == pytest.approx([error + 2.0 * kl])


def test_a_variance_that_overflows_is_an_error_with_advice() -> None:
    network = nnx.Network([nnx.GaussianCode(), nnx.Dense(4)], seed=0, device="numpy")
    x = np.full((4, 4), 100.0, np.float32)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        network.fit(x, x, loss="mse", optimizer="adam", batch_size=4)


@pytest.mark.parametrize(("shape", "beta"), [(5, 1.0), ((2, 4), 1.0), (4, -1.0), (4, math.nan)])
def test_wrong_shapes_and_weights_are_refused(shape, beta) -> None:
    with pytest.raises(ConfigurationError, match="GaussianCode"):
        nnx.GaussianCode(beta).build(shape)
