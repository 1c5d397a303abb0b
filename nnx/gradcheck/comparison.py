"""Compare analytic gradients with finite differences along random directions, and report the result.

**Method.** Move a tensor v (the input or a parameter) along a random unit direction u. Compare the central
difference (φ(h) − φ(−h)) / 2h of φ(t) = L(v + t u) with the directional derivative ⟨∂L/∂v, u⟩ that backward
gives. A random direction changes every element at once, so a few directions find the errors that a check of
each element would find. For a layer, L = Σ c ∘ y with a fixed random c.

**Step.** The truncation error grows as h² φ‴/6, the rounding error as ε |L| / h. Their sum is smallest near h
= ε^⅓ ≈ 6e-6 in float64, relative to v if v is large.

**Tolerance.** Both errors are then about ε^⅔ ≈ 4e-11, times the size of φ‴ and the growth of rounding errors
inside the function. The tolerance of 1e-6 is more than 10,000 times larger, while wrong formulas are off by
1e-3 or more. The error is relative to the larger of both derivatives. If these are below a hundredth of Σ |c
∘ y| (they may be zero), it is relative to that hundredth.

**Kinks.** Let D±(h) be the one-sided differences. S(h) = D⁺(h) − D⁻(h) equals h φ″ for a smooth φ, so halving
h halves it. A kink within the step breaks this: then |S(h) − 2 S(h/2)| or |S(h/2) − 2 S(h/4)| exceeds the
tolerance. (One of them may be zero by chance, as for a kink at h/3, but not both.) Such a direction is
excluded and another one is drawn. If no direction is left, another point is drawn. A point that the user gave
fails the check instead.

References
----------
Baydin et al. (2018), Automatic differentiation in machine learning: a survey, section 2.1 (errors and step);
Chainer's ``gradient_check`` (random directions, detection of points without a derivative).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Backend
from nnx.errors import GradientError
from nnx.gradcheck.functions import Function

HostArray = np.ndarray[Any, Any]

STEP = float(np.finfo(np.float64).eps) ** (1.0 / 3.0)
TOLERANCE = 1e-6
DIRECTIONS = 4  # directions checked for each tensor
DRAWS = 16  # directions drawn for each tensor at most, to find 4 without a kink
POINTS = 5  # points drawn at most, if every direction at a point meets a kink


@dataclass(frozen=True)
class Direction:
    """A directional derivative, computed in two ways.

    Attributes
    ----------
    tensor : str
        The tensor that was moved: ``"x"``, ``"W"``, ``"dense_1.b"``, ``"y_pred"``, …
    analytic, numeric : float
        The derivative from backward, and from central differences.
    error : float
        The difference of the two, relative to the larger one.
    differentiable : bool
        False if the function has a kink within the step; such a direction does not count.
    """

    tensor: str
    analytic: float
    numeric: float
    error: float
    differentiable: bool


@dataclass(frozen=True)
class GradientReport:
    """The result of a gradient check.

    Attributes
    ----------
    name : str
        Name of what was checked.
    passed : bool
    worst : float
        The largest relative error of the directions that count.
    directions : tuple of Direction
        The directions that count.
    excluded : tuple of Direction
        The directions that met a point without a derivative.
    message : str
        The result in one line. If the check failed: the tensor, both derivatives, and how they are related.
    """

    name: str
    passed: bool
    worst: float
    directions: tuple[Direction, ...]
    excluded: tuple[Direction, ...]
    message: str

    def raise_if_failed(self) -> GradientReport:
        """Return the report if the check passed.

        Raises
        ------
        GradientError
            If it failed.
        """
        if not self.passed:
            raise GradientError(self.message)
        return self


def run(
    name: str, backend: Backend, at_point: Callable[[np.random.Generator], Function], seed: int, redraw: bool
) -> GradientReport:
    """Check the function that `at_point` makes; try another point if every direction met a kink.

    `at_point` gets a random generator, from which it also draws the point if `redraw` is set. The backend's
    device is current during the check.
    """
    for attempt in range(POINTS if redraw else 1):
        generator = np.random.default_rng([seed, attempt])
        with backend.hold(), backend.quiet():
            function = at_point(generator)
            gradients = function.gradients()
            directions = [
                direction
                for tensor, gradient in gradients.items()
                for direction in _directions(function, tensor, gradient, generator)
            ]
        report = _report(name, function.problem, directions, redraw)
        if report.passed or not _without_derivative(directions):
            break
    return report


def _directions(
    function: Function, tensor: str, gradient: HostArray, generator: np.random.Generator
) -> list[Direction]:
    """Draw directions until `DIRECTIONS` of them meet no kink; draw `DRAWS` at most."""
    drawn: list[Direction] = []
    while len(drawn) < DRAWS and sum(d.differentiable for d in drawn) < DIRECTIONS:
        drawn.append(_derivative(function, tensor, gradient, generator))
    return drawn


def _derivative(
    function: Function, tensor: str, gradient: HostArray, generator: np.random.Generator
) -> Direction:
    view = function.tensors[tensor]
    base = function.host(view)
    u = np.asarray(generator.standard_normal(base.shape))
    u /= np.linalg.norm(u)
    h = STEP * max(1.0, float(np.linalg.norm(base)) / math.sqrt(base.size))

    def moved(t: float) -> HostArray:
        view[...] = function.backend.asarray(base + t * u)
        return function.terms(tensor)

    centre = moved(0.0)
    sides = [
        (float(np.sum(moved(t) - centre)) / t, float(np.sum(centre - moved(-t))) / t)
        for t in (h, h / 2, h / 4)
    ]
    view[...] = function.backend.asarray(base)
    numeric = 0.5 * (sides[0][0] + sides[0][1])
    analytic = float(np.vdot(gradient, u))
    scale = max(abs(analytic), abs(numeric), 0.01 * float(np.sum(np.abs(centre))), 1e-300)
    s = [right - left for right, left in sides]
    kink = max(abs(s[0] - 2 * s[1]), abs(s[1] - 2 * s[2])) > TOLERANCE * scale
    return Direction(tensor, analytic, numeric, abs(analytic - numeric) / scale, not kink)


def _without_derivative(directions: Sequence[Direction]) -> list[str]:
    """Return the tensors for which every direction was excluded."""
    smooth = {d.tensor for d in directions if d.differentiable}
    return [name for name in dict.fromkeys(d.tensor for d in directions) if name not in smooth]


def _report(name: str, problem: str, drawn: Sequence[Direction], redraw: bool) -> GradientReport:
    counted = tuple(d for d in drawn if d.differentiable)
    excluded = tuple(d for d in drawn if not d.differentiable)
    errors = [d.error if math.isfinite(d.error) else math.inf for d in counted]
    worst = max(errors, default=0.0)
    lost = _without_derivative(drawn)
    note = f", {len(excluded)} more met a kink and do not count" if excluded else ""
    if problem:
        message = f"{name}: {problem}"
    elif worst > TOLERANCE:
        first = next(i for i, error in enumerate(errors) if error > TOLERANCE)
        message = f"{name}: {_diagnosis(counted[first], counted)}"
    elif lost:
        advice = "" if redraw else ": check at another point"
        message = f"{name}: no derivative of {', '.join(lost)} along any of {DRAWS} directions{advice}"
    else:
        message = f"{name}: passed, worst relative error {worst:.1e} over {len(counted)} directions{note}"
    return GradientReport(
        name, not problem and worst <= TOLERANCE and not lost, worst, counted, excluded, message
    )


def _diagnosis(wrong: Direction, counted: Sequence[Direction]) -> str:
    """Describe the first wrong direction, and what all directions of its tensor have in common."""
    text = (
        f"the gradient of {wrong.tensor} is wrong: backward gives {wrong.analytic:.6g} along a random "
        f"direction, finite differences {wrong.numeric:.6g} "
        f"(relative error {wrong.error:.1e}, tolerance {TOLERANCE:g})"
    )
    same = [d for d in counted if d.tensor == wrong.tensor]
    if not all(math.isfinite(d.analytic) and math.isfinite(d.numeric) for d in same):
        return f"{text}; a value is not finite"
    if all(d.analytic == 0.0 for d in same):
        return f"{text}; backward gives zero in every direction"
    ratios = [d.analytic / d.numeric for d in same if d.numeric]
    if ratios and max(ratios) - min(ratios) < 1e-4 * abs(ratios[0]):
        return f"{text}; in every direction backward gives {ratios[0]:.4g} times the right value"
    return text
