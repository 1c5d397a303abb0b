"""The focal losses and label smoothing: what they equal, and what a training of them gives."""

from __future__ import annotations

import numpy as np
import pytest
from support.losses import on

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")

BOTH = pytest.mark.parametrize(
    ("plain", "focal", "activation"),
    [
        (nnx.BinaryCrossEntropy, nnx.BinaryFocalCrossEntropy, "sigmoid"),
        (nnx.CategoricalCrossEntropy, nnx.CategoricalFocalCrossEntropy, "softmax"),
    ],
    ids=["binary", "categorical"],
)


@BOTH
def test_without_focus_it_is_the_cross_entropy(
    backend: Backend, rng: np.random.Generator, plain: type, focal: type, activation: str
) -> None:
    y, p, z = on(backend, *rng.dirichlet(np.ones(4), (2, 6)), 3.0 * rng.standard_normal((6, 4)))
    for kinds in ((None, None), (plain.fused[activation], focal.fused[activation])):
        found = []
        for loss, kind in zip((plain(), focal(0.0)), kinds, strict=True):
            value, dy = backend.empty(1, "float64"), backend.empty(p.shape, "float64")
            loss.evaluate(backend, y, p if kind is None else z, value, dy, None, kind)
            found.append((float(value[0]), backend.to_numpy(dy)))
        assert found[1][0] == pytest.approx(found[0][0], rel=1e-12)
        np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-9, atol=1e-13)


@BOTH
def test_the_fused_form_is_the_loss_of_the_activations_output(
    backend: Backend, rng: np.random.Generator, plain: type, focal: type, activation: str
) -> None:
    loss = focal(2.0, 1e-12)
    y, z = on(backend, rng.dirichlet(np.ones(4), 6), 3.0 * rng.standard_normal((6, 4)))
    value, dz = backend.empty(1, "float64"), backend.empty(z.shape, "float64")
    loss.evaluate(backend, y, z, value, dz, None, loss.fused[activation])
    layer = nnx.layers.get(activation)
    layer.build(4, device=backend, dtype="float64")
    p = layer.forward(z).copy()
    assert float(value[0]) == pytest.approx(float(loss(y, p)), rel=1e-10)
    unfused = layer.backward(loss.gradient(y, p))
    np.testing.assert_allclose(backend.to_numpy(dz), backend.to_numpy(unfused), rtol=1e-8, atol=1e-13)


def test_what_is_predicted_well_counts_less() -> None:
    p = np.array([[0.9, 0.1]])
    y = np.array([[1.0, 0.0]])
    ratio = float(nnx.CategoricalFocalCrossEntropy(2.0)(y, p)) / float(nnx.CategoricalCrossEntropy()(y, p))
    assert ratio == pytest.approx(0.01, rel=1e-12)  # (1 − 0.9)²


@BOTH
@pytest.mark.parametrize("labels", [False, True])
def test_smoothing_is_the_loss_of_smoothed_targets(
    backend: Backend, rng: np.random.Generator, plain: type, focal: type, activation: str, labels: bool
) -> None:
    if labels and activation == "sigmoid":
        pytest.skip("labels are for the categorical losses")
    numbers = rng.integers(0, 4, 6)
    dense = np.eye(4)[numbers]
    smoothed = 0.8 * dense + 0.2 / (2 if activation == "sigmoid" else 4)
    z = backend.asarray(rng.standard_normal((6, 4)))
    y = backend.asarray(numbers) if labels else backend.asarray(dense)
    for kind in (plain, focal):
        found = []
        for loss, targets in ((kind(label_smoothing=0.2), y), (kind(), backend.asarray(smoothed))):
            value, dz = backend.empty(1, "float64"), backend.empty(z.shape, "float64")
            loss.evaluate(backend, targets, z, value, dz, None, loss.fused[activation])
            found.append((float(value[0]), backend.to_numpy(dz)))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-13)
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("width", [4, 200])
def test_a_training_with_smoothing_is_one_on_smoothed_targets(
    rng: np.random.Generator, device: str, width: int
) -> None:
    """Also in networks so small that a compiled loop would take all steps: it knows no smoothing."""
    x, labels = rng.standard_normal((60, 3)), rng.integers(0, 3, 60)
    smoothed = 0.9 * np.eye(3)[labels] + 0.1 / 3
    found = []
    for loss, y in (
        (nnx.CategoricalCrossEntropy(label_smoothing=0.1), labels),
        (nnx.CategoricalCrossEntropy(label_smoothing=0.1), np.eye(3)[labels]),
        (nnx.CategoricalCrossEntropy(), smoothed),
    ):
        layers = [nnx.Dense(3, width, activation="tanh"), nnx.Dense(3), nnx.Softmax()]
        network = nnx.Network(layers, device=device, dtype="float64", seed=0)
        history = network.fit(x, y, loss=loss, optimizer=nnx.Adam(0.01), epochs=5, batch_size=20)
        found.append((history["loss"], network.predict(x)))
    for losses, predicted in found[:2]:
        np.testing.assert_allclose(losses, found[2][0], rtol=1e-9)
        np.testing.assert_allclose(predicted, found[2][1], rtol=1e-7)


def test_without_smoothing_the_configuration_is_that_of_older_versions() -> None:
    assert nnx.BinaryCrossEntropy().config() == {"epsilon": 1e-7, "from_logits": False}
    again = nnx.losses.get(
        {"name": "focal", **nnx.CategoricalFocalCrossEntropy(1.5, label_smoothing=0.1).config()}
    )
    assert (again.gamma, again.label_smoothing, again.parameter) == (1.5, 0.1, (1e-7, 1.5))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"CategoricalCrossEntropy: label_smoothing must lie in \[0, 1\)"
    ):
        nnx.CategoricalCrossEntropy(label_smoothing=1.0)
    with pytest.raises(ConfigurationError, match=r"BinaryFocalCrossEntropy: gamma must lie in \[0, inf\)"):
        nnx.BinaryFocalCrossEntropy(-1.0)
