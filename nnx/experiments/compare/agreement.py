"""Find out whether all frameworks compute the same, before any time is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nnx.experiments.compare.jobs import Problem
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.processes import Worker, able, each
from nnx.experiments.compare.protocol import HostArray
from nnx.experiments.compare.sides import TITLES


@dataclass(frozen=True)
class Check:
    """A problem, a precision, and how closely the losses of the first steps must agree."""

    problem: str
    dtype: str
    steps: int
    tolerance: float


# Two runs that differ in rounding alone drift apart, so that only the beginning can be compared: of the deep
# one in float32, of the shallow one in float64 too. Its steps are large (a loss summed over 784 pixels): nnx
# compared with itself, one weight matrix changed by 1e-15, differs by 3e-12 after 20 steps, 1e-6 after 50,
# 0.4 after 200. The classifier's first steps are large too: Keras computes Adam's 1 - beta^t in float32, up
# to 6e-5 off, and its losses then differ by 7e-5 after 5 steps, 1e-3 after 20, 1e-2 after 50 (JAX, by expm1:
# 3e-7).
# With bfloat16 factors, the frameworks differ in what else they round, by up to 2⁻⁸ each: Keras all outputs
# of layers, PyTorch and JAX some gradients. Their losses differ by up to 1.3e-3 in 20 steps (digits).
ROUNDED = 2.0**-6
CHECKS = {
    "float64": Check("deep", "float64", 200, 1e-6),
    "float32": Check("deep", "float32", 50, 1e-3),
    "shallow_float64": Check("shallow", "float64", 20, 1e-6),
    "shallow_float32": Check("shallow", "float32", 10, 1e-3),
    "xor_float64": Check("xor_deep", "float64", 200, 1e-6),
    "xor_shallow_float64": Check("xor_shallow", "float64", 200, 1e-6),
    "classifier_float64": Check("classifier", "float64", 200, 1e-6),
    "classifier_float32": Check("classifier", "float32", 5, 1e-3),
    "convolutional_float64": Check("convolutional", "float64", 20, 1e-6),
    "convolutional_float32": Check("convolutional", "float32", 5, 1e-3),
    "bfloat16": Check("deep", "bfloat16", 20, ROUNDED),
}


@dataclass
class Agreement:
    """What the checks found.

    Attributes
    ----------
    checks : dict of dict
        By name: ``problem, dtype, steps, tolerance``, the largest relative difference of each other side and
        of all (None if a loss is not finite), and ``agree``.
    curves : dict of array
        The losses, ``agreement_<check>_<side>``.
    step_seconds : dict of dict
        A first estimate of the time of a step: problem → side → seconds.
    """

    checks: dict[str, dict[str, Any]]
    curves: dict[str, HostArray]
    step_seconds: dict[str, dict[str, float]]

    @property
    def agree(self) -> bool:
        """Whether all checks agree."""
        return all(check["agree"] for check in self.checks.values())

    def complaints(self) -> list[str]:
        """Return one sentence for each check that failed."""
        return [
            f"the loss curves of nnx and {' and '.join(_apart(check))} do not agree on {check['problem']} "
            f"in {check['dtype']}: within {check['steps']} steps they differ by "
            f"{text(check['max_relative_difference'])} relative, more than {check['tolerance']:g}; "
            "no speed-up is given"
            for check in self.checks.values()
            if not check["agree"]
        ]


def _apart(check: dict[str, Any]) -> list[str]:
    """Return the titles of the sides that differ."""
    sides = [side for side in TITLES if side in check]
    return [TITLES[side] for side in sides if not within(check[side], check["tolerance"])]


def within(apart: float | None, tolerance: float) -> bool:
    """Return whether a difference is known and small enough."""
    return apart is not None and apart <= tolerance


def checks_of(problems: dict[str, Problem], precision: str = "float32") -> dict[str, Check]:
    """Return the checks of these problems, by name; those with bfloat16 only for a comparison with it."""
    return {
        name: check for name, check in CHECKS.items()
        if check.problem in problems and check.dtype in ("float32", "float64", precision)
    }  # fmt: skip


def examine(
    started: dict[str, Worker],
    problems: dict[str, Problem],
    progress: Callable[[str], Any],
    budget: Budget,
    precision: str = "float32",
) -> Agreement:
    """Run every check on every side that can; if time is short, with a quarter of the steps, or with 20."""
    found = Agreement({}, {}, {})
    for name, check in checks_of(problems, precision).items():
        if budget.short:
            check = replace(check, steps=max(min(check.steps, 20), check.steps // 4))
        with budget.part(f"agreement {name}"):
            job = problems[check.problem].steps(check.steps, check.dtype)
            answers = each(able(started, check.problem), job)
        curves = {side: arrays["losses"] for side, (_, arrays) in answers.items()}
        apart = {side: difference(curves["nnx"], curve) for side, curve in curves.items() if side != "nnx"}
        known = [value for value in apart.values() if value is not None]
        worst = max(known) if len(known) == len(apart) else None
        found.checks[name] = {
            **asdict(check),
            **apart,
            "max_relative_difference": worst,
            "agree": within(worst, check.tolerance),
        }
        found.curves |= {f"agreement_{name}_{side}": curve for side, curve in curves.items()}
        found.step_seconds[check.problem] = {side: answer["seconds"] for side, (answer, _) in answers.items()}
        progress(
            f"agreement {name}: losses of {check.steps} steps differ by {text(worst)} relative "
            f"(tolerance {check.tolerance:g})"
        )
    return found


def difference(ours: HostArray, theirs: HostArray) -> float | None:
    """Return max |a − b| / |b|; None if a value is not finite."""
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)).max())


def text(apart: float | None) -> str:
    """Write a relative difference for people."""
    return "inf" if apart is None else f"{apart:.2g}"
