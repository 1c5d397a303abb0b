"""Denoising, sparse, contractive and tied autoencoders: what their arguments do, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.preprocessing import MinMaxScaler

import nnx
from nnx.errors import ConfigurationError
from nnx.estimators import Autoencoder

pytestmark = pytest.mark.usefixtures("on_cpu")
X = MinMaxScaler().fit_transform(load_digits().data[:600]).astype(np.float32)


def fitted(width=16, hidden=(), **options):
    usual = {"epochs": 30, "learning_rate": 0.01, "random_state": 0}
    return Autoencoder(width, hidden, **usual | options).fit(X)


def test_a_denoising_autoencoder_restores_damaged_rows_better():
    rng = np.random.default_rng(0)
    damaged = X * (rng.uniform(size=X.shape) >= 0.4)
    errors = [
        np.mean((fitted(32, 64, noise=noise, noise_level=0.4).network_.predict(damaged) - X) ** 2)
        for noise in (None, "mask")
    ]
    assert errors[1] < 0.7 * errors[0]


def test_noise_changes_training_only():
    one = fitted(noise="gaussian", noise_level=0.3, epochs=2)
    np.testing.assert_array_equal(one.transform(X), one.transform(X))
    other = fitted(noise="gaussian", noise_level=0.3, epochs=2)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    assert not np.array_equal(one.transform(X), fitted(epochs=2).transform(X))


def test_a_sparse_code_is_active_for_few_rows_or_has_the_target_s_mean():
    plain, sparse = (
        np.mean(fitted(32, code_activation="relu", sparsity=sparsity, sparsity_weight=3e-3).transform(X) > 0)
        for sparsity in (None, "l1")
    )
    assert sparse < 0.8 * plain
    kl = fitted(32, sparsity="kl", sparsity_weight=0.1, sparsity_target=0.1, epochs=60).transform(X)
    assert np.abs(kl.mean(axis=0) - 0.1).mean() < 0.05
    assert ((kl > 0) & (kl < 1)).all()


def test_a_contractive_code_follows_its_input_less():
    def norm(model):
        step = np.eye(X.shape[1], dtype=np.float32) * 1e-2
        base = model.transform(X[:1])
        return np.sum(((model.transform(X[:1] + step) - base) / 1e-2) ** 2)

    plain = fitted(16, code_activation="sigmoid")
    assert norm(fitted(16, code_activation="sigmoid", contraction=0.03)) < 0.5 * norm(plain)
    deep = fitted(8, (24, 16), activation="tanh", contraction=0.03)
    assert norm(deep) < 0.5 * norm(fitted(8, (24, 16), activation="tanh"))


def test_tied_weights_are_the_encoder_s():
    model = fitted(16, 32, tied=True)
    layers = model.network_.layers
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Dense", "ReLU", "Dense", "TiedDense", "ReLU", "TiedDense"]
    assert [layers[3].other, layers[5].other] == [layers[2], layers[0]]
    assert model.network_.parameter_count() == 64 * 32 + 32 + 32 * 16 + 16 + 32 + 64
    assert model.score(X) > 0.6


def test_the_loss_curves_include_the_terms():
    model = fitted(8, sparsity="kl", sparsity_weight=0.5, epochs=3)
    found = model.network_.evaluate(X, X, loss="mse", metrics=["mse"])
    assert found["loss"] == pytest.approx(found["mse"] + found["sparsity"], rel=1e-5)
    assert model.loss_curve_[-1] > found["mse"]


def test_everything_at_once_on_images_with_dropout_copied_pickled_and_saved(tmp_path):
    images = X.reshape(-1, 8, 8)
    model = Autoencoder(
        4, (20, "10 tanh"), noise="mask", sparsity="l1", tied=True, dropout=0.1, epochs=2, random_state=1
    )  # fmt: skip
    model = clone(model).fit(images)
    codes = model.transform(images)
    assert codes.shape == (600, 4)
    assert model.inverse_transform(codes).shape == images.shape
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.transform(images), codes)
    model.network_.save(tmp_path / "model.safetensors")
    loaded = nnx.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(images), model.network_.predict(images))
    np.testing.assert_array_equal(loaded[: loaded.encoder_length].predict(images), codes)


def test_a_run_with_every_part_resumes_to_the_same_bits(tmp_path):
    options = {"noise": "gaussian", "contraction": 0.01, "tied": True, "epochs": 4, "code_activation": "tanh"}
    whole = Autoencoder(4, (), random_state=3, **options).fit(X)
    for epochs in (2, 4):
        checkpoint = nnx.Checkpoint(tmp_path, every=3, resume=epochs == 4)
        model = Autoencoder(4, (), random_state=3, **options | {"epochs": epochs})
        model.fit(X, checkpoint=checkpoint)
    np.testing.assert_array_equal(model.transform(X), whole.transform(X))
    assert model.loss_curve_ == whole.loss_curve_


def test_a_fit_that_continues_must_have_the_same_family():
    model = fitted(4, epochs=1, warm_start=True, noise="mask")
    model.fit(X)
    with pytest.raises(ConfigurationError, match=r"noise_level=0\.3"):
        model.set_params(noise_level=0.3).fit(X)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": "salt"}, "noise must be None, 'gaussian' or 'mask'"),
        ({"noise": "mask", "noise_level": 1.0}, "noise_level must lie"),
        ({"sparsity": "l2"}, "sparsity must be None, 'l1' or 'kl'"),
        ({"sparsity": "kl", "code_activation": "relu"}, "needs a code from 0 to 1"),
        ({"sparsity_weight": -1}, "sparsity_weight must lie"),
        ({"sparsity_target": 0}, "sparsity_target must lie"),
        ({"contraction": -1}, "contraction must lie"),
        ({"contraction": 0.1, "dropout": 0.1}, "contraction=0.1: Contractive takes dense layers"),
        ({"contraction": 0.1, "activation": "gelu"}, "contraction=0.1: Contractive takes dense layers"),
        ({"tied": "yes"}, "tied must be"),
        ({"tied": True, "hidden_layer_sizes": ("batch_norm", 4)}, "tied=True: an encoder"),
        ({"code_activation": "rely"}, "did you mean 'relu'"),
    ],
)
def test_wrong_arguments_are_one_line(options, said):
    with pytest.raises(ConfigurationError, match=said) as error:
        Autoencoder(2, **{"hidden_layer_sizes": 5, "epochs": 1} | options).fit(X)
    assert "\n" not in str(error.value)
