"""Gaps and texts in tables become numbers, by rules learnt from the rows to train on."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from support.own_tables import PLAIN, here, read, refused, written  # noqa: F401

import nnx
from nnx.experiments.train.features import learnt
from nnx.experiments.train.labelled import Reading, load_inputs, load_labelled


@pytest.mark.parametrize("code", ["-99", "-999", "-9999.0", "99999"])
def test_numbers_that_may_mean_a_gap_are_told(code):
    rows = "".join(f"{code if i == 3 else 20 + i},{i / 7},{'ab'[i % 2]}\n" for i in range(9))
    found = read("t,p,kind\n" + rows)
    assert f"column 1 (t) is {float(code):.0f} in 1 rows, far from its other values" in found.notes[-1]
    assert found.x[3, 0] == float(code)
    rows = "".join(f"{500 * i - 999},{i / 7},{'ab'[i % 2]}\n" for i in range(9))
    assert read("t,p,kind\n" + rows).notes == ()  # a value like others


def test_gaps_are_named_all_at_once():
    text = refused("a,b,c,y\n1,,3,x\n4,NA,?,y\n7,8,9,x\n", ("y",), error=nnx.DataError)
    assert "2 columns have empty cells: line 2, column 2 (b) (2 of 3 rows); line 3, column 3 (c)" in text
    for option in ("--missing drop", "mean or median"):
        assert option in text


@pytest.mark.parametrize("gap", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", "<NA>"])
def test_rows_with_gaps_are_left_out_or_filled_from_the_rows_to_train_on(gap):
    data = f"a,b,kind\n1,2,x\n{gap},4,y\n3,6,y\n20,{gap},y\n8,9,\n"
    found = read(data, missing="drop")
    np.testing.assert_array_equal(found.x, [[1, 2], [3, 6]])
    assert found.y.tolist() == [0, 1]
    assert "3 of 5 rows have empty cells: they are left out" in found.notes[0]
    for missing in ("mean", "median"):
        found = read(data, missing=missing)
        assert "1 of 5 rows have no target" in found.notes[0]
        filled = learnt(found, np.array([0, 1, 2]))  # without the row of 20
        np.testing.assert_array_equal(filled.x, [[1, 2], [2, 4], [3, 6], [20, 4]])
        assert filled.layout.fills == (2.0, 4.0)
        assert "2 empty cells are the " + missing in filled.notes[-1]
        x, _ = load_inputs(written(f"b,a\n{gap},5\n"), filled.layout)
        np.testing.assert_array_equal(x, [[5, 4]])


@pytest.mark.parametrize(("missing", "value"), [("mean", 36.0), ("median", 3.0)])
def test_mean_and_median_are_what_their_names_say(missing, value):
    found = read("a,kind\n1,x\n2,y\n3,x\n74,y\n100,x\n,y\n", missing=missing)
    assert learnt(found, np.arange(5)).x[-1, 0] == value


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e9])
def test_what_fills_a_gap_counts_each_row_by_its_weight(missing, factor):
    """As in a table that holds each row as often as its weight says."""
    rng = np.random.default_rng(3)
    for rows in (5, 6, 7, 40):
        a, w = rng.normal(size=rows).round(3), rng.integers(0, 4, rows)
        w[:2] = 1, 0
        a[w == 0] = 1000.5
        lines = "".join(f"{v},{k},{w[k] * factor}\n" for k, v in enumerate(a))
        path = written(f"a,t,w\n{lines},0.5,{factor}\n")
        found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(missing=missing))
        right = getattr(np, missing)(np.repeat(a, w))
        filled = learnt(found, np.arange(len(found.x)))
        assert filled.layout.fills == pytest.approx((right,), rel=1e-12)
        assert filled.x[-1, 0] == filled.layout.fills[0]


def test_rows_of_weight_0_teach_nothing():
    path = written("a,c,t,w\n1,r,0.5,1\n2,b,0.25,1\n3,g,0.75,0\n")
    found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(categories="onehot"))
    assert learnt(found, np.arange(2)).layout.names() == ("a", "c=b", "c=r")
    assert "1 of 3 rows have the weight 0: they are left out" in " ".join(found.notes)
    path = written("a,b,t,w\n,1,0.5,1\n,2,0.25,1\n3,3,0.75,0\n")
    found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(missing="mean"))
    with pytest.raises(nnx.DataError, match="column 1 is empty in all rows to train on"):
        learnt(found, np.arange(2))


def test_a_model_trained_without_fills_refuses_gaps():
    layout = read(PLAIN).layout
    with pytest.raises(nnx.DataError, match=r"new\.csv: line 3, column 1 \(a\): is empty.*--missing mean"):
        load_inputs(written("a,b\n1,2\n,3\n", "new.csv"), layout)


def test_texts_are_named_all_at_once_with_the_option_that_leaves_them_out():
    data = "a,colour,day of birth,y\n1,red,2024-01-01,0\n2,blue,2024-01-02,1\n"
    text = refused(data, ("y",), error=nnx.DataError)
    assert "2 columns hold text: line 2, column 2 (colour): 'red'; line 2, column 3 (day of birth)" in text
    assert '--ignore "colour,day of birth"' in text
    assert "dates need --preset tabular: column 3 (day of birth)" in text
    assert "--categories onehot" in text
    assert read(data, ("y",), "auto", ("colour,day of birth",)).x.tolist() == [[1], [2]]


def test_texts_are_features_and_the_same_ones_again():
    data = "a,colour,kind\n1,red,x\n2,blue,y\n3,red,x\n4,green,y\n"
    found = read(data, categories="onehot")
    assert found.layout.names() == ("a", "colour=blue", "colour=green", "colour=red")
    kept = learnt(found, np.array([0, 1, 2]))  # green is only held out
    np.testing.assert_array_equal(kept.x, [[1, 0, 1], [2, 1, 0], [3, 0, 1], [4, 0, 0]])
    assert kept.layout.names() == ("a", "colour=blue", "colour=red")
    assert "only in held-out rows (first 'green')" in kept.notes[-1]
    notes = []
    x, _ = load_inputs(written("colour,a\nblue,7\nRED,8\nred,9\n"), kept.layout, notes=notes)
    np.testing.assert_array_equal(x, [[7, 1, 0], [8, 0, 0], [9, 0, 1]])
    assert (
        "holds texts that no row of the training had, in 1 row (first 'RED'): these rows get 0" in notes[-1]
    )
    with pytest.raises(nnx.ConfigurationError, match="has no column 'colour'"):
        load_inputs(written("a,size\n1,2\n"), kept.layout)


def test_a_gap_among_texts_is_a_text():
    found = read("a,colour,kind\n1,red,x\n2,,y\n3,red,x\n", categories="onehot", missing="mean")
    assert found.layout.names() == ("a", "colour=(empty)", "colour=red")
    assert refused("a,colour,kind\n1,red,x\n2,,y\n", categories="onehot").endswith("mean or median")


def test_texts_that_are_names_are_no_categories():
    data = "name,a\n" + "".join(f"person {i},{i * i}\n" for i in range(30))
    assert "--ignore name" in refused(data, (), categories="onehot")


def test_truths_are_numbers_and_dates_are_texts():
    found = read("a,b,y\n1,TRUE,x\n2,false,y\n3,True,x\n", ("y",))
    np.testing.assert_array_equal(found.x, [[1, 1], [2, 0], [3, 1]])
    assert "'TRUE' is not a number" in refused("a,b\n1,TRUE\n2,7\n", ())


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("categories", ["error", "onehot"])
def test_the_numbers_are_those_of_pandas(missing, categories):
    """A table that pandas writes, read by pandas and by nnx."""
    rng = np.random.default_rng(1)
    frame = pandas.DataFrame({"a": rng.normal(size=50), "b": rng.integers(0, 9, 50).astype(float)})
    frame.loc[rng.random(50) < 0.2, "a"] = np.nan
    if categories == "onehot":
        frame["c"] = rng.choice(["x", "y", "z"], 50)
    frame.to_csv("t.csv", index=False)
    found = learnt(load_labelled("t.csv", how=Reading(missing=missing, categories=categories)), np.arange(30))
    expected = frame.fillna({"a": getattr(frame["a"][:30], missing)()})
    if categories == "onehot":
        expected = pandas.get_dummies(expected)
        assert tuple(name.replace("_", "=") for name in expected.columns) == found.layout.names()
    np.testing.assert_allclose(found.x, expected.to_numpy(float), rtol=1e-15)
