"""Errors are of familiar kinds; settings of any library are converted exactly, or refused."""

from __future__ import annotations

import decimal
import fractions
import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.settings import NUMBERS, Scalar

import nnx
from nnx.errors import flag, number, plain, whole

pytestmark = pytest.mark.usefixtures("device")
WHOLE = [4, np.int64(4), np.uint8(4), np.array(4), Scalar(4, "torch.int64")]
NOT_WHOLE = [
    4.0, 4.7, np.array(4.7), np.array(4.0), Scalar(4.7, "torch.float32"), np.array([4]), True,
    np.array([4, 4]), 4j, 0, -4,
    np.bool_(True), np.array(True), Scalar(True, "torch.bool"), "4", None, fractions.Fraction(4, 1),
]  # fmt: skip
NO_NUMBERS = [
    True, np.bool_(False), "0.25", None, 0.25j, np.complex64(0.25), np.array([0.25]), float("nan"), 10**400,
    decimal.Decimal("sNaN"), np.array("0.25"), pytest.param(object(), id="object()"),
]  # fmt: skip


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_integers_of_any_library_are_integers(value):
    assert type(whole("x", value)) is int
    assert whole("x", value) == 4


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_positive_integer_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be a positive integer, not") as caught:
        whole("x", value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers_of_any_library_are_floats(value):
    assert type(number("x", value)) is float
    assert number("x", value, "[0, 1)") == 0.25


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be a finite number, not"):
        number("x", value)


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", (0.0, 0.999), (-1e-9, 1.0)), ("(0, inf)", (1e-300, 1e300), (0.0, float("inf"))),
        ("[0, 1]", (0, 1), (2,)), ("(0, 0.5)", (0.1,), (0.0, 0.5)),
    ],
)  # fmt: skip
def test_a_number_lies_in_its_interval(interval, inside, outside):
    for value in inside:
        assert number("x", value, interval) == value
    for value in outside:
        with pytest.raises(
            nnx.ConfigurationError, match=re.escape(f"x must lie in {interval}, not {value!r}")
        ):
            number("x", value, interval)


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), 1, np.int64(1), Scalar(True, "torch.bool")]
)
def test_flags_of_any_library(value):
    assert flag("x", value) is True


@pytest.mark.parametrize("value", ["False", "", None, 2, 1.0, np.array([True]), []])
def test_what_is_no_flag_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be True or False, not"):
        flag("x", value)


def test_plain_values_are_what_json_holds():
    given = {
        "a": np.int64(3), "b": (1, np.float32(0.5)), "c": Path("x/y"), "d": np.array(2), "e": np.bool_(True),
        np.int64(7): None, "f": {"g": [decimal.Decimal("0.1"), Scalar(2, "torch.int64"), np.str_("u")]},
    }  # fmt: skip
    expected = {
        "a": 3, "b": [1, 0.5], "c": "x/y", "d": 2, "e": True, "7": None, "f": {"g": [0.1, 2, "u"]},
    }  # fmt: skip
    assert plain("x", given) == expected
    assert json.loads(json.dumps(plain("x", given))) == expected


def test_what_json_cannot_hold_is_refused_with_its_place():
    itself = []
    itself.append(itself)
    for value, words in (
        ({"a": {"b": np.zeros(2)}}, r"x\['a'\]\['b'\] .* ndarray"),
        ([1, {2, 3}], r"x\[1\] .* set"),
        ({1: "one", "1": "another"}, r"x .*'1'"),
        ({(1, 2): 3}, "a key of x must be text or a number"),
        (b"bytes", "x .* bytes"),
        (itself, "x"),
    ):
        with pytest.raises(nnx.ConfigurationError, match=words):
            plain("x", value)


def test_every_error_is_an_nnx_error_and_of_a_familiar_kind():
    for name, familiar in {
        "DataError": ValueError,
        "ConfigurationError": ValueError,
        "DeviceError": RuntimeError,
        "TrainingError": ArithmeticError,
        "FileFormatError": ValueError,
        "OutputError": OSError,
    }.items():
        assert issubclass(getattr(nnx, name), nnx.NnxError)
        assert issubclass(getattr(nnx, name), familiar)
