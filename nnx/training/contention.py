"""Warn if other programs use the processors, so that training has to wait.

NumPy's BLAS divides a product among threads. A thread that has finished its part spins until the others have,
too. If one of them gets no processor, all wait, and a step can take ten or thirty times as long as on one
thread. nnx reports this, with advice. It does not change the number of threads itself, because the last
digits of results depend on that number, and they must not depend on what else runs on the machine.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

logger = logging.getLogger("nnx")

BEGIN = 0.5  # seconds before the first measurement, and the least time between two
# Warn if threads waited for more than this share of the time in which they could have run. Threads of a BLAS
# also wait for each other: next to one busy process on two cores they wait 0.37, and take 3 times as long.
SHARE, SHARE_OF_BLAS = 0.5, 0.25
TASKS = Path("/proc/self/task")


class Contention:
    """Measure after 0.5, 1, 2, 4, … seconds of training, and warn at most once per process.

    So each measurement is about the second half of the time until now. Other programs that run for a few
    seconds are reported if training has just begun, but not after hours.

    Parameters
    ----------
    backend : Backend

    Attributes
    ----------
    due : float
        When to look next, by `time.monotonic`.
    """

    reported: ClassVar[bool] = False

    def __init__(self, backend: Any) -> None:
        self.backend, self.began = backend, time.monotonic()
        self.before: tuple[float, float] | None = None
        self.due = math.inf if backend.device != "cpu" or self.reported else self.began + BEGIN

    def look(self) -> None:
        """Measure; called after a step when `due` has come."""
        before, self.before = self.before, _ran_and_waited()
        now = time.monotonic()
        self.due = math.inf if self.before is None else now + max(BEGIN, now - self.began)
        if before is None or self.before is None:
            return
        ran, waited = (later - earlier for later, earlier in zip(self.before, before, strict=True))
        several = self.backend.blas_threads() > 1
        if waited > (SHARE_OF_BLAS if several else SHARE) * (ran + waited):
            Contention.reported, self.due = True, math.inf
            logger.warning("%s", _report(waited / (ran + waited), several))


def _report(share: float, several: bool) -> str:
    part = "half" if 0.45 <= share < 0.55 else f"{share:.0%}"
    text = f"other programs use the processors: nnx waits {part} of the time"
    if not several:
        return f"{text}, and training takes that much longer"
    return (
        f"{text}, and NumPy's threads wait for each other; stop with Ctrl-C and start again with --threads 1 "
        "(in Python: OPENBLAS_NUM_THREADS=1): it can be ten times as fast"
    )


def _ran_and_waited() -> tuple[float, float] | None:
    """Return the seconds in which this process's threads ran, and waited for a processor; None if unknown."""
    ran = waited = 0
    with suppress(OSError, ValueError):
        for task in TASKS.iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                first, second = (task / "schedstat").read_text(encoding="ascii").split()[:2]
                ran, waited = ran + int(first), waited + int(second)
    return (ran / 1e9, waited / 1e9) if ran else None
