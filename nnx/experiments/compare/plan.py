"""Plan the time of a comparison: what each part takes at least, and how the rest is shared out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nnx.errors import ConfigurationError

# What follows the measurements (figures, the report), in the time that starting Python and loading the
# libraries took.
LATER = 2.5
# What each part takes at least: first jobs on all sides (building, compiling), and steps of the deep
# autoencoder on all sides.
LEAST = {
    "agreement float64": (1.1, 100), "agreement float32": (0.8, 20), "agreement shallow_float64": (0.5, 10),
    "agreement shallow_float32": (0.3, 3), "agreement xor_float64": (0.2, 0),
    "agreement xor_shallow_float64": (0.2, 0), "agreement classifier_float64": (0.8, 25),
    "agreement classifier_float32": (0.6, 2), "agreement bfloat16": (0.8, 20),
    "xor_deep": (0.5, 0), "xor_shallow": (0.5, 0), "xor_fit": (0.5, 0),
    "agreement convolutional_float64": (2.0, 60), "agreement convolutional_float32": (1.5, 15),
    "convolutional": (2.0, 60), "deep": (1.6, 55), "shallow": (0.9, 12), "classifier": (0.9, 10),
}  # fmt: skip
SVM = 6.0  # an SVM on one side's codes, in times of nnx's import
MARGIN = 1.15  # what is planned at least is measured once: the machine may be slower a little later
FULL_STEPS, FULL_SHARE = 400, 0.3  # agreement on all steps: so many more, if they take no larger share


class Budget:
    """The time of a comparison: how much is left, and for what; the minutes must be positive.

    Parameters
    ----------
    minutes : float
    spent : float
        Seconds that have passed already: Python and libraries were loaded.

    Attributes
    ----------
    total : float
        Seconds in all.
    later : float
        Seconds kept for what follows the measurements: figures and the report.
    least : dict
        Seconds that each part still to come takes at least.
    expected, took : dict
        Seconds that each part was expected to take at least, and that it took.
    short : bool
        Whether time is short: the agreement then uses fewer steps.
    """

    def __init__(self, minutes: float, spent: float = 0.0) -> None:
        if not (math.isfinite(minutes) and minutes > 0.0):
            raise ConfigurationError(f"minutes must be a positive number, not {minutes!r}")
        self.total = 60.0 * minutes
        self.later = LATER * spent
        self.least: dict[str, float] = {}
        self.expected: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.short = False
        self._began = time.monotonic() - spent

    def spent(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._began

    def left(self) -> float:
        """Return the seconds left for measurements."""
        return max(0.0, self.total - self.later - self.spent())

    def free(self) -> float:
        """Return the seconds left once every part has what it takes at least."""
        return max(0.0, self.left() - sum(self.least.values()))

    def plan(self, parts: Iterable[str], job: float, step: float, svm: float) -> None:
        """Plan the parts, and refuse minutes that are too few for the smallest comparison.

        Parameters
        ----------
        parts : iterable of str
        job, step : float
            Seconds of the first job and of a step of the deep autoencoder, on all sides together.
        svm : float
            Seconds of the smallest SVMs.
        """
        self.least = {part: LEAST[part][0] * job + LEAST[part][1] * step for part in parts} | {"svm": svm}
        self.expected = dict(self.least)
        self._refuse_too_short()
        self.short = FULL_STEPS * step > FULL_SHARE * self.free()

    def _refuse_too_short(self) -> None:
        needed = self.spent() + MARGIN * sum(self.least.values()) + self.later
        if needed > self.total:
            minutes = math.ceil(needed / 6.0) / 10.0
            raise ConfigurationError(
                f"--minutes {self.total / 60:g} is too short: at the speed of this machine now, the smallest "
                f"comparison takes about {minutes:g} minutes: use --minutes {minutes:g} or more"
            )

    @contextmanager
    def part(self, name: str, share: float = 0.0) -> Iterator[float]:
        """Do a part of the plan; the context gives when it must end, in seconds since the beginning.

        It gets the least that it takes, and a `share` of the free time.
        """
        began, extra = self.spent(), share * self.free()
        least = self.least.get(name, 0.0)
        yield began + least + extra
        self.least.pop(name, None)
        self.took[name] = self.spent() - began
