"""``nnx export --to python`` and ``--to javascript``: a model of `nnx train` with scaling and names."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.command_line import command
from support.standalone_files import FORMS, needs, run_there

import nnx
from nnx.experiments.train.labelled import Layout
from nnx.experiments.train.preparation import MEAN_AND_SPREAD, Preparation
from nnx.experiments.train.scaling import Scaling

WANTED = {
    "plain": ("--to", "python"),
    "numpy": ("--out", "model.py", "--numpy"),
    "javascript": ("--out", "model.js"),
}
UNITS = Scaling(np.array([3.0, 1e6]), np.array([20.0, 5.0]))
TASKS = {
    "classification": {"classes": ("one", "two", "three", "</script>")},
    "regression": {"outputs": Scaling(np.full(4, 1e6), np.full(4, 20.0)), "targets": ("p", "q", "r", "s")},
    "spread": {"task": "regression", "outputs": UNITS, "targets": ("p", "q"), "several": MEAN_AND_SPREAD},
    "quantiles": {"task": "regression", "outputs": UNITS, "several": ("0.1", "0.9")},
    "autoencoding": {},
}


def saved(folder, rng, task):
    """Save a model as nnx train does, on data far from 0; return it, and rows of these data."""
    x = rng.normal([10.0, -3.0, 1e7, 100.0], [2.0, 0.1, 7.0, 30.0], (50, 4))
    more = {"task": task} | TASKS[task]
    last = [nnx.Dense(4), nnx.Reshape((2, 2))] if "several" in more else [nnx.Dense(4)]
    network = nnx.Network([nnx.Dense(4, 3), nnx.Tanh(), *last], seed=0, device="numpy")
    network.encoder_length = 2 if task == "autoencoding" else None
    layout = Layout(features=4, columns=("a", 'b "', "*/", "\u00e9"), chosen=(0, 1, 2, 3), width=4)
    prepared = Preparation(layout=layout, inputs=Scaling.fitted("standard", x), **more)
    network.save(folder / "model.safetensors", {"preparation": prepared.to_metadata()})
    return network, prepared, x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_one_s_own_data_takes_them_as_they_are(tmp_path, answer, rng, task, form):
    needs(form)
    network, prepared, x = saved(tmp_path, rng, task)
    done = answer("export", "model.safetensors", *WANTED[form])
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith(f"model.{'js' if form == 'javascript' else 'py'}: ")
    size = (tmp_path / first.partition(":")[0]).stat().st_size
    assert f"file {size:,} bytes, weights in memory " in second
    assert "8 stored rows: the largest difference to nnx is " in second
    found = run_there(tmp_path, form, tmp_path / first.partition(":")[0], x)
    y = prepared.predict(network, x, whole=True).reshape(50, -1)
    found_y = np.array(found["answers"]).reshape(50, -1)
    np.testing.assert_allclose(found_y, y, rtol=0, atol=1e-5 * np.abs(y - y.mean(axis=0)).max())


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A model that `nnx train` made of a table with texts and empty cells, the table, and the predictions."""
    folder, draw = tmp_path_factory.mktemp("flowers"), np.random.default_rng(0)
    rows = [["height", "width", "colour", "kind"]]
    for place in range(90):
        height, colour = draw.normal(), str(draw.choice(["red", "blue", "", "</script>"]))
        kind = ("tall" if height > 0 else "small") + (" red" if colour == "red" else "")
        rows.append(["NA" if place % 9 == 5 else height, draw.normal(1e6, 1e3), colour, kind])
    with (folder / "flowers.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for words in (
        "train flowers.csv --target kind --categories onehot --missing mean --epochs 4 --out run --seed 0",
        "predict run flowers.csv --probabilities --out answers.csv",
    ):
        done = command(folder, *words.split())
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_a_table_with_texts_and_empty_cells_go_in_as_they_are(flowers, tmp_path, answer, form):
    needs(form)
    done = answer("export", str(flowers / "run"), *WANTED[form])
    assert done.returncode == 0, done.stderr
    path = tmp_path / done.stderr.partition(":")[0]
    with (flowers / "flowers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (flowers / "answers.csv").open(newline="") as file:
        _, *expected = csv.reader(file)
    found = run_there(tmp_path, form, path, rows)
    np.testing.assert_allclose(found["answers"], [list(map(float, row[1:])) for row in expected], atol=1e-6)
    assert found["classes"] == [row[0] for row in expected]


def test_a_file_that_would_compute_other_numbers_is_not_written(tmp_path, answer):
    """In float32, 1e8 x + 1 - 1e8 x is 0; the file, in float64, has 1."""
    network = nnx.Network([nnx.Dense(1, 2), nnx.Dense(1)], seed=0)
    network.set_weights(
        {
            "dense_1.W": np.full((1, 2), 1e8), "dense_1.b": np.array([1.0, 0.0]),
            "dense_2.W": np.array([[1.0], [-1.0]]), "dense_2.b": np.zeros(1),
        }
    )  # fmt: skip
    network.save(tmp_path / "model.safetensors")
    (tmp_path / "model.py").write_text("older")
    done = answer("export", "model.safetensors", "--out", "model.py")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert (
        "not written: the self-check of the python file failed: this file computes other numbers"
        in done.stderr
    )
    assert (tmp_path / "model.py").read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"model.py", "model.safetensors"}


