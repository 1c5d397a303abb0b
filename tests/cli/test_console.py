"""Tables on standard output: columns of numbers are told from text, and their points are aligned."""

from __future__ import annotations

import pytest

from nnx.cli.console import _aligned, _numeric


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (("1", "2,000", "-3.5e-07", "12 s", "99.5%"), True),
        (("0.98", "12 / 3", "4 of 4", "2.57e+03×", "–"), True),
        (("1.0", "-", ""), True),
        (("1.0", "one"), False),
        (("cpu", "gpu:0"), False),
        (("NumPy 2.1.0",), False),
        (("", ""), False),
        ((), False),
    ],
)
def test_columns_of_numbers_are_told_from_text(cells, numeric):
    assert _numeric(cells) is numeric


def test_decimal_points_are_below_each_other():
    padded = _aligned("nnx", ["0.004430", "3.4754", "16,000", "64 / 21", "", "-1.5"])
    assert len(set(map(len, padded))) == 1
    places = {text.index(".") for text in padded if "." in text}
    assert len(places) == 1
    assert len(padded[3].rstrip()) == places.pop()  # 16,000 ends where the others have their point
    assert padded[4].endswith("64 / 21")
