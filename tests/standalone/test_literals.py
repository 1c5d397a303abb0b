"""Stored numbers and lists of names."""

from __future__ import annotations

import base64

import numpy as np

from nnx.standalone.literals import encoded, listed, literal, names_of, needed
from nnx.standalone.lowering import lower
from nnx.standalone.program import Meaning


def test_numbers_are_stored_bit_for_bit(rng):
    for dtype, kind in ((np.float32, "f"), (np.float64, "d"), (np.int64, "d")):
        values = (rng.normal(size=300) * 1e3).astype(dtype)
        found, lines = encoded(values)
        assert found == kind
        assert max(map(len, lines)) == 100
        stored = np.frombuffer(base64.b64decode("".join(lines)), f"<{kind}")
        np.testing.assert_array_equal(stored, values)


def test_small_tables_are_numbers_that_one_can_read():
    assert literal(np.array([[1.0, -2.5], [0.1, 1e-300]])) == "[[1.0, -2.5], [0.1, 1e-300]]"
    single = np.array([0.1], np.float32)
    assert np.float32(literal(single).strip("[]")) == single[0]


def test_long_lists_have_several_lines():
    text = listed(f"'{number:020}'" for number in range(50))
    assert text.count("'") == 100
    assert max(map(len, text.splitlines())) <= 110


def test_only_what_is_used_is_taken_with_what_it_uses():
    parts = {"a": "b", "b": "", "c": "a"}
    assert needed("a", parts, lambda text: set(text.split())) == ["a", "b"]


def test_outputs_have_the_names_of_targets_of_features_or_of_classes():
    import nnx

    program = lower(nnx.Network([nnx.Dense(2, 2)], seed=0), Meaning(targets=("a", "b"), features=("c", "d")))
    assert names_of(program) == {"FEATURES": ["c", "d"], "OUTPUTS": ["a", "b"]}
    program = lower(nnx.Network([nnx.Dense(2, 2)], seed=0), Meaning(task="autoencoding", features=("c", "d")))
    assert names_of(program)["OUTPUTS"] == ["c", "d"]
    program = lower(nnx.Network([nnx.Dense(2, 2)], seed=0), Meaning(classes=("a", "b"), targets=("kind",)))
    assert names_of(program) == {"CLASSES": ["a", "b"]}