def test_options_and_names_that_do_not_fit_are_refused(tmp_path, answer):
    nnx.Network([nnx.Dense(2, 1)], seed=0).save(tmp_path / "model.safetensors")
    (tmp_path / "model.py").write_text("older")
    for line, text in (
        ("--to c --numpy", "--numpy is for Python code, not for c"),
        ("--out other.py --type float", "--type float is for C code, not for python"),
        ("--to python", "model.py exists already: to replace it, add --out model.py"),
        ("--out model.txt --to javascript", "must end in .mjs or .js"),
    ):
        done = answer("export", "model.safetensors", *line.split())
        assert done.returncode == 2, line
        assert text in done.stderr
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    with pytest.raises(nnx.errors.ConfigurationError, match="javascript has no option 'numpy'"):
        nnx.standalone.export(network, tmp_path / "m.mjs", numpy=True)
    assert (tmp_path / "model.py").read_text() == "older"


def test_without_node_a_javascript_file_is_written_and_not_run(tmp_path, answer, monkeypatch):
    nnx.Network([nnx.Dense(2, 1)], seed=0).save(tmp_path / "model.safetensors")
    monkeypatch.setattr("shutil.which", lambda name: None)
    done = answer("export", "model.safetensors", "--to", "javascript")
    assert done.returncode == 0, done.stderr
    assert "it checks itself on 8 rows" in done.stderr
    assert (tmp_path / "model.mjs").exists()


def test_a_module_checks_itself_in_a_linked_folder_and_under_a_name_that_node_refuses(
    tmp_path, answer, monkeypatch
):
    """Node.js follows links before it says where a module is, and takes a backslash for a separator."""
    needs("javascript")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "link"))
    nnx.Network([nnx.Dense(2, 1)], seed=0).save(tmp_path / "model.safetensors")
    done = answer("export", "model.safetensors", "--out", "a\\b.mjs")
    assert done.returncode == 0, done.stderr
    assert "8 stored rows: the largest difference to nnx is" in done.stderr
    assert (tmp_path / "a\\b.mjs").exists()


def test_a_self_check_that_takes_too_long_is_stopped_and_said(tmp_path, answer, monkeypatch):
    nnx.Network([nnx.Dense(2, 1)], seed=0).save(tmp_path / "model.safetensors")
    monkeypatch.setattr("nnx.cli.export_code.LONGEST", 0.001)
    done = answer("export", "model.safetensors", "--to", "python")
    assert done.returncode == 0, done.stderr
    assert "its self-check was stopped after 0.001 seconds" in done.stderr
    assert (tmp_path / "model.py").exists()
