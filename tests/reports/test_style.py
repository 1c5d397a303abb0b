"""User text in figures is shown as it is written."""

from __future__ import annotations

import pytest
from support.figures import drawn

from nnx import reports

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")


@pytest.mark.parametrize("name", ["$x", "cost $1 and $2", r"$\frac{$", r"\$5", "_hidden", "a_b^c"])
def test_user_text_is_shown_literally(name):
    figure = drawn(reports.compare_curves({name: [1.0]}, xlabel=name, ylabel=name, title=name))
    axes = figure.axes[0]
    for text in (axes.xaxis.label, figure._suptitle, axes.get_legend().get_texts()[0]):
        shown, is_math = text._preprocess_math(text.get_text())
        assert is_math is False
        assert shown.strip().startswith(name)
