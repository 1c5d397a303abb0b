"""Gradients of predictions in X are those of finite differences; importances find the features that count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from support.estimated import AUTOENCODER, CLASSIFIER, DIGITS, LABELS, REGRESSOR, X, Y, fitted

import nnx
from nnx.estimators import NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")

SOME = X[::15]
STEP = 1e-6


def differences(function, x=SOME):
    """∂f(x_i)/∂x_i of a function of rows that returns a number for each, by central differences."""
    found = np.empty_like(x)
    for column in range(x.shape[1]):
        change = STEP * (np.arange(x.shape[1]) == column)
        found[:, column] = (function(x + change) - function(x - change)) / (2.0 * STEP)
    return found


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_regressor_s_gradients():
    model = fitted(REGRESSOR, activation="tanh")
    near(model.input_gradient(SOME), differences(model.predict))
    both = fitted(REGRESSOR, y=np.column_stack([Y, X[:, 0]]), activation="tanh", dropout=0.3, residual=True,
                  hidden_layer_sizes=(10, 10))  # fmt: skip
    near(both.input_gradient(SOME, output=1), differences(lambda x: both.predict(x)[:, 1]))
    with pytest.raises(nnx.ConfigurationError, match="has 2 outputs: choose one"):
        both.input_gradient(SOME)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_s_gradients_of_logits_and_probabilities(classes):
    names = np.array(["a", "b", "c"])
    rows = classes > Y
    model = fitted(CLASSIFIER, X[rows], names[Y[rows]], activation="tanh")
    x = SOME[: len(SOME) * classes // 3]

    def logits(x):
        z = model.decision_function(x)
        return np.column_stack([-z, z]) if classes == 2 else z

    for place, name in enumerate(names[:classes]):
        near(model.input_gradient(x, name), differences(lambda x, p=place: logits(x)[:, p], x))
        near(
            model.input_gradient(x, name, of="probability"),
            differences(lambda x, p=place: model.predict_proba(x)[:, p], x),
        )
    predicted = model.predict(x)
    assert len(set(predicted)) > 1
    near(model.input_gradient(x), model.input_gradient(x, predicted))
    near(model.input_gradient(x)[:1], model.input_gradient(x[:1], predicted[0]))


def test_a_classifier_without_probabilities_has_the_gradients_of_its_decisions():
    model = fitted(CLASSIFIER, X[:100], Y[:100], activation="tanh", loss="hinge", epochs=5)
    x = X[:100:9]
    near(model.input_gradient(x, 1), differences(model.decision_function, x))
    near(model.input_gradient(x), model.input_gradient(x, model.predict(x)))
    with pytest.raises(nnx.ConfigurationError, match="trains no probabilities: use of='logit'"):
        model.input_gradient(x, of="probability")


def test_a_label_of_several_has_a_gradient():
    x, y = make_multilabel_classification(n_features=4, n_classes=3, random_state=0)
    model = fitted(CLASSIFIER, x, y, activation="tanh", epochs=3)
    near(model.input_gradient(x[:9], 2), differences(lambda x: model.decision_function(x)[:, 2], x[:9]))
    with pytest.raises(nnx.ConfigurationError, match="give the number of one, target=0"):
        model.input_gradient(x)


def test_a_code_has_a_gradient():
    model = fitted(AUTOENCODER, activation="tanh")
    near(model.input_gradient(SOME, component=1), differences(lambda x: model.transform(x)[:, 1]))


def test_sparse_rows_and_images_have_the_gradients_of_dense_rows(monkeypatch):
    monkeypatch.setattr("nnx.estimators.gradients.ROWS", 7)
    few = np.where(X > 0.5, X, 0.0)
    model = fitted(CLASSIFIER, few)
    near(model.input_gradient(sparse.csr_array(few)), model.input_gradient(few))
    near(model.gradient_importances(sparse.csr_array(few)), model.gradient_importances(few))
    images = DIGITS[:30].reshape(-1, 8, 8)
    shaped = fitted(CLASSIFIER, images, LABELS[:30], epochs=2)
    assert shaped.input_gradient(images, 3).shape == (30, 8, 8)
    assert shaped.gradient_importances(images, 3).shape == (8, 8)


def test_importances_are_their_formula_and_find_the_features_that_count(rng):
    x = rng.normal(size=(400, 5)) * [1.0, 10.0, 1.0, 1.0, 1.0]
    y = 3.0 * x[:, 0] - 0.2 * x[:, 1] + np.sin(x[:, 2])
    model = NetworkRegressor((32,), activation="tanh", learning_rate=0.01, epochs=60, random_state=0)
    found = model.fit(x, y).gradient_importances(x)
    near(found, x.std(axis=0) * np.abs(model.input_gradient(x)).mean(axis=0))
    assert found[:2] == pytest.approx([3.0, 2.0], rel=0.15)  # |slope| · deviation
    assert found[3:].max() < 0.3 * found[:3].min()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"target": 7}, "target contains unseen labels [7]: the classes of y are [0, 1, 2]"),
        ({"target": [0, 1]}, "target must be a class, or one for each of 10 rows"),
        ({"of": "loss"}, "of must be 'logit' or 'probability', not 'loss'"),
    ],
)
def test_what_is_no_class_or_no_function_is_refused(arguments, text):
    with pytest.raises((nnx.DataError, nnx.ConfigurationError)) as caught:
        fitted(CLASSIFIER, epochs=1).input_gradient(SOME, **arguments)
    assert text in str(caught.value)
    with pytest.raises(ValueError, match="4 features"):
        NetworkClassifier(epochs=1).fit(X, Y).input_gradient(SOME[:, :3])
