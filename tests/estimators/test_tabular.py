"""Tables as they are, to classes and numbers."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_tables import classes_for, numbers_for, table

import nnx
from nnx.estimators import TabularClassifier, TabularRegressor

QUICK = {"hidden_layer_sizes": 24, "members": 2, "epochs": 40, "learning_rate": 0.01, "random_state": 0}
TRAIN, TEST = table(400), table(200, seed=1)


def test_classes_of_texts_from_numbers_categories_and_gaps():
    model = TabularClassifier(**QUICK).fit(TRAIN, classes_for(TRAIN))
    assert model.classes_.tolist() == ["high", "low", "middle"]
    p = model.predict_proba(TEST)
    assert p.shape == (200, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    assert (model.predict(TEST) == classes_for(TEST)).mean() > 0.85


def test_pandas_polars_and_arrays_give_the_same_model():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    y = numbers_for(TRAIN)
    given = {name: [None if cell != cell else cell for cell in cells] for name, cells in TRAIN.items()}
    expected = TabularRegressor(**QUICK | {"epochs": 3}).fit(TRAIN, y).predict(TEST)
    for frame in (pandas.DataFrame(TRAIN), polars.DataFrame(given)):
        model = TabularRegressor(**QUICK | {"epochs": 3}).fit(frame, y)
        assert model.feature_names_in_.tolist() == ["size", "weight", "colour"]
        np.testing.assert_array_equal(model.predict(pandas.DataFrame(TEST)), expected)


def test_columns_of_a_mapping_are_found_by_name():
    model = TabularRegressor(**QUICK | {"epochs": 3}).fit(TRAIN, numbers_for(TRAIN))
    other_order = {name: TEST[name] for name in ("colour", "weight", "size")}
    np.testing.assert_array_equal(model.predict(other_order), model.predict(TEST))
    with pytest.raises(nnx.DataError, match="colour"):
        model.predict({"size": [1.0], "weight": [1.0]})


def test_a_new_category_and_a_missing_number_are_no_errors():
    model = TabularClassifier(**QUICK | {"epochs": 3}).fit(TRAIN, classes_for(TRAIN))
    p = model.predict_proba({"size": [None, 1.0], "weight": [0.1, 0.2], "colour": ["violet", None]})
    assert np.isfinite(p).all()


def test_class_weights_move_the_answers_to_the_rare_class():
    y = np.where(numbers_for(TRAIN) + np.random.default_rng(3).standard_normal(400) > 3.0, "rare", "usual")
    shares = []
    for class_weight in (None, "balanced", {"rare": 30.0}):
        model = TabularClassifier(**QUICK | {"epochs": 10}, class_weight=class_weight).fit(TRAIN, y)
        shares.append((model.predict(TEST) == "rare").mean())
    assert shares[0] < shares[1] < shares[2]


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    y, weights = classes_for(TRAIN), np.ones(400)
    weights[300:] = 0.0
    some = {name: cells[:300] for name, cells in TRAIN.items()}
    odd = {name: cells.copy() for name, cells in TRAIN.items()}
    odd["size"][300:], odd["colour"][300:] = 1e9, "violet"
    short = QUICK | {"epochs": 3}
    expected = TabularClassifier(**short).fit(some, y[:300], sample_weight=np.ones(300)).predict_proba(TEST)
    model = TabularClassifier(**short).fit(odd, y, sample_weight=weights)
    np.testing.assert_array_equal(model.predict_proba(TEST), expected)


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_the_error_names_all_that_is_too_short(estimator):
    y = np.arange(398) % 2
    with pytest.raises(nnx.DataError, match="X has 400 rows, but y and sample_weight have 398"):
        estimator(**QUICK).fit(TRAIN, y, sample_weight=np.ones(398))
    with pytest.raises(ValueError, match=r"sample_weight\.shape == \(398,\), expected \(400,\)"):
        estimator(**QUICK).fit(TRAIN, np.arange(400) % 2, sample_weight=np.ones(398))


@pytest.mark.parametrize("form", ["a mapping", "pandas"])
@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_rows_of_weight_zero_may_hold_what_no_row_may(estimator, form):
    form = dict if form == "a mapping" else pytest.importorskip("pandas").DataFrame
    y = classes_for(TRAIN) if estimator is TabularClassifier else numbers_for(TRAIN)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 400)
    weights[[0, 7, 399]] = 0.0
    odd = {name: cells.copy() for name, cells in TRAIN.items()}
    odd["size"] = odd["size"].astype(object)
    odd["weight"][0], odd["size"][7], odd["size"][399] = np.inf, "large", -np.inf
    nothing = y.astype(object)
    nothing[weights == 0.0] = np.nan
    short, kept = QUICK | {"epochs": 3}, weights > 0.0
    some = {name: cells[kept] for name, cells in TRAIN.items()}
    expected = estimator(**short).fit(form(some), y[kept], sample_weight=weights[kept])
    model = estimator(**short).fit(form(odd), nothing, sample_weight=weights)
    assert model.encoder_.to_record() == expected.encoder_.to_record()
    np.testing.assert_array_equal(model.predict(form(TEST)), expected.predict(form(TEST)))
    weights[0] = 0.1
    with pytest.raises(nnx.DataError, match=r"row 0 .*weight.*infinity"):
        estimator(**short).fit(form(odd), y, sample_weight=weights)


def test_smoothing_keeps_probabilities_from_the_ends():
    y = classes_for(TRAIN)
    largest = [
        TabularClassifier(**QUICK, early_stopping=False, label_smoothing=smoothing)
        .fit(TRAIN, y).predict_proba(TRAIN).max(axis=1).mean()
        for smoothing in (0.0, 0.3)
    ]  # fmt: skip
    assert largest[0] > 0.9
    assert largest[1] < 0.85  # the best answer is 0.8


def test_the_same_random_state_gives_the_same_bytes():
    y = classes_for(TRAIN)
    short = QUICK | {"epochs": 3}
    one, other = (TabularClassifier(**short).fit(TRAIN, y).predict_proba(TEST) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"members": 0}, "members"),
        ({"epochs": "all"}, "epochs must be a positive integer or 'auto'"),
        ({"numeric_embedding": "linear"}, "unknown numeric_embedding 'linear'"),
        ({"activation": "rely"}, "relu"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"class_weight": {"purple": 2.0}}, "purple"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": "8 tanh"}, "hidden_layer_sizes"),
        ({"precision": "half"}, "precision"),
        ({"kinds": {"heigth": "number"}}, "heigth"),
    ],
)
def test_parameters_that_are_invalid_are_refused(options, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        TabularClassifier(**QUICK | options).fit(TRAIN, classes_for(TRAIN))


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(nnx.DataError, match="only one class"):
        TabularClassifier(**QUICK).fit(TRAIN, ["a"] * 400)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TabularRegressor(**QUICK).fit(TRAIN, [1.0, 2.0])
    with pytest.raises(nnx.DataError, match="no column to learn from"):
        TabularRegressor(**QUICK).fit({"a": [1.0, 1.0, 1.0]}, [1.0, 2.0, 3.0])
    with pytest.raises(nnx.ConfigurationError, match="unknown loss"):
        TabularRegressor(**QUICK, loss="poisson").fit(TRAIN, numbers_for(TRAIN))
    kinds = dict.fromkeys(TRAIN, "ignore")
    with pytest.raises(nnx.DataError, match="size is ignored, as you chose"):
        TabularRegressor(**QUICK, kinds=kinds).fit(TRAIN, numbers_for(TRAIN))


def test_missing_targets_of_pandas_are_named():
    pandas = pytest.importorskip("pandas")
    y = pandas.Series(classes_for(TRAIN), dtype="string")
    y[3] = y[5] = pandas.NA
    with pytest.raises(nnx.DataError, match="Input y contains NaN: 2 missing values, first in row 3"):
        TabularClassifier(**QUICK).fit(TRAIN, y)
