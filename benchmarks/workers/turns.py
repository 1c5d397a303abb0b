"""Let the models of ``nnx run compare`` take turns: the same number of steps again and again.

The workers here are those of ``nnx/experiments/compare/workers`` with turns, and with the ways to train that
only the benchmarks compare.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.experiments.compare.protocol import Gate, Job, Line, Store
from nnx.experiments.compare.workers import base


class Events:
    """The clock of a GPU, see `Gate`: the time between two events in its queue."""

    def __init__(self, event: Callable[[], Any], milliseconds: Callable[[Any, Any], float]) -> None:
        self.event, self.milliseconds = event, milliseconds

    def start(self) -> None:
        """Mark the beginning."""
        self.first = self.event()
        self.first.record()

    def seconds(self) -> float:
        """Return the time from the beginning to the end of what is queued now."""
        last = self.event()
        last.record()
        last.synchronize()
        return float(self.milliseconds(self.first, last)) / 1e3


class InTurns:
    """Add turns to a `Model`. The jobs are ``turns`` (training steps) and ``encode`` (predictions)."""

    def kernel(self) -> str:
        """Name the library that multiplies matrices."""
        return blas()

    def events(self) -> Any:
        """Return the clock of the GPU, see `Gate`; None on a CPU."""
        return None

    def turns(self, gate: Gate) -> None:
        """Train for the same number of steps again and again, until the parent says stop.

        Warm up by the few steps whose loss is compared, and by a turn.
        """
        model: Any = self
        job = model.job
        if job["task"] == "encode":
            take_turns(gate, lambda _: float(np.abs(model.predict(model.x)).mean()), model)
            return
        rows = model.numbered(1) * (job["turn"] if job["restart"] else 1)

        def turn(steps: int) -> float:
            if job["restart"]:
                model.restore()
                return model.read(model.run(rows[:steps])[-1:])[0]
            return float(np.mean(model.read(model.run(rows[:steps]))))

        take_turns(gate, turn, model)


def take_turns(gate: Gate, turn: Callable[[int], float], model: Any) -> None:
    """Call `turn(steps)`, which returns a loss, once a turn."""
    job = model.job
    early = turn(job["check"])
    turn(job["check" if job["restart"] else "turn"])
    more = gate.open(loss=early, kernel=model.kernel())
    while more:
        more = gate.stop(loss=turn(job["turn"]))


def blas() -> str:
    """Describe the BLAS libraries that this process has loaded: version, kernel and threads."""
    from threadpoolctl import threadpool_info

    found = sorted(
        f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')} x{lib['num_threads']}"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    )
    return ", ".join(found)


def main(kind: type[Any], about: dict[str, Any]) -> None:
    """Serve the parent: ``python FRAMEWORK_worker.py FOLDER VARIANT``."""

    def turns(line: Line, store: Store, job: Job) -> dict[str, Any]:
        gate, model = Gate(line), kind.of(store, job, sys.argv[2])
        gate.events = model.events()
        model.turns(gate)
        return {}

    base.main(kind, about, turns=turns, encode=turns)
