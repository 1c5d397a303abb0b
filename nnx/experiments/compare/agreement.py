"""Do both frameworks compute the same? Asked before any time is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nnx.experiments.compare.jobs import Problem
from nnx.experiments.compare.processes import Worker, each
from nnx.experiments.compare.protocol import HostArray


@dataclass(frozen=True)
class Check:
    """A problem, a float type, and how closely the losses of the first steps must agree."""

    problem: str
    dtype: str
    steps: int
    tolerance: float


# Two runs that differ in rounding alone drift apart, so that only the beginning can be compared: of the deep
# one in float32, of the shallow one in float64 too. Its steps are large (a loss summed over 784 pixels): nnx
# beside itself, one weight matrix changed by 1e-15, differs by 3e-12 after 20 steps, 1e-6 after 50, 0.4 after
# 200.
CHECKS = {
    "float64": Check("deep", "float64", 200, 1e-6),
    "float32": Check("deep", "float32", 50, 1e-3),
    "shallow_float64": Check("shallow", "float64", 20, 1e-6),
    "shallow_float32": Check("shallow", "float32", 10, 1e-3),
    "xor_float64": Check("xor_deep", "float64", 200, 1e-6),
    "xor_shallow_float64": Check("xor_shallow", "float64", 200, 1e-6),
}


@dataclass
class Agreement:
    """What the checks found.

    Attributes
    ----------
    checks : dict of dict
        By name: ``problem, dtype, steps, tolerance``, the largest relative difference of each of Keras's two
        ways and of both (None where a loss is not finite), and ``agree``.
    curves : dict of array
        The losses, ``agreement_<check>_<side>``.
    step_seconds : dict of dict
        A first idea of what a step takes: problem → side → seconds.
    """

    checks: dict[str, dict[str, Any]]
    curves: dict[str, HostArray]
    step_seconds: dict[str, dict[str, float]]

    @property
    def agree(self) -> bool:
        """Whether all do."""
        return all(check["agree"] for check in self.checks.values())

    def complaints(self) -> list[str]:
        """One sentence for each check that failed."""
        return [
            f"the loss curves of nnx and Keras do not agree on {check['problem']} in {check['dtype']}: "
            f"within {check['steps']} steps they differ by {text(check['max_relative_difference'])} "
            f"relative, more than {check['tolerance']:g}; no speed-up is given"
            for check in self.checks.values()
            if not check["agree"]
        ]


def examine(
    started: dict[str, Worker],
    problems: dict[str, Problem],
    progress: Callable[[str], Any],
    short: bool = False,
) -> Agreement:
    """Run every check on every side; with a quarter of the steps, or 20, where time is short."""
    found = Agreement({}, {}, {})
    for name, check in CHECKS.items():
        if short:
            check = replace(check, steps=max(min(check.steps, 20), check.steps // 4))
        answers = each(started, problems[check.problem].steps(check.steps, check.dtype))
        curves = {side: arrays["losses"] for side, (_, arrays) in answers.items()}
        apart = {side: difference(curves["nnx"], curve) for side, curve in curves.items() if side != "nnx"}
        known = [value for value in apart.values() if value is not None]
        worst = max(known) if len(known) == len(apart) else None
        found.checks[name] = {
            **asdict(check),
            **apart,
            "max_relative_difference": worst,
            "agree": worst is not None and worst <= check.tolerance,
        }
        found.curves |= {f"agreement_{name}_{side}": curve for side, curve in curves.items()}
        found.step_seconds[check.problem] = {side: answer["seconds"] for side, (answer, _) in answers.items()}
        progress(
            f"agreement {name}: losses of {check.steps} steps differ by {text(worst)} relative "
            f"(tolerance {check.tolerance:g})"
        )
    return found


def difference(ours: HostArray, theirs: HostArray) -> float | None:
    """max |a − b| / |b|; None where a value is not finite."""
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)).max())


def text(apart: float | None) -> str:
    """A relative difference for people."""
    return "inf" if apart is None else f"{apart:.2g}"
