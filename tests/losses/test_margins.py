"""Hinge losses: closed forms, labels, metrics, and targets that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.losses import on

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize(
    ("loss", "value", "gradient"),
    [
        (nnx.Hinge(), (0.5 + 3.0 + 0.0 + 1.0) / 4, [[-0.25, 0.25], [0.0, 0.25]]),
        (nnx.SquaredHinge(), (0.25 + 9.0 + 0.0 + 1.0) / 4, [[-0.25, 1.5], [0.0, 0.5]]),
    ],
    ids=repr,
)
def test_closed_forms(backend: Backend, loss: nnx.Loss, value: float, gradient: list) -> None:
    y, z = on(backend, [[1.0, 0.0], [1.0, 0.0]], [[0.5, 2.0], [1.5, 0.0]])
    assert float(loss(y, z)) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(backend.to_numpy(loss.gradient(y, z)), gradient, rtol=1e-14)


@pytest.mark.parametrize("loss", [nnx.Hinge(), nnx.SquaredHinge()], ids=repr)
def test_labels_are_rows_with_a_one(backend: Backend, rng: np.random.Generator, loss: nnx.Loss) -> None:
    labels, (z,) = np.array([2, 0, 1, 1]), on(backend, rng.standard_normal((4, 3)))
    dense = backend.asarray(np.eye(3)[labels])
    assert float(loss(backend.asarray(labels), z)) == float(loss(dense, z))
    expected = backend.to_numpy(loss.gradient(dense, z))
    np.testing.assert_array_equal(backend.to_numpy(loss.gradient(backend.asarray(labels), z)), expected)


@pytest.mark.parametrize("outputs", [1, 3])
def test_classes_are_learned_and_measured(rng: np.random.Generator, outputs: int) -> None:
    x = rng.standard_normal((300, 2))
    y = (
        np.argmax(x @ [[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]], axis=1)
        if outputs > 1
        else (x[:, 0] > 0).astype(int)
    )
    network, loss = nnx.Network([nnx.Dense(2, outputs)], seed=0), nnx.Hinge()
    network.fit(x, y, loss=loss, optimizer=nnx.Adam(0.05), epochs=60, batch_size=50)
    found = network.evaluate(x, y, loss=loss, metrics=["accuracy", "f1_macro"])
    assert found["accuracy"] > 0.92
    assert found["f1_macro"] > 0.9
    z = network.predict(x)
    predicted = np.argmax(z, axis=1) if outputs > 1 else (z[:, 0] > 0).astype(int)
    assert found["accuracy"] == pytest.approx(float((predicted == y).mean()))
    with pytest.raises(DataError, match=r"log_loss.*Hinge.*decision values"):
        network.evaluate(x, y, loss=loss, metrics=["log_loss"])


@pytest.mark.parametrize("y", [[0.0, 0.3, 1.0, 1.0], [-1.0, 0.0, 1.0, 1.0], [0.0, 2.0, 2.0, 0.0]])
def test_targets_that_are_no_classes_are_refused(y: list[float]) -> None:
    with pytest.raises(DataError, match="Hinge: targets must be 0 and 1, or -1 and 1, found values from"):
        nnx.Network([nnx.Dense(1, 1)], seed=0).fit(
            np.zeros((4, 1)), np.array(y), loss=nnx.Hinge(), optimizer=nnx.SGD(), batch_size=4
        )


def test_labels_out_of_range_and_probabilities_are_refused() -> None:
    fit = {"loss": nnx.SquaredHinge(), "optimizer": nnx.SGD(), "batch_size": 2}
    with pytest.raises(DataError, match=r"SquaredHinge: labels must lie in \[0, 2\] for 3 classes"):
        nnx.Network([nnx.Dense(1, 3)], seed=0).fit(np.zeros((2, 1)), np.array([0, 3]), **fit)
    with pytest.raises(ConfigurationError, match=r"decision values of both signs.*sigmoid_1.*remove"):
        nnx.Network([nnx.Dense(1, 1), nnx.Sigmoid()], seed=0).fit(np.zeros((2, 1)), np.array([0, 1]), **fit)
