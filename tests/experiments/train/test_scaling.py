"""Values are scaled and undone without loss of digits."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import here, table, trained, write  # noqa: F401

from nnx.experiments.train.scaling import Scaling, extent, moments

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 60.0), (2460000.5, 1.0), (-5.3e6, 10.0)])
def test_values_with_a_large_mean_keep_their_digits(offset, spread):
    a = np.random.default_rng(0).uniform(size=200)
    lines = [(float(offset + spread * v), float(offset + spread * v**2)) for v in a]
    write("t.csv", ["a", "y"], lines)
    result = trained("t.csv", "--target", "y", "--task", "regression", "--epochs", 100)
    assert result["dtype"] == "float32"
    assert result["metrics"]["r2"] > 0.999
    done = table(invoke("predict", "run", "t.csv").stdout)
    given = np.array(done[1:], float)[:, 0]
    assert len(np.unique(given)) == 200
    assert 1.0 - np.mean((given - [y for _, y in lines]) ** 2) / np.var(spread * a**2) > 0.999
    invoke("predict", "run", "t.csv", "--out", "p.npy")
    np.testing.assert_array_equal(np.load("p.npy")[:, 0], given)


def test_an_autoencoder_gives_data_with_a_large_mean_back():
    z = 1.7e9 + np.random.default_rng(0).uniform(0, 60, (200, 2))
    np.save("z.npy", z)
    result = trained("z.npy", "--layers", "2", "--epochs", 100, "--learning-rate", 0.02)
    assert result["metrics"]["r2"] > 0.99
    invoke("reconstruct", "run", "z.npy", "--out", "again.npy")
    again = np.load("again.npy")
    assert again.dtype == np.float64
    assert np.mean((again - z) ** 2) < 0.01 * z.var()
    invoke("encode", "run", "z.npy", "--out", "codes.npy")
    assert np.load("codes.npy").dtype == np.float32


def test_a_small_spread_around_a_large_mean_is_no_constant():
    x = 2460000.5 + np.random.default_rng(0).uniform(0, 1e-5, (100_000, 1))
    given = x.copy()
    mean, deviation = moments(x)
    np.testing.assert_array_equal(x, given)
    assert mean[0] == pytest.approx(2460000.5 + 5e-6, abs=1e-8)
    assert deviation[0] == pytest.approx(x.std(), rel=1e-3)
    assert Scaling.fitted("standard", x).scale[0] == deviation[0]


def test_a_weight_is_a_row_that_occurs_so_often_in_every_measure(monkeypatch):
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 40)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)) * [1, 1e-3, 1e4] + [0, 5, 1e6]
    w = rng.integers(0, 4, 100)
    repeated = np.repeat(x, w, axis=0)
    x[w == 0] = 1e9
    for measured, right in ((moments(x, None, w), (repeated.mean(0), repeated.std(0))),
                            (extent(x, None, w), (repeated.min(0), repeated.max(0)))):  # fmt: skip
        np.testing.assert_allclose(measured, right, rtol=1e-9)
    for kind in ("standard", "minmax"):
        weighted, plain = Scaling.fitted(kind, x, None, w.astype(float)), Scaling.fitted(kind, repeated)
        np.testing.assert_allclose(weighted.scale, plain.scale, rtol=1e-9)
