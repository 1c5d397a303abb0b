"""The autoencoder keeps the variance, and its codes have names and can be decoded."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.estimated import AUTOENCODER, DIGITS, LABELS, X, fitted

import nnx
from nnx.estimators import Autoencoder

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_linear_autoencoder_keeps_as_much_variance_as_pca():
    exact = PCA(2).fit(X).explained_variance_ratio_.sum()
    model = Autoencoder(2, (), learning_rate=0.01, epochs=1000, random_state=0).fit(X)
    assert exact - 1e-3 < model.score(X) <= exact


def test_a_pipeline_of_an_autoencoder_and_a_support_vector_machine():
    model = make_pipeline(Autoencoder(16, 64, epochs=30, random_state=0), StandardScaler(), SVC())
    assert model.fit(DIGITS[:1400], LABELS[:1400]).score(DIGITS[1400:], LABELS[1400:]) > 0.9


def test_names_of_features_go_in_and_out():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    pytest.importorskip("polars", reason="Polars is not installed: pip install polars")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = fitted(AUTOENCODER, frame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert model.get_feature_names_out().tolist() == ["autoencoder0", "autoencoder1"]
    for library in ("pandas", "polars"):
        codes = model.set_output(transform=library).transform(frame)
        assert type(codes).__module__.startswith(library)
        assert list(codes.columns) == ["autoencoder0", "autoencoder1"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[["a", "c", "b", "d"]])


def test_codes_are_decoded():
    model = fitted(AUTOENCODER)
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(X)), model.network_.predict(X), rtol=1e-9
    )
    assert model.network_.encoder_length == 3
    with pytest.raises(ValueError, match="3 features"):
        model.inverse_transform(np.ones((5, 3)))


def test_targets_outside_the_range_of_a_loss_are_refused():
    with pytest.raises(nnx.DataError, match=r"targets must lie in \[0, 1\]"):
        fitted(AUTOENCODER, loss="binary_cross_entropy")
