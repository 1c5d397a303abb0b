"""All estimators train, pickle, resume and stop in the same way, on data of any kind."""

from __future__ import annotations

import doctest
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from support.estimated import ALL, CLASSIFIER, DIGITS, LABELS, REGRESSOR, X, Y, fitted, outputs

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_an_estimator_is_pickled_with_what_it_has_learnt(estimator):
    model = fitted(estimator)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for again in (joblib.load(file), pickle.loads(pickle.dumps(model))):
        assert (outputs(again) == outputs(model)).all()
        assert again.loss_curve_ == model.loss_curve_
        again.partial_fit(X, Y)


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_the_same_random_state_gives_the_same_numbers(estimator):
    assert (outputs(fitted(estimator)) == outputs(fitted(estimator))).all()
    assert not (outputs(fitted(estimator, random_state=1)) == outputs(fitted(estimator))).all()
    generator = np.random.RandomState(0)  # handed on from fit to fit
    first, second = (outputs(clone(estimator).set_params(random_state=generator).fit(X, Y)) for _ in range(2))
    assert not (first == second).all()


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_a_dtype_is_kept_and_computed_in(estimator, dtype):
    model = fitted(estimator, X.astype(dtype))
    assert model.network_.dtype == dtype
    if not isinstance(model, NetworkClassifier):
        assert outputs(model, X.astype(dtype)).dtype == dtype
    exact = fitted(estimator)
    assert np.allclose(model.loss_curve_, exact.loss_curve_, rtol=0.05)
    assert (model.loss_curve_ == exact.loss_curve_) == (dtype == np.float64)


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_a_precision_decides_whatever_the_type_of_the_data(estimator, precision):
    model = fitted(estimator, X, precision=precision, device="numpy")
    assert model.network_.precision == precision
    stored = "float64" if precision == "float64" else "float32"
    same = fitted(estimator, X.astype(stored), precision=precision, device="numpy")
    assert (outputs(model) == outputs(same)).all()
    again = pickle.loads(pickle.dumps(model))
    assert again.network_.precision == precision
    assert (outputs(again) == outputs(model)).all()
    assert clone(model).get_params()["precision"] == precision
    exact = fitted(estimator, device="numpy")
    assert (model.loss_curve_ == exact.loss_curve_) == (precision == "float64")
    assert np.allclose(model.loss_curve_, exact.loss_curve_, rtol=0.05)


def test_auto_is_the_precision_that_the_network_chooses():
    chosen = nnx.Network([nnx.Dense(2, 1)], precision="auto").precision
    assert fitted(CLASSIFIER, precision="auto").network_.precision == chosen


def test_a_warm_start_cannot_change_the_precision():
    model = fitted(CLASSIFIER, warm_start=True, precision="float32", device="numpy")
    with pytest.raises(nnx.ConfigurationError, match="precision='float32'"):
        model.set_params(precision="bfloat16").fit(X, Y)


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_sparse_data_are_the_same_data(estimator):
    few = np.where(X > 0.5, X, 0.0)
    model, other = fitted(estimator, few), fitted(estimator, sparse.csr_matrix(few))
    assert (outputs(model, few) == outputs(other, few)).all()
    assert np.allclose(outputs(other, sparse.csc_array(few)), outputs(other, few))
    assert other.score(sparse.csr_array(few), Y) == pytest.approx(model.score(few, Y))


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_the_device_is_the_one_that_was_named(estimator, backend):
    model = fitted(estimator, device=backend.name)
    assert model.network_.backend.name == backend.name
    found, expected = outputs(model), outputs(fitted(estimator, device="numpy"))
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_early_stopping_keeps_the_best_epoch():
    model = fitted(CLASSIFIER, early_stopping=True, validation_fraction=0.2, patience=3, epochs=2000)
    curve = model.validation_loss_curve_
    assert model.n_iter_ == len(curve) == len(model.loss_curve_) < 2000
    assert np.argmin(curve) == len(curve) - 1 - 3
    assert min(curve) < model.loss_curve_[0]


