"""Initial weights: their distributions, their names, and their seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import initializers
from nnx.backends import Backend
from nnx.errors import ConfigurationError
from nnx.initializers import fresh_seed  # the real one: `conftest` replaces it in its module

pytestmark = pytest.mark.usefixtures("on_cpu")

SHAPE = (300, 200)
VARIANCES = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "xavier_uniform": 2 / 500,
    "xavier_normal": 2 / 500,
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_uniform": 1 / 300,
    "lecun_normal": 1 / 300,
    "normal": 1.0,
    "uniform": 0.1**2 / 12,
}


def draw(initializer: Any, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return initializers.get(initializer)(initializers.generator(seed, "weights"), shape)


def test_every_name_is_tested_here() -> None:
    assert set(initializers.NAMES) == set(VARIANCES) | {"orthogonal", "zeros", "constant"}


@pytest.mark.parametrize(("name", "variance"), VARIANCES.items())
def test_mean_and_variance(name: str, variance: float) -> None:
    # n = 60,000 draws: the mean is off by σ/√n, a normal's variance by √(2/n) = 0.6 %; five of these
    values = draw(name)
    assert values.shape == SHAPE
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / values.size))


@pytest.mark.parametrize("name", [name for name in VARIANCES if "uniform" in name])
def test_uniform_draws_fill_their_interval(name: str) -> None:
    limit = math.sqrt(3 * VARIANCES[name])
    values = draw(name)
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.999 * limit
    histogram, _ = np.histogram(values, 10, (-limit, limit))
    assert np.abs(histogram - 6000).max() < 5 * math.sqrt(6000)


@pytest.mark.parametrize("name", [name for name in VARIANCES if "normal" in name])
def test_normal_draws_are_not_truncated(name: str) -> None:
    standard = np.abs(draw(name)) / math.sqrt(VARIANCES[name])
    assert standard.max() > 3.5
    assert np.mean(standard < 1.0) == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.01)


@pytest.mark.parametrize("scale", [0.0, 0.001, 2.5])
def test_normal_with_a_scale(scale: float) -> None:
    np.testing.assert_allclose(draw(initializers.Normal(scale)), scale * draw("normal"), rtol=1e-15)


@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (30, 30), (1, 7)])
def test_orthogonal_rows_or_columns(shape: tuple[int, int]) -> None:
    w = draw(initializers.Orthogonal(2.0), shape)
    assert w.shape == shape
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 4.0 * np.eye(min(shape)), atol=1e-12)


def test_orthogonal_draws_have_no_preferred_sign() -> None:
    # without the correction by R's diagonal, LAPACK's Q has a trace far from 0 on average
    traces = [np.trace(draw("orthogonal", (3, 3), seed)) for seed in range(400)]
    assert abs(np.mean(traces)) < 5 / math.sqrt(400)


def test_constants() -> None:
    assert (draw(initializers.Constant(0.3)) == 0.3).all()
    assert not draw("zeros").any()


def test_a_seed_fixes_the_draw_and_another_changes_it() -> None:
    for name in (*VARIANCES, "orthogonal"):
        np.testing.assert_array_equal(draw(name, seed=3), draw(name, seed=3))
        assert not np.array_equal(draw(name, seed=3), draw(name, seed=4))


def test_each_purpose_has_its_own_stream() -> None:
    weights, shuffles = (initializers.generator(0, p).random(8) for p in ("weights", "shuffles"))
    assert not np.isin(weights, shuffles).any()
    assert len({fresh_seed() for _ in range(8)}) == 8


def test_what_a_network_starts_from(backend: Backend, dtype: np.dtype) -> None:
    """The host's draw, rounded once, on every device and in every float type; biases zero."""
    network = nnx.Network(
        [nnx.Dense(30, 20, initializer="he_normal"), nnx.ReLU(), nnx.Dense(10)],
        device=backend, dtype=dtype, seed=11,
    )  # fmt: skip
    generator = initializers.generator(11, "weights")
    first, last = network.layers[0], network.layers[2]
    np.testing.assert_array_equal(
        backend.to_numpy(first.W), initializers.HeNormal()(generator, (30, 20)).astype(dtype)
    )
    np.testing.assert_array_equal(
        backend.to_numpy(last.W), initializers.GlorotUniform()(generator, (20, 10)).astype(dtype)
    )
    assert not backend.to_numpy(first.b).any()


def test_a_layer_alone_follows_its_own_seed() -> None:
    first, second, other = (nnx.Dense(4, 3, seed=seed).build() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.W, second.W)
    assert not np.array_equal(first.W, other.W)


def test_an_initializer_of_ones_own() -> None:
    layer = nnx.Dense(2, 2, initializer=lambda generator, shape: np.eye(*shape)).build()
    np.testing.assert_array_equal(layer.W, np.eye(2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nnx.Dense(3, initializer="he_norml"), "'he_norml': did you mean 'he_normal'"),
        (lambda: initializers.get("?"), "unknown initializer.*choose from glorot_uniform"),
        (lambda: initializers.Normal(-1.0), r"Normal: scale must lie in \[0, inf\), not -1.0"),
        (lambda: initializers.Normal(math.inf), "Normal: scale must lie in"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()
