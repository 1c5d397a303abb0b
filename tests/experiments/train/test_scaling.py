"""Values are scaled and undone without loss of digits."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import here, table, trained, write  # noqa: F401

import nnx
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train.config import Config
from nnx.experiments.train.problem import posed
from nnx.experiments.train.scaling import ScaledRows, Scaling, extent, moments

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


def test_the_scaling_is_fitted_on_the_rows_to_train_on_alone(monkeypatch):
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 64)  # several blocks
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 5)) * [1, 10, 1e-4, 1e6, 0] + [0, 5, 1, 1e9, 7]
    rows = np.arange(0, 1000, 2)
    x[1::2] = 1e12
    scaling = Scaling.fitted("standard", x, rows)
    np.testing.assert_allclose(scaling.shift, x[rows].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.scale[:4], x[rows].std(axis=0)[:4], rtol=1e-9)
    z = scaling.apply(x[rows], "float32")
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0), [1, 1, 1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(scaling.undo(z), x[rows], rtol=1e-6, atol=1e-6)
    z = Scaling.fitted("minmax", x, rows).apply(x[rows], "float64")
    assert (z.min(), z.max()) == (0.0, 1.0)


@pytest.mark.parametrize("task", ["classification", "autoencoding"])
def test_a_large_file_is_mapped_and_gives_what_memory_gives(monkeypatch, task):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 6)) * [1, 5, 1e3, 1, 1, 1] + 7).astype(np.float32)
    np.save("x.npy", x)
    np.save("y.npy", (x[:, 0] > 7).astype(int))
    target = ("y.npy",) if task == "classification" else ()
    config = Config("x.npy", target=target, layers=("8 tanh", "3"), epochs=4, scale="standard")
    in_memory = own_data.run(config)
    monkeypatch.setattr("nnx.experiments.train.scaling.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 60)
    made = []
    monkeypatch.setattr(
        "nnx.experiments.train.scaling.ScaledRows.bring",
        lambda rows, *given, bring=ScaledRows.bring: made.append(len(rows)) or bring(rows, *given),
    )
    for streamed in (False, True):
        monkeypatch.setattr("nnx.backends.base.Backend.holds", lambda *_, streamed=streamed: not streamed)
        mapped = own_data.run(config)
        assert set(made) == {240}
        assert mapped.history["loss"] == pytest.approx(in_memory.history["loss"], rel=1e-4)
        assert mapped.history["val_loss"] == pytest.approx(in_memory.history["val_loss"], rel=1e-4)
        name = "accuracy" if task == "classification" else "mse"
        assert mapped.metrics[name] == pytest.approx(in_memory.metrics[name], rel=1e-4)


@pytest.mark.parametrize("value", [0.1, 1234567.891])
def test_a_column_that_is_constant_is_only_shifted_whatever_rounding_makes_of_it(value):
    x = np.full((1000, 2), value)
    x[:, 1] += np.linspace(0.0, 1e-3, 1000)
    scaling = Scaling.fitted("standard", x)
    assert scaling.scale[0] == 1.0
    np.testing.assert_allclose(scaling.shift[0], value, rtol=1e-12)
    np.testing.assert_allclose(scaling.scale[1], x[:, 1].std(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("values", [(0.1 + 0.2, 0.3), (-0.7, -0.1 * 7), (1e20 * 1.1, 1.1e20)])
def test_a_column_that_differs_by_rounding_alone_is_only_shifted(kind, values):
    assert values[0] != values[1]
    x = np.resize(values, (1000, 1))
    scaling = Scaling.fitted(kind, x)
    assert scaling.scale.tolist() == [1.0]
    assert abs(scaling.apply(np.float32(x), "float64")).max() <= np.spacing(np.float32(abs(values[0])))
    apart = np.resize([values[0], values[0] * (1.0 + 1e-13)], (1000, 1))
    assert Scaling.fitted(kind, apart).scale < 1.1e-13 * abs(values[0])


def test_a_large_file_of_images_is_mapped_and_gives_what_memory_gives(monkeypatch):
    np.save("x.npy", np.random.default_rng(0).normal(size=(300, 2, 3)).astype(np.float32))
    config = Config("x.npy", layers=("4 tanh", "2"), epochs=3)
    in_memory = own_data.run(config)
    monkeypatch.setattr("nnx.experiments.train.scaling.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 60)
    problem = posed(config)
    assert isinstance(problem.train.x, ScaledRows)
    assert problem.train.x.shape == (240, 2, 3)
    mapped = own_data.run(config)
    assert mapped.history["loss"] == pytest.approx(in_memory.history["loss"], rel=1e-4)
    assert mapped.metrics["mse"] == pytest.approx(in_memory.metrics["mse"], rel=1e-4)


def test_clipped_rows_of_a_file_are_those_of_memory():
    np.save("x.npy", np.linspace(-1, 2, 12).reshape(6, 2))
    x, scaling = np.load("x.npy", mmap_mode="r"), Scaling(np.zeros(1), np.ones(1))
    rows = ScaledRows(x, np.arange(1, 6), scaling, "float32", clip=True)
    np.testing.assert_array_equal(np.asarray(rows[1:3]), x[2:4].clip(0, 1).astype(np.float32))
    assert rows.astype("float64")[np.array([0])].max() <= 1.0


def test_columns_too_large_to_scale_are_named():
    x = np.random.default_rng(0).uniform(1, 100, (50, 2))
    for at, name in enumerate(("a", "y")):
        values = x.copy()
        values[3, at] = 1e300
        write("t.csv", ["a", "y"], values)
        with pytest.raises(nnx.DataError, match=rf"column {name} .*too large"):
            trained("t.csv", "--target", "y", "--task", "regression")
    values[3] = (1e39, 1.0)
    write("t.csv", ["a", "y"], values)
    with pytest.raises(nnx.DataError, match=r"in float32, numbers above 3.4e38 are infinite"):
        trained("t.csv", "--target", "y", "--task", "regression", "--scale", "none")
