"""Explain an optimizer's update of one weight: each formula with symbols, and with numbers in their place.

The numbers are computed from the recorded ones in float64. The value of the last line is the new weight as
the network has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nnx.optimizers import LBFGS, SGD, Adagrad, Adam, Optimizer, RMSprop
from nnx.tracing.formulas import factor, number
from nnx.tracing.result import ParameterTrace


@dataclass(frozen=True)
class Line:
    """A formula in symbols, the same with numbers, and its value.

    Attributes
    ----------
    symbols, numbers : str
    value : float
    """

    symbols: str
    numbers: str
    value: float


@dataclass(frozen=True)
class Point:
    """The numbers of one weight that its update reads."""

    w: float
    g: float
    rate: float
    step: int
    slots: dict[str, tuple[float, float]]
    after: float


def update_lines(
    parameter: ParameterTrace, index: tuple[int, ...], step: int, scale: float
) -> tuple[Line, ...]:
    """Return the terms of a weight's update in order, the new weight last.

    Parameters
    ----------
    parameter : ParameterTrace
    index : tuple of int
    step : int
        The number of the step, from 1.
    scale : float
        The factor of the learning rate.
    """
    rule = parameter.rule
    w, raw, g = (float(one[index]) for one in (parameter.before, parameter.gradient, parameter.clipped))
    after = float(parameter.after[index])
    if not parameter.trainable:
        return (Line("w does not change: its layer is frozen", number(w), after),)
    if isinstance(rule, LBFGS):
        return (Line("w ← w + α d, with α from a line search", f"{number(w)} + {factor(after - w)}", after),)
    known = next((kind for kind in RULES if type(rule).update is kind.update), None)
    lines = [Line("g = dL/dw", number(raw), raw)]
    if g != raw:
        lines.append(Line("g clipped by clip_value or clip_norm", f"{number(raw)} → {number(g)}", g))
    if known is None:
        return (*lines, Line(f"w ← the update of {type(rule).__name__}", number(w), after))
    if rule.l2:
        lines.append(
            Line("g ← g + l2 w", f"{number(g)} + {number(rule.l2)} · {factor(w)}", g := g + rule.l2 * w)
        )
    slots = {name: (float(a[index]), float(b[index])) for name, (a, b) in parameter.slots.items()}
    point = Point(w, g, rule.rate(step - 1) * scale, step, slots, after)
    return (*lines, *RULES[known](rule, point))


def _shrunk(rule: Optimizer, point: Point) -> tuple[str, str]:
    """Return the old weight in a formula: w, or with weight decay w (1 − η λ)."""
    if not rule.weight_decay:
        return "w", number(point.w)
    return "w (1 − η λ)", f"{factor(point.w)} (1 − {number(point.rate)} · {number(rule.weight_decay)})"


def _sgd(rule: SGD, at: Point) -> list[Line]:
    w, numbers = _shrunk(rule, at)
    step = f"{number(at.rate)} · {factor(at.g)}"
    if not rule.momentum:
        return [Line(f"w ← {w} − η g", f"{numbers} − {step}", at.after)]
    was, u = at.slots["velocity"]
    mu = number(rule.momentum)
    lines = [Line("u ← μ u − η g", f"{mu} · {factor(was)} − {step}", u)]
    if rule.nesterov:
        return [*lines, Line(f"w ← {w} + μ u − η g", f"{numbers} + {mu} · {factor(u)} − {step}", at.after)]
    return [*lines, Line(f"w ← {w} + u", f"{numbers} + {factor(u)}", at.after)]


def _adam(rule: Adam, at: Point) -> list[Line]:
    w, numbers = _shrunk(rule, at)
    (m0, m), (v0, v) = at.slots["m"], at.slots["v"]
    a, b, t = rule.beta1, rule.beta2, at.step
    rate = at.rate * math.sqrt(1.0 - b**t) / (1.0 - a**t)
    corrected = f"{number(at.rate)} · √(1 − {number(b)}^{t}) / (1 − {number(a)}^{t})"
    last = f"{numbers} − {number(rate)} · {factor(m)} / (√{number(v)} + {number(rule.epsilon)})"
    return [
        Line("m ← β₁ m + (1 − β₁) g", f"{number(a)} · {factor(m0)} + {number(1 - a)} · {factor(at.g)}", m),
        Line("v ← β₂ v + (1 − β₂) g²", f"{number(b)} · {factor(v0)} + {number(1 - b)} · {factor(at.g)}²", v),
        Line("r = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)", corrected, rate),
        Line(f"w ← {w} − r m / (√v + ε)", last, at.after),
    ]


def _rmsprop(rule: RMSprop, at: Point) -> list[Line]:
    w, numbers = _shrunk(rule, at)
    v0, v = at.slots["v"]
    rho, epsilon = rule.rho, number(rule.epsilon)
    mean = f"{number(rho)} · {factor(v0)} + {number(1 - rho)} · {factor(at.g)}²"
    step = f"{number(at.rate)} · {factor(at.g)} / √({number(v)} + {epsilon})"
    d = at.rate * at.g / math.sqrt(v + rule.epsilon)
    lines = [Line("v ← ρ v + (1 − ρ) g²", mean, v), Line("d = η g / √(v + ε)", step, d)]
    if not rule.momentum:
        return [*lines, Line(f"w ← {w} − d", f"{numbers} − {factor(d)}", at.after)]
    u0, u = at.slots["velocity"]
    lines.append(Line("u ← μ u + d", f"{number(rule.momentum)} · {factor(u0)} + {factor(d)}", u))
    return [*lines, Line(f"w ← {w} − u", f"{numbers} − {factor(u)}", at.after)]


def _adagrad(rule: Adagrad, at: Point) -> list[Line]:
    w, numbers = _shrunk(rule, at)
    a0, a = at.slots["accumulator"]
    step = f"{number(at.rate)} · {factor(at.g)} / √({number(a)} + {number(rule.epsilon)})"
    return [
        Line("a ← a + g²", f"{number(a0)} + {factor(at.g)}²", a),
        Line(f"w ← {w} − η g / √(a + ε)", f"{numbers} − {step}", at.after),
    ]


RULES: dict[type[Optimizer], Callable[..., list[Line]]] = {
    SGD: _sgd, Adam: _adam, RMSprop: _rmsprop, Adagrad: _adagrad,
}  # fmt: skip
