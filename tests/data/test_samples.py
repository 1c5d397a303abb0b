"""Data of any kind becomes finite numbers that fit the network and the loss, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.classifiers import same_bytes
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_data_is_left_as_it_was_given():
    x, y, weights = X.copy(), Y.copy(), np.ones(37, np.float32)
    for rows in (8, 37):
        fit(regressor(), x=x, y=y, batch_size=rows, sample_weight=weights)
    autoencoder = nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)], seed=0)
    fit(autoencoder, x=x, y=x)
    assert (x.tobytes(), y.tobytes()) == (X.tobytes(), Y.tobytes())
    assert (weights == 1.0).all()


def test_lists_and_integers_are_data_too():
    a, b = regressor(), regressor()
    fit(a, x=X.astype(int).tolist(), y=Y.tolist()), fit(b, x=X.astype(int).astype(np.float32))
    same_bytes(a, b)


def test_one_array_given_twice_trains_like_two_equal_ones():
    for rows in (8, 37):
        a, b = (nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)], seed=0) for _ in "ab")
        fit(a, x=X, y=X, batch_size=rows), fit(b, x=X, y=X.copy(), batch_size=rows)
        same_bytes(a, b)


def test_one_column_of_targets_may_be_flat():
    def one(y):
        network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(1)], seed=0)
        fit(network, y=y, validation=0.1)
        return network

    same_bytes(one(Y[:, 0]), one(Y[:, :1]))


def test_a_share_for_validation_is_the_last_rows_before_any_shuffle():
    a, b = regressor(), regressor()
    ha = fit(a, validation=0.25)
    cut = 37 - round(37 * 0.25)
    hb = fit(b, x=X[:cut], y=Y[:cut], validation=(X[cut:], Y[cut:]))
    same_bytes(a, b)
    assert ha.metrics == hb.metrics
    assert ha["val_loss"][-1] == pytest.approx(
        float(np.mean((a.predict(X[cut:]) - Y[cut:]) ** 2)), rel=1e-5
    )  # fmt: skip


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, 0.999])
def test_a_share_that_leaves_nothing_is_refused(fraction):
    with pytest.raises(nnx.ConfigurationError, match="leaves no rows"):
        fit(regressor(), validation=fraction)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "y", "sample_weight", "validation"])
def test_values_that_are_not_finite_are_found_before_training(where, value):
    data = {"x": X.copy(), "y": Y.copy(), "sample_weight": np.ones(37, np.float32)}
    network = regressor()
    before = network.weights()
    if where == "validation":
        bad = X.copy()
        bad[5, 1] = value
        data["validation"] = (bad, Y)
    else:
        data[where][5] = value
    hint = r": in float32, numbers above 3\.4e38 are infinite" if np.isinf(value) else ""
    with pytest.raises(nnx.DataError, match=rf"NaN or infinite, first in row 5{hint}$") as caught:
        fit(network, **data)
    assert str(caught.value).startswith("x" if where == "validation" else where)
    for name, kept in network.weights().items():
        assert kept.tobytes() == before[name].tobytes()


def test_a_number_too_large_for_the_dtype_is_named():
    x = X.astype(np.float64)
    x[30, 2] = 1e300
    with pytest.raises(nnx.DataError, match=r"x .*NaN or infinite.* row 30"):
        fit(regressor(), x=x)
    assert np.isfinite(fit(regressor(dtype="float64"), x=x)["loss"][0])


@pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
def test_masked_cells_are_refused_and_an_empty_mask_is_not(name):
    """Below the mask lie numbers that are not data: NumPy's functions use them without a word."""
    data = {"x": X, "y": Y, "sample_weight": np.ones(37, np.float32)}
    plain, unmasked = regressor(), regressor()
    fit(plain, **data)
    fit(unmasked, **{key: np.ma.masked_array(value) for key, value in data.items()})
    same_bytes(plain, unmasked)
    masked = np.ma.masked_array(data[name], mask=np.arange(data[name].size).reshape(data[name].shape) == 9)
    row = 9 // (data[name].size // 37)
    with pytest.raises(nnx.DataError, match=rf"^{name} has 1 masked cell, first in row {row}: fill them"):
        fit(regressor(), **data | {name: masked})


def test_masked_cells_are_refused_by_a_prediction():
    with pytest.raises(nnx.DataError, match=r"^x has 37 masked cells, first in row 0"):
        regressor().predict(np.ma.masked_array(X, mask=[[True, False, False]] * 37))
