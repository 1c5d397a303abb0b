"""The worker's side of a benchmark: one process, one framework, turns started over a pipe.

``python workers/NAME_worker.py FOLDER VARIANT`` reads ``job.json`` and ``arrays.npz`` in the folder, builds
and warms up, reports that it is ready, and waits. Each line from the parent starts one turn; the answer is
one line of JSON with the seconds and the loss. A waiting worker sleeps in ``readline``.

This module does not import NumPy, so that a worker chooses what it imports first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


class Gate:
    """Wait between turns; the clock runs only from the parent's signal to `stop`.

    A worker may set `events` to measure the same on a GPU: `start()`, and then `seconds()` since the start.
    """

    events: Any = None

    def __init__(self) -> None:
        self.folder, self.variant = Path(sys.argv[1]), sys.argv[2]
        self.job: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        self.threads = int(os.environ["OMP_NUM_THREADS"])
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # so that a framework's output does not mix with the answers
        self._began = self._since = time.perf_counter()

    def arrays(self) -> dict[str, Any]:
        """Return the job's arrays: x, y (x itself if there is no y), and W0, b0, W1 and so on."""
        import numpy as np

        with np.load(self.folder / "arrays.npz") as archive:
            found = {name: archive[name] for name in archive.files}
        return {"y": found["x"]} | found

    def ready(self, loss: float | None, **about: Any) -> None:
        """Report that the worker is ready, with its seconds and its first mean loss; wait for a turn."""
        seconds = time.perf_counter() - self._began
        self._tell(
            event="ready", seconds=seconds, loss=loss, about={"kernel": about.get("kernel") or blas()} | about
        )

    def stop(self, loss: float | None) -> None:
        """Report a turn, after the device has finished all its work; wait for the next."""
        device = self.events.seconds() if self.events else None  # waits for the device
        seconds = time.perf_counter() - self._since
        self._tell(event="turn", seconds=seconds, device_seconds=device, loss=loss)

    def _tell(self, **values: Any) -> None:
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()
        if not sys.stdin.readline():
            raise SystemExit(0)
        self._since = time.perf_counter()
        if self.events:
            self.events.start()


def weights(arrays: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return (W, b) of each layer."""
    count = sum(name.startswith("W") for name in arrays)
    return [(arrays[f"W{i}"], arrays[f"b{i}"]) for i in range(count)]


def take_turns(gate: Gate, turn: Any, **about: Any) -> None:
    """Run a worker whose turn is a function: `turn(steps)` works and returns the mean loss.

    It warms up with the few steps whose loss is compared, and with one turn.
    """
    early = turn(gate.job["check"])
    turn(gate.job["check" if gate.job["restart"] else "steps"])
    gate.ready(early, **about)
    while True:
        gate.stop(turn(gate.job["steps"]))


def blas() -> str:
    """Return the BLAS libraries in this process: name, version, kernel and threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown, as threadpoolctl is not installed"
    found = sorted(
        f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')} x{lib['num_threads']}"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    )
    return ", ".join(found)
