"""Files of Python and JavaScript compute what nnx does, with every layer, far from nnx."""

from __future__ import annotations

import numpy as np
import pytest
from support.standalone_files import FORMS, answers_of, errors_of, program_of, run_file, text_of, with_rows
from support.step_programs import built, every_layer, random_network

import nnx
from nnx.experiments import autoencoder
from nnx.experiments.autoencoder_presets import PRESETS
from nnx.experiments.train.scaling import Scaling
from nnx.standalone import in_precision
from nnx.standalone.program import Cell, Meaning

# A float64 network: both compute in float64 and add in another order. A float32 network: nnx rounds every
# number to 24 bits, and the file does not; 1e-5 is 84 such roundings of the largest number.
SHARES = {"float64": 1e-12, "float32": 1e-5}


def programs(precision):
    """Every small network, and rows for it that its file has not stored."""
    found = {}
    for name in every_layer():
        network, x = built(name, precision)
        found[name] = program_of(network, x[:3]), x, network.predict(x)
    return found


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("form", FORMS)
def test_every_layer_is_computed_as_by_nnx(tmp_path, form, precision):
    given = programs(precision)
    found = answers_of(tmp_path, form, {name: (program, x) for name, (program, x, _) in given.items()})
    for name, (program, _, y) in given.items():
        answers = np.array(found[name]["answers"])
        assert answers.shape == y.shape, name
        assert np.abs(y).max() > 1e-3, f"{name}: a network of zeros would prove nothing"
        share = SHARES[precision] * (1 + len(program.steps))
        np.testing.assert_allclose(answers, y, rtol=share, atol=share * np.abs(y).max(), err_msg=name)
        assert found[name]["check"] <= share * 2 * np.abs(y).max()
        assert found[name]["example"]


@pytest.mark.parametrize("form", FORMS)
def test_random_networks_are_computed_as_by_nnx(tmp_path, form):
    given = {}
    for seed in range(12):
        network, x = random_network(seed)
        network = in_precision(network, "float64")
        given[f"random_{seed}"] = program_of(network, x[:2]), x, network.predict(x)
    found = answers_of(tmp_path, form, {name: (program, x) for name, (program, x, _) in given.items()})
    for name, (program, _, y) in given.items():
        share = SHARES["float64"] * (1 + len(program.steps))
        answers = np.array(found[name]["answers"])
        np.testing.assert_allclose(answers, y, rtol=share, atol=share * np.abs(y).max(), err_msg=name)


