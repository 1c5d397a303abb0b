"""The estimators in pipelines, searches and pickles, and the effect of their parameters."""

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
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16.0

CLASSIFIER = NetworkClassifier(10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
REGRESSOR = NetworkRegressor(10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
AUTOENCODER = Autoencoder(2, 10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
ALL = [AUTOENCODER, CLASSIFIER, REGRESSOR]


def outputs(estimator, x=X):
    return estimator.transform(x) if hasattr(estimator, "transform") else estimator.predict(x)


def fitted(estimator, x=X, y=Y, **options):
    return clone(estimator).set_params(**options).fit(x, y)


# ------------------------------------------------------------------ what they reach


def test_the_classifier_learns_digits():
    model = NetworkClassifier(32, epochs=20, learning_rate=0.01, random_state=0).fit(
        DIGITS[:1400], LABELS[:1400]
    )
    assert model.score(DIGITS[1400:], LABELS[1400:]) > 0.9


def test_the_regressor_is_as_good_as_the_least_squares_it_contains():
    x, y = load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    exact = 1.0 - np.linalg.lstsq(x, y)[1][0] / np.sum(y**2)
    linear = NetworkRegressor((), learning_rate=0.03, epochs=500, batch_size=len(x), random_state=0).fit(x, y)
    assert linear.score(x, y) == pytest.approx(exact, abs=1e-3)


def test_a_linear_autoencoder_keeps_as_much_variance_as_pca():
    exact = PCA(2).fit(X).explained_variance_ratio_.sum()
    model = Autoencoder(2, (), learning_rate=0.01, epochs=1000, random_state=0).fit(X)
    assert exact - 1e-3 < model.score(X) <= exact


def test_two_classes_several_and_labels_that_come_together():
    two = fitted(CLASSIFIER, X[:100], np.array(["no", "yes"])[Y[:100]])
    assert two.network_.outputs == 1
    assert set(two.predict(X[:100])) == {"no", "yes"}
    assert two.decision_function(X).shape == (150,)
    p = fitted(CLASSIFIER, y=np.array([3, 5, 9])[Y]).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    x, y = make_multilabel_classification(n_classes=4, random_state=0)
    several = fitted(CLASSIFIER, x, y, epochs=200)
    assert several.predict(x).shape == y.shape
    assert several.score(x, y) > 0.7
    assert (fitted(CLASSIFIER, x, sparse.csr_array(y), epochs=200).predict(x) == several.predict(x)).all()


def test_labels_that_are_not_written_out_teach_the_same(monkeypatch):
    expected = fitted(CLASSIFIER).predict_proba(X)
    monkeypatch.setattr("nnx.estimators.supervised.ONE_HOT", 0)
    np.testing.assert_allclose(fitted(CLASSIFIER).predict_proba(X), expected, rtol=1e-9)


def test_several_targets_are_predicted_together():
    y = np.column_stack([X[:, 0], X[:, 1] - X[:, 2]])
    model = fitted(REGRESSOR, y=y, epochs=200)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.9


# ------------------------------------------------------------------- where they go


def test_a_pipeline_of_an_autoencoder_and_a_support_vector_machine():
    model = make_pipeline(Autoencoder(16, 64, epochs=30, random_state=0), StandardScaler(), SVC())
    assert model.fit(DIGITS[:1400], LABELS[:1400]).score(DIGITS[1400:], LABELS[1400:]) > 0.9


def test_a_search_in_two_processes_finds_what_one_finds():
    pipeline = make_pipeline(StandardScaler(), clone(CLASSIFIER))
    grid = {"networkclassifier__hidden_layer_sizes": [2, (10, 5)], "networkclassifier__dropout": [0.0, 0.2]}
    alone, together = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(X, Y).cv_results_["mean_test_score"]
        for jobs in (1, 2)
    )
    assert (alone == together).all()


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


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_sparse_data_are_the_same_data(estimator):
    few = np.where(X > 0.5, X, 0.0)
    model, other = fitted(estimator, few), fitted(estimator, sparse.csr_matrix(few))
    assert (outputs(model, few) == outputs(other, few)).all()
    assert np.allclose(outputs(other, sparse.csc_array(few)), outputs(other, few))
    assert other.score(sparse.csr_array(few), Y) == pytest.approx(model.score(few, Y))


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


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_the_device_is_the_one_that_was_named(estimator, backend):
    model = fitted(estimator, device=backend.name)
    assert model.network_.backend.name == backend.name
    found, expected = outputs(model), outputs(fitted(estimator, device="numpy"))
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------- training


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


def test_classes_that_come_later_are_announced():
    model = clone(CLASSIFIER).partial_fit(X[Y < 2], Y[Y < 2], classes=[2, 0, 1])
    model.partial_fit(X, Y)
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="unseen labels"):
        model.partial_fit(X, Y + 1)
    with pytest.raises(nnx.ConfigurationError, match=r"'balanced'.* partial_fit"):
        clone(CLASSIFIER).set_params(class_weight="balanced").partial_fit(X, Y)


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


def test_weights_of_classes_are_weights_of_their_rows():
    by_class = fitted(CLASSIFIER, class_weight={0: 1.0, 1: 5.0, 2: 1.0})
    by_row = clone(CLASSIFIER).fit(X, Y, sample_weight=np.array([1.0, 5.0, 1.0])[Y])
    assert (by_class.predict_proba(X) == by_row.predict_proba(X)).all()
    both = clone(by_class).fit(X, Y, sample_weight=np.where(Y == 1, 0.2, 1.0))
    np.testing.assert_allclose(both.predict_proba(X), fitted(CLASSIFIER).predict_proba(X), rtol=1e-6)
    few = np.r_[0:50, 50:60]
    found = [
        (fitted(CLASSIFIER, X[few], Y[few], class_weight=w).predict(X) == 1).sum() for w in (None, "balanced")
    ]
    assert found[1] >= found[0]


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


def test_images_go_through_a_search_and_weights():
    images = DIGITS[:120].reshape(-1, 8, 8)
    search = GridSearchCV(CLASSIFIER, {"dropout": [0.0, 0.1]}, cv=2)
    search.fit(images, LABELS[:120], sample_weight=np.arange(120.0))
    assert search.best_score_ > 0.6
    assert search.predict_proba(images).shape == (120, 10)


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
        "hidden_layer_sizes must be a positive integer, not 't'",
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
    "device": ({"device": "gpuu"}, "unknown device 'gpuu'"),
    "categorical": ({"loss": nnx.CategoricalCrossEntropy()}, "CategoricalCrossEntropy"),
}


@pytest.mark.parametrize(("parameters", "text"), BAD.values(), ids=list(BAD))
def test_a_parameter_that_makes_no_sense_is_refused_in_a_line(parameters, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        fitted(CLASSIFIER, X[:100], Y[:100], **parameters)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_targets_outside_the_range_of_a_loss_are_refused():
    with pytest.raises(nnx.DataError, match=r"targets must lie in \[0, 1\]"):
        fitted(AUTOENCODER, loss="binary_cross_entropy")


def test_scores_of_a_cross_validation_are_those_of_a_classifier():
    assert cross_val_score(clone(CLASSIFIER), X, Y, cv=3).mean() > 0.8


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_the_example_of_a_docstring_runs(estimator):
    (example,) = doctest.DocTestFinder(recurse=False).find(type(estimator), globs={})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
