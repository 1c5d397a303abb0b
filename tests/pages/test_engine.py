"""The engine in JavaScript computes what nnx computes in float64: all weights and losses of 200 steps."""

from __future__ import annotations

import numpy as np
import pytest
from support.engine import PROGRAM, ROWS, STEPS, node, rows_for, trained_by_nnx
from support.engine_cases import CASES

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def given(one):
    x, y = rows_for(one)
    return {
        "description": one,
        "x": x.ravel().tolist(),
        "y": y.ravel().tolist(),
        "rows": ROWS,
        "steps": STEPS,
    }


@pytest.fixture(scope="module")
def by_engine(tmp_path_factory):
    program = PROGRAM + "answer = given.map(train);"
    answers = node(program, [given(one) for one in CASES.values()], tmp_path_factory.mktemp("node"))
    return dict(zip(CASES, answers, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_two_hundred_steps_are_those_of_nnx(by_engine, name):
    there, here = by_engine[name], trained_by_nnx(CASES[name], *rows_for(CASES[name]))
    assert list(there["weights"]) == list(here["weights"])
    for key, values in here["first"].items():
        np.testing.assert_array_equal(there["first"][key], values.ravel(), err_msg=key)
    for key, values in here["weights"].items():
        np.testing.assert_allclose(there["weights"][key], values.ravel(), **CLOSE, err_msg=key)
    np.testing.assert_allclose(there["losses"], here["losses"], **CLOSE)
    np.testing.assert_allclose(there["predictions"], here["predictions"].ravel(), **CLOSE)
    np.testing.assert_allclose(there["loss"], here["loss"], **CLOSE)


def names_in(one):
    """Every name of `offers` that a case uses."""
    loss, optimizer = (
        value if isinstance(value, str) else value["name"] for value in (one["loss"], one["optimizer"])
    )
    entries = one["layers"]
    return {
        "layers": {entry["kind"] for entry in entries},
        "activations": {entry.get("activation") for entry in entries},
        "initializers": {entry.get("initializer") for entry in entries},
        "losses": {loss},
        "optimizers": {optimizer},
    }


def test_nothing_that_is_offered_is_untested(tmp_path):
    offers = node("answer = nnxEngine.offers;", None, tmp_path)
    for what, names in offers.items():
        used = set().union(*(names_in(one)[what] for one in CASES.values()))
        assert set(names) <= used, what