@pytest.fixture(scope="module")
def presets():
    """The autoencoders of `nnx run autoencoder`, trained a little on 64 numbers, and rows for them."""
    x = np.random.default_rng(0).uniform(size=(64, 64)).astype("float32")
    found = {}
    for preset in PRESETS:
        network = autoencoder.build(autoencoder.Config(preset, device="numpy", seed=0), 64)
        network.fit(x, x, loss="binary_cross_entropy", optimizer="adam", epochs=2)
        found[preset] = program_of(network, x[:2]), x[:6], network.predict(x[:6])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_the_presets_of_the_autoencoder_are_computed_as_by_nnx(tmp_path, form, presets):
    found = answers_of(tmp_path, form, {name: (program, x) for name, (program, x, _) in presets.items()})
    for name, (_, _, y) in presets.items():
        np.testing.assert_allclose(np.array(found[name]["answers"]), y, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_far_numbers_are_scaled_in_float64_and_the_answers_have_the_units_of_the_data(tmp_path, form, rng):
    """Seconds since 1970, of which float32 holds only one in 128."""
    x = 1.7e9 + rng.uniform(0, 3600, (9, 2)).round(3)
    network = nnx.Network([nnx.Dense(2, 8), nnx.Tanh(), nnx.Dense(1)], seed=0)
    scaling, outputs = Scaling.fitted("standard", x), Scaling(np.full(1, 1e6), np.full(1, 5.0))
    y = outputs.undo(network.predict(scaling.apply(x, "float32")))
    program = program_of(network, x[:4], Meaning(inputs=scaling, outputs=outputs), y[:4])
    answers = np.array(answers_of(tmp_path, form, {"far": (program, x)})["far"]["answers"])
    np.testing.assert_allclose(answers, y, rtol=0, atol=5.0 * 1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_inputs_are_rounded_as_nnx_rounds_them(tmp_path, form):
    """A float32 network without a scaling sees 16777217 as 16777216."""
    network = nnx.Network([nnx.Rescale(1.0, -16777216.0), nnx.Dense(1, 1)], seed=0).build(1)
    network.set_weights({"dense_1.W": np.ones((1, 1)), "dense_1.b": np.zeros(1)})
    x = [[16777217.0], [16777218.0]]
    found = answers_of(tmp_path, form, {"model": (program_of(network, x), x)})
    assert found["model"]["answers"] == [[0.0], [2.0]]


@pytest.mark.parametrize("form", FORMS)
def test_quantiles_and_spreads_have_the_units_of_the_data(tmp_path, form, rng):
    network = nnx.Network([nnx.Dense(3, 4), nnx.Ascending()], dtype="float64", seed=0)
    x, outputs = rng.normal(size=(5, 3)), Scaling(np.array([10.0, 20.0]), np.array([2.0, 3.0]))
    several = ("0.1", "0.9")
    scaled = network.predict(x).reshape(5, 2, 2)
    quantiles = scaled * outputs.scale[:, None] + outputs.shift[:, None]
    spreads = quantiles.copy()
    spreads[:, :, 1] = nnx.losses.GaussianNLL().spread(np, scaled) * outputs.scale
    given = {
        "quantiles": program_of(network, x, Meaning(outputs=outputs, several=several), quantiles),
        "spread": program_of(network, x, Meaning(outputs=outputs, several=several, spread=True), spreads),
    }
    found = answers_of(tmp_path, form, {name: (program, x) for name, program in given.items()})
    for name, expected in (("quantiles", quantiles), ("spread", spreads)):
        np.testing.assert_allclose(np.array(found[name]["answers"]).reshape(5, 2, 2), expected, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_checks_itself_and_shows_an_example(tmp_path, form):
    network, x = built("residual")
    program = program_of(network, x, Meaning(classes=tuple("abcd")))
    done = run_file(tmp_path, form, program)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("6 stored rows: the largest difference to nnx is ")
    assert second == f"the answer to the first of them: {'abcd'[int(np.argmax(network.predict(x)[0]))]}"


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_computes_other_numbers_says_so(tmp_path, form):
    network, x = built("residual")
    y = network.predict(x)
    y[2, 1] += 1e-3 * np.abs(y).max()
    done = run_file(tmp_path, form, with_rows(program_of(network, x), x, y))
    assert done.returncode == 1
    assert "this file computes other numbers than nnx" in done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_do_not_fit_are_refused(tmp_path, form):
    network, x = built("residual")
    infinity = "1/0" if form == "javascript" else "float('inf')"
    found = errors_of(
        tmp_path, form, program_of(network, x),
        ["[[1, 2, 3, 4, 5, 6]]", "[[1, 2, 3, 4, 5, 6, 1e60]]", f"[[1, 2, 3, 4, 5, 6, {infinity}]]"],
    )  # fmt: skip
    assert ("shape (7,)" if form == "numpy" else "a row has 7 numbers, not 6") in found[0]
    assert found[1] == "a number is too large for the network's float32"
    assert ("Infinity" if form == "javascript" else "infinite") in found[2]


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_an_embedding_has_not_are_refused(tmp_path, form):
    network, x = built("words")
    rows = [f"[[0, 0, 0, 0, 0, 0, 0, {wrong}]]" for wrong in ("11", "-1", "0.5")]
    found = errors_of(tmp_path, form, program_of(network, x), rows)
    assert all("is not a whole number from 0 to 10" in text for text in found)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_has_only_what_it_needs(form):
    """Short files are read; and the same program makes the same file."""
    network = nnx.Network([nnx.Dense(2, 3), nnx.ReLU(), nnx.Dense(1)], seed=0)
    program = program_of(network, np.zeros((1, 2)))
    text = text_of(program, form)
    assert "relu" in text
    for other in ("softmax", "windows", "tanh", "layer_norm", "layerNorm", "embedding", "cycle", "atob("):
        assert other not in text
    assert len(text.splitlines()) < 130
    assert text == text_of(program, form)


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_give_no_answers(tmp_path, form):
    network, x = built("residual")
    found = answers_of(tmp_path, form, {"model": (program_of(network, x), [])})
    assert found["model"]["answers"] == []


@pytest.mark.parametrize("form", FORMS)
def test_tied_weights_are_stored_once(form):
    code = nnx.Dense(16)
    network = nnx.Network([code, nnx.Tanh(), nnx.TiedDense(code)], seed=0).build(64)
    untied = nnx.Network([nnx.Dense(16), nnx.Tanh(), nnx.Dense(64)], seed=0).build(64)
    x = np.zeros((1, 64))
    tied, other = (len(text_of(program_of(one, x), form)) for one in (network, untied))
    assert tied < other - 16 * 64 * 5


CELLS = (Cell("a", (), 2.5), Cell("colour", ("", "red", "</script>")), Cell('b "', (), None))
ROWS = [
    {"a": 1, "colour": "red", 'b "': 3.5, "other": "not used"},
    {"colour": None, "a": "", 'b "': "4"},
    {"colour": "NA", "a": " ? ", 'b "': 4},
    {"colour": " </script> ", "a": 0, 'b "': 4},
    {"colour": "never seen", "a": None, 'b "': -1},
    [0.5, 0, 0, 1, 7],
]
NUMBERS = [
    [1, 0, 1, 0, 3.5],
    [2.5, 1, 0, 0, 4],
    [2.5, 1, 0, 0, 4],
    [0, 0, 0, 1, 4],
    [2.5, 0, 0, 0, -1],
    [0.5, 0, 0, 1, 7],
]


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_a_table_may_have_cells_by_name(tmp_path, form):
    network = nnx.Network([nnx.Dense(5, 3)], dtype="float64", seed=0)
    x = np.array(NUMBERS)
    program = program_of(network, x, Meaning(cells=CELLS))
    found = answers_of(tmp_path, form, {"table": (program, ROWS)})
    np.testing.assert_allclose(found["table"]["answers"], network.predict(x), rtol=1e-12)
    wrong = {
        "[{'a': 1, 'colour': 'red'}]": "a row has no column",
        "[{'a': 1, 'colour': 'red', 'b \"': ''}]": "is empty, and the model has no number for it",
        "[{'a': '0x10', 'colour': 'red', 'b \"': 1}]": "0x10",
    }
    for text, error in zip(wrong.values(), errors_of(tmp_path, form, program, list(wrong)), strict=True):
        assert text in error


@pytest.mark.parametrize("form", ["plain", "numpy", "javascript"])
def test_an_image_with_its_axes_in_another_order_is_refused(tmp_path, form):
    """As predict refuses it: with the channels first, all numbers would be wrong. A flat image is taken."""
    network = nnx.Network([nnx.Conv2D(2, 3), nnx.Flatten()], seed=0, device="numpy").build((4, 5, 3))
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    program, y = program_of(network, x), network.predict(x)
    for rows in (x, x.reshape(2, -1)):
        found = answers_of(tmp_path, form, {"model": (program, rows)})["model"]["answers"]
        np.testing.assert_allclose(found, y, atol=1e-5)
    with pytest.raises(AssertionError, match=r"\b[34], ?[45], ?[53]\b"):
        answers_of(tmp_path, form, {"model": (program, x.transpose(0, 3, 1, 2))})
