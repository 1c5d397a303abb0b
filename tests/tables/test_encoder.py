"""A table as numbers and codes."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnx.errors import ConfigurationError, DataError
from nnx.estimators import NetworkRegressor
from nnx.tables import TableEncoder

TABLE = {
    "size": [1.0, 2.0, None, 4.0, 5.0],
    "colour": ["red", "blue", "red", "blue", "green"],
    "since": ["2020-01-01", "2021-02-03", "2020-05-06", None, "2022-09-09"],
    "sold": [True, False, None, None, True],
    "note": ["", "", "", "", ""],
}


@parametrize_with_checks([TableEncoder()])
def test_scikit_learn_s_suite(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one of the checks is skipped
    check(estimator)


def test_numbers_and_codes():
    encoder = TableEncoder().fit(TABLE)
    kinds = {info.name: info.kind for info in encoder.columns_}
    assert kinds == {
        "size": "number", "colour": "category", "since": "date", "sold": "boolean", "note": "ignore",
    }  # fmt: skip
    numbers, codes = encoder.encode(TABLE)
    assert numbers.dtype == np.float32
    assert numbers.shape == (5, len(encoder.number_names_))
    assert encoder.number_names_[:2] == ("size", "size: missing")
    assert encoder.number_kinds_[:3] == ("number", "indicator", "date")
    assert (encoder.code_names_, encoder.cardinalities_) == (("colour", "sold"), (3, 4))
    assert codes.T.tolist() == [[2, 1, 2, 1, 0], [3, 2, 1, 1, 3]]
    np.testing.assert_array_equal(encoder.transform(TABLE), np.hstack([numbers, codes.astype(np.float32)]))


def test_columns_are_found_by_name():
    encoder = TableEncoder().fit(TABLE)
    turned = {name: TABLE[name] for name in reversed(TABLE)} | {"more": list("abcde")}
    del turned["note"]  # nothing is needed of a column that was left out
    for table in (turned, pd.DataFrame(turned), pl.DataFrame(turned)):
        np.testing.assert_array_equal(encoder.transform(table), encoder.transform(TABLE))


def test_missing_columns_are_named():
    encoder = TableEncoder().fit(TABLE)
    with pytest.raises(DataError, match=r"X: lacks columns of the training: size, colour$"):
        encoder.transform({"since": TABLE["since"], "sold": TABLE["sold"], "note": TABLE["note"]})
    with pytest.raises(DataError, match="lacks a column of the training: colour: did you mean 'color'"):
        encoder.transform({("color" if name == "colour" else name): TABLE[name] for name in TABLE})


def test_given_kinds():
    table = {"zip": [1, 2, 1, 2], "when": ["1/2/2020", "3/4/2020", None, None], "id": list("abcd")}
    encoder = TableEncoder(kinds={"zip": "category", "when": "date:mdy", "id": "ignore"}).fit(table)
    assert [(info.kind, info.given) for info in encoder.columns_] == [
        ("category", True), ("date", True), ("ignore", True),
    ]  # fmt: skip
    assert encoder.encode(table)[1].tolist() == [[1], [2], [1], [2]]
    assert encoder.encode(table | {"zip": ["1", "2", "1.0", "01"]})[1].tolist() == [[1], [2], [1], [0]]
    by_number = TableEncoder(kinds={0: "category"}).fit(np.array([[1.0, 2.0], [1.0, 3.0]]))
    assert by_number.columns_[0].kind == "category"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kinds": {"sise": "number"}}, "there is no column 'sise': did you mean 'size'"),
        ({"kinds": {"size": "numeric"}}, "there is no kind 'numeric'"),
        ({"min_rows": 0}, "min_rows must be a positive integer"),
        ({"max_categories": 0}, "max_categories must be a positive integer"),
        ({"clip": "yes"}, "clip must be True or False"),
    ],
)
def test_wrong_parameters(options, text):
    with pytest.raises(ConfigurationError, match=text):
        TableEncoder(**options).fit(TABLE)


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"n": rng.normal(size=30), "c": rng.choice(list("abcdefgh"), 30)})
    weights = rng.integers(0, 3, 30)
    table.loc[0, "n"] = np.inf  # a row of weight 0 is not looked at
    weights[0] = 0
    weighted = TableEncoder(min_rows=1).fit(table, sample_weight=weights)
    repeated = TableEncoder(min_rows=1).fit(table.loc[np.repeat(np.arange(30), weights)])
    assert weighted.to_record() == repeated.to_record()
    with pytest.raises(ValueError, match=r"weights are 0|non-zero"):
        TableEncoder().fit(table, sample_weight=np.zeros(30))


def test_small_weights_make_no_category_rare():
    table = {"c": ["a", "a", "b", "b", "x"]}
    weights = np.full(5, 0.01)
    for codes in ([1, 1, 2, 2, 0], [0, 0, 1, 1, 0]):
        encoder = TableEncoder().fit(table, sample_weight=weights)
        assert encoder.encode(table)[1][:, 0].tolist() == codes
        weights[:2] = 0.0  # such rows do not count at all


def test_an_error_names_the_row_of_the_table_also_with_weights():
    with pytest.raises(DataError, match=r"row 3 .*column a: 'x' is not a number"):
        TableEncoder().fit({"a": ["0", "1", "2", "x"]}, sample_weight=[0, 1, 1, 1])


def test_what_is_unusual_in_a_new_table_is_noted():
    table = {"n": [1.0, 2.0, 3.0], "c": ["a", "a", "b"], "d": ["2020-01-01", "2020-03-01", "2020-06-01"]}
    encoder = TableEncoder().fit(table)
    assert encoder.notes({"n": [4.9, 1.0], "c": ["a", "a"], "d": ["2020-10-01", "2019-09-01"]}) == []
    assert encoder.notes({"n": [None, 1.0], "c": ["new", None], "d": ["2020-01-01", "1970-01-02"]}) == [
        "X: column n: 1 empty cell, and training had none: each is read as the median",
        "X: column c: 2 rows with a category that training had not or hardly (first 'new'), read as unknown",
        "X: column d: 1 row far outside of training, from 2020-01-01 to 2020-06-01 (first 1970-01-02, row 1 "
        "(counted from 0)): check the units",
    ]
    assert (
        "column n: 1 row far outside of training, from 1 to 3 (first 1000"
        in encoder.notes({"n": [1000], "c": ["a"], "d": ["2020-01-01"]})[0]
    )


def test_columns_are_shown(capsys):
    encoder = TableEncoder(kinds={"note": "ignore"}).fit(TABLE | {"[red]": [0, 1, 2, 3, 4]})
    encoder.show()
    shown = capsys.readouterr().out
    for text in ("6 columns", "size", "1 to 5, median 2", "category", "blue, red, and 1", "[red]", "given"):
        assert text in shown, text
    assert encoder.rows_of_columns()[2][3] == (
        "2020-01-01 to 2022-09-09: days, year, month, day, weekday, and empty cells"
    )
    assert encoder.rows_of_columns()[4] == ("note", "ignore", "given", "")


def test_it_works_in_a_pipeline():
    pipeline = make_pipeline(TableEncoder(), NetworkRegressor((4,), epochs=2, device="numpy"))
    assert pipeline.fit(pd.DataFrame(TABLE), np.arange(5.0)).predict(pd.DataFrame(TABLE)).shape == (5,)


def test_the_same_table_gives_the_same_record():
    assert json.dumps(TableEncoder().fit(TABLE).to_record()) == json.dumps(
        TableEncoder().fit(TABLE).to_record()
    )


@pytest.mark.parametrize("kinds", ["zip", ["category"], {"zip"}])
def test_kinds_that_are_no_mapping_are_refused(kinds):
    with pytest.raises(ConfigurationError, match="kinds must be a dict"):
        TableEncoder(kinds=kinds).fit({"zip": [1, 2]})


def test_texts_of_dates_need_the_year_first_if_training_had_dates():
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    encoder = TableEncoder().fit({"since": days})
    iso, dated = (encoder.transform({"since": [cell]}) for cell in ("2020-01-02", days[1]))
    np.testing.assert_array_equal(iso, dated)
    for text in ("02.01.2020", "02/01/2020"):  # January or February?
        with pytest.raises(DataError, match=r"2020' is not a date \(ymd\)"):
            encoder.transform({"since": [text]})


def test_categories_of_long_numbers_are_never_mixed_up():
    ids = [2**53, 2**53 + 1] * 3
    with pytest.raises(DataError, match=r"row 0 .*column id: 9007199254740992 is too large for a category"):
        TableEncoder(kinds={"id": "category"}).fit({"id": ids})
    texts = TableEncoder(kinds={"id": "category"}).fit({"id": [f"{one} " for one in ids]})
    assert texts.cardinalities_ == (3,)
    with pytest.raises(DataError, match="too large for a category"):
        texts.encode({"id": ids})
    shorter = [2 * 10**15, 2 * 10**15 + 1] * 3
    encoder = TableEncoder(kinds={"id": "category"}).fit({"id": shorter})
    as_texts = encoder.encode({"id": [f"id {one}"[3:] for one in shorter]})
    np.testing.assert_array_equal(encoder.encode({"id": shorter})[1], as_texts[1])
    assert sorted(set(as_texts[1].ravel())) == [1, 2]


def arrow_dictionary(ids):
    arrow = pytest.importorskip("pyarrow")
    return arrow.table({"id": arrow.array(ids).dictionary_encode()})


@pytest.mark.parametrize(
    "table",
    [
        lambda ids: pd.DataFrame({"id": pd.Categorical(ids)}),
        lambda ids: pd.DataFrame({"id": pd.Categorical([*ids, "none"])}),
        lambda ids: {"id": [*ids, "none"]},
        lambda ids: {"id": [*map(np.int64, ids), "none"]},
        lambda ids: {"id": [*map(Decimal, ids), "none"]},
        lambda ids: [[one] for one in [*ids, "none"]],
        arrow_dictionary,
    ],
    ids=["categories", "categories and text", "text", "int64", "decimal", "rows", "dictionary of Arrow"],
)
def test_long_integers_among_texts_and_in_columns_of_categories_keep_all_digits(table):
    ids = [2**53, 2**53 + 1] * 3
    made = table(ids)
    encoder = TableEncoder(kinds={0 if isinstance(made, list) else "id": "category"}).fit(made)
    assert encoder.encode(made)[1][:6, 0].tolist() == [1, 2] * 3
    if not isinstance(made, list):
        assert encoder.encode({"id": [str(one) for one in ids]})[1][:, 0].tolist() == [1, 2] * 3


WHOLE = {
    "integers": np.array([3, 12, -4, 0, 3]),
    "floats": np.array([3.0, 12.0, -4.0, -0.0, 3.0]),
    "texts": ["3", "12", "-4", "0", "3"],
    "texts of floats": ["3.0", "12.0", "-4.0", "-0.0", "3."],
    "categories": pd.Categorical(["3.0", "12.0", "-4.0", "0.0", "3.0"]),
    "objects": np.array(["3.0", 12, -4.0, 0, 3], object),
}


@pytest.mark.parametrize("new", WHOLE)
@pytest.mark.parametrize("trained", WHOLE)
def test_whole_numbers_are_the_same_categories_however_they_are_stored(trained, new):
    encoder = TableEncoder(kinds={"n": "category"}, min_rows=1).fit(pd.DataFrame({"n": WHOLE[trained]}))
    again = TableEncoder.from_record(encoder.to_record())
    table = pd.DataFrame({"n": WHOLE[new]})
    for one in (encoder, again):
        codes = one.encode(table)[1][:, 0]
        assert codes.tolist() == [4, 3, 1, 2, 4]  # in the order of their texts
        assert one.notes(table) == []


def test_texts_that_are_no_plain_whole_numbers_stay_apart():
    texts = ["7", "007", "7.10", "7.1", "07.0", "1e3", "1000", "v2.0", ".0", None]
    codes = TableEncoder(kinds={"n": "category"}, min_rows=1).fit_transform({"n": texts})[:, 0]
    assert len(set(codes.tolist())) == len(texts)


def test_a_record_of_an_older_version_still_knows_its_categories():
    kept = TableEncoder(kinds={"n": "category"}, min_rows=1).fit({"n": ["3", "x"]}).to_record()
    changed = json.loads(json.dumps(kept).replace('"3"', '"3.0"'))
    codes = TableEncoder.from_record(changed).encode({"n": ["3.0", "x", "3"]})[1][:, 0]
    assert codes.tolist() == [1, 2, 1]


def test_a_record_of_an_older_version_keeps_3_and_3_0_apart():
    kept = TableEncoder(kinds={"n": "category"}, min_rows=1).fit({"n": ["3", "4", "x"]}).to_record()
    changed = json.loads(json.dumps(kept).replace('"4"', '"3.0"'))
    codes = TableEncoder.from_record(changed).encode({"n": ["3", "3.0", "x", "3.", "4"]})[1][:, 0]
    assert codes[:3].tolist() == [1, 2, 3]
    assert codes[3] in (1, 2)
    assert codes[4] == 0
