"""Tables with columns of any kind: read to train on, and encoded again for a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.own_tables import here, written  # noqa: F401

import nnx
from nnx.experiments.train.from_columns import learnt_columns
from nnx.experiments.train.labelled import load_inputs, load_labelled
from nnx.readers.form import Reading

HOUSES = """Houses 2020
nr;size;town;built;garden;zip;rows;price;sold
1;81,5;Bonn;1.5.1987;TRUE;01234;1;2,5;yes
2;120;Ulm;15.1.2003;FALSE;01235;2;3,5;no
3;;Bonn;30.9.1964;;01234;1;1,5;yes
4;64;;;TRUE;01235;1;;no
5;95;Ulm;1.12.1999;FALSE;01234;0;4,5;no
6;110;Bonn;20.6.2010;TRUE;01235;1;5,5;yes
"""
KINDS = ("zip=category",)


def read(text=HOUSES, target=("sold",), ignore=("price",), kinds=KINDS, task="auto", weights=None, **how):
    return load_labelled(
        written(text), task, target, ignore, weights=weights, how=Reading(**how), kinds=kinds
    )


def test_a_table_as_it_is_becomes_rows_of_numbers_and_codes():
    data = read()
    assert data.task == "classification"
    assert data.classes == ("no", "yes")
    assert data.y.tolist() == [1, 0, 1, 0, 0, 1]
    assert data.layout.columns == ("size", "town", "built", "garden", "zip", "rows")
    learnt = learnt_columns(data, np.arange(4))
    kinds = {name: (kind, given) for name, kind, given, _ in learnt.columns}
    assert kinds == {
        "size": ("number", "guessed"), "town": ("category", "guessed"), "built": ("date", "guessed"),
        "garden": ("boolean", "guessed"), "zip": ("category", "given"), "rows": ("number", "guessed"),
    }  # fmt: skip
    assert learnt.x.shape == (6, learnt.layout.features)
    assert learnt.x[:, -1].tolist() == [1, 2, 1, 2, 1, 2]  # 01234 is not 1234
    assert any("line 1 is a title" in note for note in learnt.notes)
    again, _ = load_inputs("t.csv", learnt.layout)
    np.testing.assert_array_equal(again, learnt.x)


def test_columns_are_found_by_name_in_any_order():
    layout = learnt_columns(read(), np.arange(6)).layout
    rows = [line.split(";") for line in HOUSES.splitlines()[1:]]
    turned = "\n".join(";".join([*reversed(row), "more"]) for row in rows)
    found, _ = load_inputs(written(turned, "turned.csv"), layout)
    np.testing.assert_array_equal(found, load_inputs("t.csv", layout)[0])
    without = "\n".join(";".join(row[2:]) for row in rows)
    with pytest.raises(nnx.ConfigurationError, match=r"less\.csv: has no column 'size'; it has 'town'"):
        load_inputs(written(without, "less.csv"), layout)


def test_a_table_without_names_is_read_by_position():
    text = "1.5,a,x\n2.5,b,y\n3.5,a,x\n4.5,b,y\n"
    data = read(text, ("-1",), (), (), header="no")
    learnt = learnt_columns(data, np.arange(4))
    assert [row[0] for row in learnt.columns] == ["column 1", "column 2"]
    for again in (text, "1.5,a\n2.5,b\n3.5,a\n4.5,b\n"):
        np.testing.assert_array_equal(load_inputs(written(again, "n.csv"), learnt.layout)[0], learnt.x)


def test_columns_that_hold_nothing_to_learn_are_not_needed_again():
    text = "same,a,who,y\n" + "".join(f"1,{at},name {at},{at % 2}\n" for at in range(30))
    learnt = learnt_columns(read(text, ("y",), (), ()), np.arange(20))
    assert learnt.layout.columns == ("a",)
    said = " ".join(learnt.notes)
    assert "column same has the same value in all rows, so it is left out" in said
    assert "column who has 20 different texts in 20 cells, so it is left out" in said
    found, _ = load_inputs(written("a\n3\n4\n", "a.csv"), learnt.layout)
    np.testing.assert_array_equal(found, learnt.x[3:5])


def test_rows_without_a_target_are_left_out_with_a_note():
    data = read(target=("price",), ignore=("sold",))
    assert data.task == "regression"
    assert data.frame.rows == 5
    assert any("1 of 6 rows have no target or no weight" in note for note in data.notes)
    assert read(missing="drop").frame.rows == 4


def test_weights_of_rows_count_in_what_is_learnt():
    data = read(weights="rows")
    assert data.weights.tolist() == [1, 2, 1, 1, 1]  # the row of weight 0 is left out
    weighted = learnt_columns(data, np.arange(5)).layout.table
    once = HOUSES.splitlines()
    repeated = "\n".join([*once[:4], once[3], *once[4:6], once[7]])
    other = learnt_columns(read(repeated, ignore=("nr", "price", "rows")), np.arange(6)).layout.table
    for one, two in zip(weighted["columns"], other["columns"], strict=True):
        if one["kind"] in ("number", "date"):  # a category is rare by its rows, whatever their weights
            assert one == two


def test_notes_say_what_is_unusual_in_a_new_table():
    layout = learnt_columns(read(), np.arange(6)).layout
    notes: list[str] = []
    new = HOUSES.replace("1;81,5;Bonn", "1;8150;Rom")
    load_inputs(written(new, "new.csv"), layout, notes=notes)
    assert any("new.csv: column size: 1 row far outside of training" in note for note in notes)
    assert any("column town: 2 rows with a category" in note and "'Rom'" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": ()}, "--preset tabular learns columns of a table: name them by --target"),
        ({"kinds": ("zip",)}, "write a column and its kind, as zip=category, not 'zip'"),
        ({"kinds": ("zip=text",)}, "there is no kind 'text'"),
        ({"kinds": ("zap=category",)}, "has no column 'zap': did you mean 'zip'"),
        ({"kinds": ("sold=category",)}, "kinds names column 9, which is a target"),
        ({"task": "regression"}, r"line 3, column 9 \(sold\): 'yes' is not a number: is it classification"),
        ({"kinds": ("town=number",)}, "line 3, column town: 'Bonn' is not a number"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options, text):
    with pytest.raises(nnx.NnxError, match=text) as caught:
        learnt_columns(read(**options), np.arange(6))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("1;81,5", r"bad\.csv: line 3, column size: 'x' is not a number"),
        ("1.5.1987", r"bad\.csv: line 3, column built: 'x' is not a date \(dmy\)"),
        ("TRUE", r"bad\.csv: line 3, column garden: 'x' is not true or false"),
    ],
)
def test_a_wrong_cell_of_a_new_table_is_named_by_its_line(cell, text):
    layout = learnt_columns(read(), np.arange(6)).layout
    new = HOUSES.replace(cell, "1;x" if ";" in cell else "x", 1)
    with pytest.raises(nnx.DataError, match=text):
        load_inputs(written(new, "bad.csv"), layout)


def test_only_a_table_is_accepted():
    np.save("x.npy", np.zeros((3, 2)))
    Path("images").mkdir()
    for path in ("x.npy", "images"):
        with pytest.raises(nnx.ConfigurationError, match="--preset tabular is for tables"):
            load_labelled(path, target=("y",), kinds=())
    layout = learnt_columns(read(), np.arange(6)).layout
    with pytest.raises(nnx.DataError, match="columns of several kinds: give a table"):
        load_inputs("x.npy", layout)


def test_a_table_with_nothing_to_learn_from_is_refused():
    with pytest.raises(nnx.DataError, match="no column is left to learn from: a has the same value"):
        learnt_columns(read("a,y\n1,x\n1,z\n1,x\n", ("y",), (), ()), np.arange(3))
