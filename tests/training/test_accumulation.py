"""Gradient accumulation: a step of several batches is that of one large batch, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import fit, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")
WEIGHTS = np.random.default_rng(3).uniform(0.0, 2.0, 37)
WEIGHTS[:9] = 0.0  # some batches have no weight at all


def layers():
    return [
        nnx.Dense(3, 8), nnx.L1Sparsity(0.1), nnx.Tanh(), nnx.Dropout(0.3),
        nnx.Residual([nnx.Dense(8), nnx.LayerNorm()]), nnx.Dense(2),
    ]  # fmt: skip


def trained(dtype="float64", made=layers, **options):
    network = nnx.Network(made(), dtype=dtype, seed=0)
    return network, fit(network, epochs=3, **options)


CASES = {
    "all rows in one step": (8, 5, {}),
    "the last step has one batch": (8, 4, {}),
    "the last step has fewer batches, the last batch fewer rows": (4, 5, {}),
    "batches of one row": (1, 6, {}),
    "weights": (4, 3, {"sample_weight": WEIGHTS}),
    "a fixed order, clipped": (5, 3, {"shuffle": False, "optimizer": nnx.SGD(0.1, clip_norm=0.1)}),
    "validation": (4, 5, {"validation": 0.2, "metrics": ["mae"]}),
}


@pytest.mark.parametrize(("rows", "count", "options"), CASES.values(), ids=list(CASES))
def test_a_step_is_that_of_the_large_batch(rows, count, options):
    network, history = trained(batch_size=rows, accumulate=count, **options)
    limit = round(37 * (1 - options.get("validation", 0)))
    large, expected = trained(batch_size=min(rows * count, limit), **options)
    assert history.steps == expected.steps
    assert history.metrics.keys() == expected.metrics.keys()
    for name in expected.metrics:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-12)
    for name, value in large.weights().items():
        np.testing.assert_allclose(network.weights()[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_same_in_float32():
    network, history = trained("float32", batch_size=4, accumulate=3, sample_weight=WEIGHTS)
    large, expected = trained("float32", batch_size=12, sample_weight=WEIGHTS)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    for name, value in large.weights().items():
        # Adam divides by the root of the squares: where these are near 0, rounding is seen most
        np.testing.assert_allclose(network.weights()[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_one_is_as_without():
    network, history = trained(batch_size=8, accumulate=1)
    plain, expected = trained(batch_size=8)
    assert history["loss"] == expected["loss"]
    for name, value in plain.weights().items():
        assert value.tobytes() == network.weights()[name].tobytes()


def test_labels_and_images():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 6, 6, 2)), generator.integers(0, 3, 20)

    def made():
        return nnx.Network(
            [nnx.Conv2D(4, 3), nnx.ReLU(), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()],
            device="numpy", dtype="float64", seed=0,
        )  # fmt: skip

    one, other = made(), made()
    options = {"loss": "cross_entropy", "optimizer": nnx.SGD(0.1, momentum=0.9), "epochs": 2}
    found = one.fit(x, y, batch_size=3, accumulate=4, **options)
    expected = other.fit(x, y, batch_size=12, **options)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-12)


def test_the_first_layer_with_a_fault_is_named():
    x = X.copy()
    x[3] = 1e30
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=0)
    plain = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=0)
    texts = []
    for one, options in ((network, {"batch_size": 2, "accumulate": 4}), (plain, {"batch_size": 8})):
        before = one.weights()
        with pytest.raises(nnx.TrainingError) as caught:
            fit(one, x, optimizer=nnx.SGD(0.1), shuffle=False, **options)
        texts.append(str(caught.value))
        assert all((value == before[name]).all() for name, value in one.weights().items())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("optimizer", [nnx.Adam, lambda rate: nnx.SGD(rate, momentum=0.9, clip_norm=0.05)])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_sparse_table_is_updated_in_the_rows_that_any_piece_used(optimizer, weights):
    """Of 40 rows, a step uses at most 18: one pass over them, or three pieces that share some of them."""
    x, y = np.random.default_rng(0).integers(0, 40, (37, 2)), np.linspace(-1.0, 1.0, 37)[:, None]
    x[:, 1] %= 4  # so that each piece uses these rows
    found = []
    for rows, pieces in ((3, 3), (9, 1)):
        made = [nnx.Embedding(40, 4, sparse=True), nnx.Flatten(), nnx.Dense(1)]
        network = nnx.Network(made, dtype="float64", seed=0)
        rule = optimizer(0.05)
        network.fit(x, y, loss=nnx.MeanSquaredError(), optimizer=rule, epochs=3, batch_size=rows,
                    accumulate=pieces, sample_weight=weights)  # fmt: skip
        found.append(network.weights())
    for name, value in found[1].items():
        np.testing.assert_allclose(found[0][name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("value", [0, 1.5, "2"])
def test_a_wrong_number_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="accumulate must be"):
        fit(regressor(), accumulate=value)


def test_y_may_be_x():
    one, other = (
        nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)], device="numpy", dtype="float64", seed=0)
        for _ in range(2)
    )
    x = X.astype(float)
    found, expected = fit(one, x, x, batch_size=4, accumulate=2), fit(other, x, x, batch_size=8)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-12)
