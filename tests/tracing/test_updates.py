"""The terms of an update, computed again from the text's formulas, end with the new weight."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nnx

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
OPTIMIZERS = {
    "sgd": (nnx.SGD(0.1, weight_decay=0.2, l2=0.3), ["g = dL/dw", "g ← g + l2 w", "w ← w (1 − η λ) − η g"]),
    "momentum": (nnx.SGD(0.1, momentum=0.9), ["g = dL/dw", "u ← μ u − η g", "w ← w + u"]),
    "nesterov": (
        nnx.SGD(0.1, momentum=0.9, nesterov=True), ["g = dL/dw", "u ← μ u − η g", "w ← w + μ u − η g"],
    ),
    "adam": (
        nnx.Adam(0.1), ["g = dL/dw", "m ← β₁ m + (1 − β₁) g", "v ← β₂ v + (1 − β₂) g²",
                        "r = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)", "w ← w − r m / (√v + ε)"],
    ),
    "rmsprop": (
        nnx.RMSprop(0.1, momentum=0.5), ["g = dL/dw", "v ← ρ v + (1 − ρ) g²", "d = η g / √(v + ε)",
                                         "u ← μ u + d", "w ← w − u"],
    ),
    "adagrad": (nnx.Adagrad(0.1), ["g = dL/dw", "a ← a + g²", "w ← w − η g / √(a + ε)"]),
    "clipped": (
        nnx.SGD(0.1, clip_value=1e-3), ["g = dL/dw", "g clipped by clip_value or clip_norm", "w ← w − η g"],
    ),
}  # fmt: skip


def python(numbers):
    """The numbers of a line as an expression of Python."""
    for symbol, code in (
        ("−", "-"),
        (" · ", " * "),
        ("²", "**2"),
        ("^", "**"),
        ("√(", "np.sqrt("),
        (") (", ") * ("),
    ):
        numbers = numbers.replace(symbol, code)
    numbers = re.sub(r"(?<=[\d)]) \(", " * (", numbers)
    while "√" in numbers:
        before, after = numbers.split("√", 1)
        root, _, rest = after.partition(" ")
        numbers = f"{before}np.sqrt({root}) {rest}"
    return numbers.split(" → ")[-1]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_line_gives_its_value(name, steps):
    optimizer, symbols = OPTIMIZERS[name]
    network = nnx.Network(
        [nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], device="numpy", dtype="float64", seed=2
    )
    for _ in range(steps - 1):
        network.fit(X, Y, loss="mse", optimizer=optimizer, batch_size=5)
    lines = network.trace(X, Y, "mse", optimizer).weight("dense_1.W[1, 2]").update
    assert [line.symbols for line in lines] == symbols
    for line in lines:
        expected = eval(python(line.numbers), {"np": np})
        assert expected == pytest.approx(line.value, rel=2e-2), line  # four digits of each number
    network.fit(X, Y, loss="mse", optimizer=optimizer, batch_size=5, shuffle=False)
    assert lines[-1].value == network.layers[0].W[1, 2]


def test_a_frozen_weight_does_not_change_and_a_group_has_its_own_rate():
    network = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], device="numpy", seed=2)
    network.layers[0].trainable = False
    trace = network.trace(X, Y, "mse", nnx.SGD(0.1, groups={"dense_2.b": {"learning_rate": 0.7}}))
    (line,) = trace.weight("dense_1.W[0, 0]").update
    assert "frozen" in line.symbols
    assert "0.7 · " in trace.weight("dense_2.b[0]").update[-1].numbers
    assert "0.1 · " in trace.weight("dense_2.W[0, 0]").update[-1].numbers
    assert trace.weight().name == "dense_2.W"


def test_lbfgs_says_how_far_the_weight_moved():
    network = nnx.Network([nnx.Dense(3, 2)], device="numpy", dtype="float64", seed=2)
    weight = network.trace(X, Y, "mse", nnx.LBFGS()).weight()
    (line,) = weight.update
    assert "line search" in line.symbols
    assert line.value == weight.after != weight.before