def test_a_warning_comes_where_the_loss_still_improved_and_nowhere_else():
    with pytest.warns(ConvergenceWarning, match="still improved when the last of epochs=3 ended") as caught:
        fitted(CLASSIFIER, early_stopping=True, epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(CLASSIFIER, epochs=3)  # as many as were asked for
        clone(CLASSIFIER).set_params(early_stopping=True).partial_fit(X, Y)
    assert len(caught) == 1


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_partial_fits_add_up_to_a_fit(estimator):
    whole, parts = fitted(estimator, epochs=4), clone(estimator)
    for _ in range(4):
        parts.partial_fit(X, Y)
    assert (outputs(whole) == outputs(parts)).all()
    assert whole.loss_curve_ == parts.loss_curve_
    assert parts.n_iter_ == 4


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_a_warm_start_continues_training(estimator):
    model = fitted(estimator, warm_start=True, epochs=2)
    assert (outputs(model.fit(X, Y)) == outputs(fitted(estimator, epochs=4))).all()
    assert model.n_iter_ == 4
    model.set_params(learning_rate=1e-4).fit(X, Y)
    assert model.n_iter_ == 6
    with pytest.raises(nnx.ConfigurationError, match=r"hidden_layer_sizes=10.*hidden_layer_sizes=\(7,\)"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, Y)
    assert model.set_params(warm_start=False).fit(X, Y).n_iter_ == 2


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_rows_of_several_axes_teach_what_flat_rows_teach(estimator):
    images = DIGITS[:100].reshape(-1, 8, 8)
    y = LABELS[:100]
    shaped, flat = (clone(estimator).fit(x, y) for x in (images, DIGITS[:100]))
    assert shaped.network_.input_shape == (8, 8)
    np.testing.assert_array_equal(outputs(shaped, images), outputs(flat, DIGITS[:100]))
    assert shaped.score(images, y) == flat.score(DIGITS[:100], y)
    if isinstance(shaped, Autoencoder):
        assert shaped.inverse_transform(shaped.transform(images)).shape == (100, 8, 8)
    shaped.partial_fit(images, y)
    for wrong in (images[:, :, :7], DIGITS[:100, :8], images[:, :, :, None]):
        for call in (outputs, lambda one, x: one.partial_fit(x, y)):
            with pytest.raises(nnx.DataError, match=r"is expecting rows of shape \(8, 8\)"):
                call(shaped, wrong)


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_a_checkpoint_resumes_a_fit_that_was_stopped(estimator, tmp_path):
    class Stop(nnx.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 12:
                raise KeyboardInterrupt

    whole = fitted(estimator)
    stopped = clone(estimator).set_params(callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, Y, checkpoint=nnx.Checkpoint(tmp_path, every=5))
    resumed = clone(estimator)
    resumed.fit(X, Y, checkpoint=nnx.Checkpoint(tmp_path, every=5, resume=True))
    assert resumed.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(outputs(resumed), outputs(whole))


def test_each_fit_of_a_cross_validation_has_its_own_checkpoints(tmp_path):
    checkpoint = nnx.Checkpoint(tmp_path, every=50)
    given = {"params": {"checkpoint": checkpoint}, "cv": 3}
    scores = cross_val_score(CLASSIFIER, X, Y, **given)
    np.testing.assert_array_equal(scores, cross_val_score(CLASSIFIER, X, Y, cv=3))
    assert {path.name.split("-step")[0] for path in tmp_path.glob("*.safetensors")} == {
        "fit-1",
        "fit-2",
        "fit-3",
    }


def test_callbacks_are_told():
    class Count(nnx.Callback):
        seen = 0

        def on_epoch_end(self, run):
            Count.seen += 1

    fitted(REGRESSOR, callbacks=[Count()], epochs=3)
    assert Count.seen == 3


def test_a_callback_may_stop_before_the_first_epoch():
    class Stop(nnx.Callback):
        def on_train_begin(self, run):
            run.stop = "nothing to do"

    model = fitted(REGRESSOR, callbacks=[Stop()])
    assert (model.n_iter_, model.loss_curve_) == (0, [])
    assert model.predict(X).shape == (150,)


def test_losses_and_optimizers_are_named_or_given():
    names = {"optimizer": "adam", "learning_rate": 0.01, "loss": "huber"}
    given = {"optimizer": nnx.Adam(0.01), "learning_rate": None, "loss": nnx.Huber()}
    assert fitted(REGRESSOR, **names).loss_curve_ == fitted(REGRESSOR, **given).loss_curve_
    share = fitted(REGRESSOR, y=Y / 2, loss="binary_cross_entropy").predict(X * 100)
    assert share.min() >= 0.0
    assert share.max() <= 1.0
    for optimizer in ("adamw", "sgd", "rmsprop", "adagrad"):
        assert np.diff(fitted(REGRESSOR, optimizer=optimizer, learning_rate=None).loss_curve_).max() < 1.0


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_the_example_of_a_docstring_runs(estimator):
    (example,) = doctest.DocTestFinder(recurse=False).find(type(estimator), globs={})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
