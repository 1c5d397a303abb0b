"""The text of a trace: every part is there, its numbers are those of the trace, and 80 columns are enough."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
from support.places import ROOT

import nnx
from nnx.tracing.text import render

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)


def xor(optimizer="sgd"):
    network = nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], device="numpy", seed=0)
    return network.trace(*XOR, "binary_cross_entropy", optimizer)


def test_the_text_has_the_numbers_of_the_step():
    trace = xor(nnx.SGD(0.5))
    text = trace.text("dense_1.W[1, 0]", row=3)
    W, b = trace.parameters["dense_1.W"].before, trace.parameters["dense_1.b"].before
    z = trace["dense_1"].y[3, 0]
    assert f"z[3, 0] = 1 · (−{-W[0, 0]:.4g}) + 1 · {W[1, 0]:.4g} + {b[0]:.4g} = {z:.4g}" in text
    assert f"y[3, 0] = tanh {z:.4g} = {np.tanh(z):.4g}" in text
    assert f"    b {b[0]:>8.4g}" in text
    assert "L = (0.6931 + 0.4504 + 0.7057 + 1.005) / 4 = 0.713678" in text
    gradient = trace.parameters["dense_1.W"].gradient[1, 0]
    assert f"= {gradient:.6g}" in text
    assert f"− 0.5 · {gradient:.4g} = {trace.parameters['dense_1.W'].after[1, 0]:.6g}" in text


def test_a_large_network_is_shown_along_one_path():
    network = nnx.Network(
        [nnx.Dense(64, 32), nnx.ReLU(), nnx.BatchNorm(), nnx.Dense(10), nnx.Softmax()], device="numpy", seed=1
    )
    rng = np.random.default_rng(0)
    trace = network.trace(rng.normal(size=(50, 64)), rng.integers(0, 10, 50), "cross_entropy", "adam")
    lines = trace.text("dense_1.W[60, 20]", row=49).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 280
    text = "\n".join(lines)
    assert "x[60]" in text
    assert "z[20]" in text
    assert "(4 of 50 rows, 3 of 64 columns of x, 3 of 32 columns of z)" in text
    assert "58 more" in text
    assert any(line.startswith(" 49 ") for line in lines)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_any_width_is_kept(width):
    assert max(map(len, xor("adam").text(width=width).splitlines())) <= width


def test_a_console_gets_colours_if_it_has_them():
    from rich.console import Console

    file = io.StringIO()
    render(xor(), Console(file=file, force_terminal=True, width=80, color_system="standard"), "", None)
    assert "\x1b[" in file.getvalue()
    assert "\x1b[" not in xor().text()


def test_the_drawing_in_the_documentation_is_not_older_than_the_text():
    place = ROOT / "docs" / "draw_trace.py"
    spec = importlib.util.spec_from_file_location("draw_trace", place)
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    assert drawing.DRAWING.read_text(encoding="utf-8") == drawing.drawn(), "run python docs/draw_trace.py"
