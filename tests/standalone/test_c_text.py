"""Text of C: exact numbers, safe names, comments and strings, and only the functions that are called."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from nnx.errors import ConfigurationError
from nnx.standalone.c_text import braces, comment, functions, identifier, literal, prefix, string


@pytest.mark.parametrize("value", [0.1, 1 / 3, -2.5, 0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e-310])
def test_a_number_is_written_exactly(value):
    assert np.array(float.fromhex(literal(value, "double"))).tobytes() == np.array(value).tobytes()


def test_integers_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="x has integers that are too large"):
        braces(np.array([2**40]), "int32_t", "x")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("model", "model"), ("iris model-2", "iris_model_2"), ("3d", "model_3d"), ("été", "t"), ("", "model"),
        ("__x__", "x"), ("数", "model"),
    ],
)  # fmt: skip
def test_a_file_s_name_begins_the_names_in_it(stem, name):
    assert prefix(stem) == name


@pytest.mark.parametrize("text", ["*/ int x;", "/*", "a\nb", "??/", "\\", "//", "*//*", "???/", "é×"])
def test_a_comment_stays_a_comment(text):
    written = comment(text)
    assert written.isascii()
    assert not any(part in written for part in ("*/", "/*", "??", "\\", "\n", "//"))


@pytest.mark.parametrize("text", ['"', "a\\", "??/", "é\n\0", "%s", "x9", "\ud800"])
def test_a_string_gives_its_bytes(text):
    written = string(text)
    assert "?" not in written  # no trigraph
    assert ast.literal_eval(f"b{written}") == text.encode("utf-8", "backslashreplace")


def test_functions_come_after_those_that_they_call_and_once():
    text = "\n".join(functions(["grouped_dense", "dense", "silu"]))
    places = [
        text.index(f" {name}(")
        for name in ("products8", "products", "dense", "grouped_dense", "sigmoid", "silu")
    ]
    assert places == sorted(places)
    assert text.count("static real sigmoid(") == 1
    assert "softmax" not in text


def test_names_of_layers_in_containers():
    assert identifier("residual_1.dense_2.W") == "residual_1_dense_2_W"
