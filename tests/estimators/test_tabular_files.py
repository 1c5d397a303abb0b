"""A saved model for tables has its columns and classes with it, and no pickle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from support.command_line import in_process
from support.small_tables import classes_for, numbers_for, table

import nnx
from nnx import model_files
from nnx.estimators import TabularClassifier, TabularRegressor

QUICK = {"hidden_layer_sizes": 16, "members": 2, "epochs": 3, "random_state": 0}
TRAIN, TEST = table(200), table(50, seed=1)


@pytest.mark.parametrize("names", [("a", "b", "c"), (3, 5, 9), (True, False, True)])
def test_a_loaded_classifier_gives_the_same_answers(tmp_path, names):
    model = TabularClassifier(**QUICK).fit(TRAIN, np.array(classes_for(TRAIN, names).tolist()))
    model.save(tmp_path / "m.safetensors")
    loaded = TabularClassifier.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(TEST), model.predict_proba(TEST))
    np.testing.assert_array_equal(loaded.predict(TEST), model.predict(TEST))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.feature_names_in_.tolist() == ["size", "weight", "colour"]


def test_a_loaded_regressor_gives_the_same_answers(tmp_path):
    for y in (numbers_for(TRAIN), np.column_stack([numbers_for(TRAIN)] * 2)):
        model = TabularRegressor(**QUICK).fit(TRAIN, 100.0 * y)
        model.save(tmp_path / "m.safetensors")
        loaded = TabularRegressor.load(tmp_path / "m.safetensors", device="numpy")
        # another device rounds otherwise
        np.testing.assert_allclose(loaded.predict(TEST), model.predict(TEST), rtol=1e-4, atol=1e-2)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    nnx.Network([nnx.Dense(2)], seed=0).build(3).save(path)
    with pytest.raises(nnx.FileFormatError, match=r"not a TabularClassifier: use nnx\.load"):
        TabularClassifier.load(path)
    TabularRegressor(**QUICK).fit(TRAIN, numbers_for(TRAIN)).save(path)
    with pytest.raises(nnx.FileFormatError, match=r"use TabularRegressor\.load"):
        TabularClassifier.load(path)


@pytest.mark.parametrize("command", ["predict", "encode", "export"])
def test_the_command_line_does_not_take_columns_as_they_are_written(tmp_path, monkeypatch, capsys, command):
    """The network of columns of numbers would compute something from them, but they are not encoded."""
    TabularRegressor(**QUICK).fit(np.arange(80.0).reshape(40, 2), np.arange(40.0)).save(
        tmp_path / "m.safetensors"
    )
    (tmp_path / "rows.csv").write_text("0,1\n10,20\n")
    inputs = [] if command == "export" else [str(tmp_path / "rows.csv")]
    out = tmp_path / ("m.onnx" if command == "export" else "out.csv")
    arguments = [command, "m.safetensors", *inputs, "--out", out]
    result = in_process(tmp_path, monkeypatch, capsys, *arguments)
    assert result.returncode == 2
    assert "TabularRegressor.load(path).predict(X)" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "damage",
    [
        {"columns": None}, {"columns": {"version": 1}}, {"classes": []}, {"class_type": "V8"},
        {"names": ["a"]}, {"version": 7}, {"classes": None},
    ],
)  # fmt: skip
def test_a_damaged_description_is_named(tmp_path, damage):
    path = tmp_path / "m.safetensors"
    TabularClassifier(**QUICK).fit(TRAIN, classes_for(TRAIN)).save(path)
    weights = load_file(path)
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
    described = json.loads(header["metadata"])
    described["tabular"] |= damage
    header["metadata"] = json.dumps(described)
    header["crc32"] = model_files.checksum(weights, header)
    save_file(weights, path, header)
    with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors"):
        TabularClassifier.load(path)


def test_a_model_that_is_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        TabularRegressor().save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
