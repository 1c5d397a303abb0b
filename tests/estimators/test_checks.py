"""A parameter that makes no sense is refused in one line that names it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from support.estimated import CLASSIFIER, X, Y, fitted

import nnx
from nnx.estimators import ConformalRegressor, TabularRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")

BAD = {
    "loss": ({"loss": "hubber"}, "unknown loss 'hubber': did you mean 'huber'?"),
    "optimizer": ({"optimizer": "adm"}, "unknown optimizer 'adm': did you mean 'adam'?"),
    "activation": ({"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'?"),
    "a rate too many": ({"optimizer": nnx.SGD()}, "learning_rate=0.01 is given, but SGD("),
    "widths": ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes must be a positive integer, not 0"),
    "dropout": ({"dropout": 1.0}, "dropout must lie in [0, 1), not 1.0"),
    "epochs": ({"epochs": 0}, "epochs must be a positive integer, not 0"),
    "batch": ({"batch_size": "all"}, "batch_size must be a positive integer or 'auto', not 'all'"),
    "patience": ({"early_stopping": True, "patience": -1}, "patience must be a non-negative integer"),
    "scikit-learn's name of a loss": (
        {"loss": "log_loss"},
        "unknown loss 'log_loss': did you mean 'cross_entropy'?",
    ),
    "no name of a loss": (
        {"loss": ["huber"]},
        "unknown loss ['huber']: did you mean 'huber'?",
    ),
    "an optimizer's class": ({"optimizer": nnx.Adam}, "unknown optimizer <class"),
    "a width as text": (
        {"hidden_layer_sizes": "ten"},
        "hidden_layer_sizes: 'ten' is neither a width with an activation",
    ),
    "a width of 4.7": (
        {"hidden_layer_sizes": np.array(4.7)},
        "hidden_layer_sizes must be a positive integer",
    ),
    "no batch": ({"batch_size": None}, "batch_size must be a positive integer, not None"),
    "nothing held out": ({"validation_fraction": 0}, "validation_fraction must lie in (0, 1), not 0"),
    "all held out": ({"validation_fraction": 1.0}, "validation_fraction must lie in (0, 1), not 1.0"),
    "too little held out": (
        {"early_stopping": True, "validation_fraction": 0.001},
        "early_stopping=True cannot hold out validation_fraction=0.001 of 100 rows: ",
    ),
    "a flag as text": ({"early_stopping": "no"}, "early_stopping must be True or False, not 'no'"),
    "a rate as text": ({"learning_rate": "fast"}, "learning_rate must lie in [0, inf), not 'fast'"),
    "a negative factor": ({"class_weight": {1: -1}}, "class_weight of class 1 must lie in [0, inf), not -1"),
    "a factor of no class": (
        {"class_weight": {7: 2.0}},
        "class_weight names 7, which is none of the classes [0, 1]",
    ),
    "factors of 0": (
        {"class_weight": {0: 0, 1: 0}},
        "class_weight={0: 0, 1: 0}",
    ),
    "no factors": (
        {"class_weight": "balance"},
        "class_weight must be 'balanced', a dict of factors by class, or None",
    ),
    "precision": ({"precision": "bf16"}, "unknown precision 'bf16': did you mean 'bfloat16'?"),
    "device": ({"device": "gpuu"}, "unknown device 'gpuu'"),
    "categorical": ({"loss": nnx.CategoricalCrossEntropy()}, "CategoricalCrossEntropy"),
}


@pytest.mark.parametrize(("parameters", "text"), BAD.values(), ids=list(BAD))
def test_a_parameter_that_makes_no_sense_is_refused_in_a_line(parameters, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        fitted(CLASSIFIER, X[:100], Y[:100], **parameters)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def masked(values):
    """Return an array whose second row is masked."""
    values = np.asarray(values)
    mask = np.zeros(values.shape, bool)
    mask[1] = True
    return np.ma.masked_array(values, mask=mask)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val"])
def test_masked_cells_are_refused(name):
    weights = np.ones(len(Y))
    data = {"X": X, "y": Y, "sample_weight": weights}
    data |= {f"{key}_val": value for key, value in data.items()}
    with pytest.raises(nnx.DataError, match=rf"^{name} has \d+ masked cells?, first in row 1: fill them"):
        clone(CLASSIFIER).fit(**data | {name: masked(data[name])})


@pytest.mark.parametrize("model", [TabularRegressor(4, members=1, epochs=1), ConformalRegressor()])
def test_masked_targets_are_refused(model):
    with pytest.raises(nnx.DataError, match=r"^y has 1 masked cell, first in row 1"):
        model.fit(X, masked(Y.astype(float)))
    with pytest.raises(nnx.DataError, match=r"^sample_weight has 1 masked cell, first in row 1"):
        model.fit(X, Y.astype(float), sample_weight=masked(np.ones(len(Y))))


def test_a_conformal_regressor_names_the_masked_row_of_the_whole_data():
    with pytest.raises(nnx.DataError, match=rf"^X has {X.shape[1]} masked cells, first in row 1: fill"):
        ConformalRegressor().fit(masked(X), Y.astype(float))
