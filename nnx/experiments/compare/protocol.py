"""The worker's side of the comparison: one process, one framework, jobs as lines of JSON.

A worker reads a job a line from its standard input and answers with one event a line; arrays travel as
``.npy`` and ``.npz`` files of the job folder. While it trains, it stops at a gate after each part and waits
to be waved on, so that the frameworks train in turn, never at once, and each part is timed alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnx.training import epoch_order

HostArray = np.ndarray[Any, Any]
Job = dict[str, Any]
Task = Callable[["Line", "Store", Job], dict[str, Any]]


class Line:
    """Events out, jobs in. What anybody else prints to standard output goes to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, event: str, **values: Any) -> None:
        """One event."""
        self._out.write(json.dumps({"event": event} | values) + "\n")
        self._out.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next job, or None when the parent has gone."""
        text = sys.stdin.readline()
        return json.loads(text) if text else None


class Gate:
    """Where training stops between parts; the clock runs only between wave and stop."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._since = 0.0

    def open(self) -> None:
        """Everything is ready: wait for the first wave."""
        self._line.send("ready")
        self._wait()

    def stop(self) -> bool:
        """A part is done, the device has nothing left to do: tell how long it took, and wait.

        Returns
        -------
        bool
            Whether another part follows; otherwise training ends with this epoch.
        """
        self._line.send("part", seconds=time.perf_counter() - self._since)
        return self._wait()

    def _wait(self) -> bool:
        wave = self._line.receive()
        if wave is None:
            raise SystemExit(0)
        self._since = time.perf_counter()
        return bool(wave["go"])


@dataclass
class Store:
    """The job folder; arrays are read once for each type."""

    folder: Path
    _kept: dict[tuple[str, str], HostArray] = field(default_factory=dict)

    def array(self, name: str, dtype: str) -> HostArray:
        """The array of ``<name>.npy`` in `dtype`."""
        key = (name, dtype)
        if key not in self._kept:
            self._kept = {kept: value for kept, value in self._kept.items() if kept[1] == dtype}
            stored = np.load(self.folder / f"{name}.npy", allow_pickle=False)
            self._kept[key] = np.ascontiguousarray(stored, dtype=dtype)
        return self._kept[key]

    def data(self, job: Job) -> tuple[HostArray, HostArray]:
        """Inputs and targets of a job; an autoencoder's targets are its inputs, the same object."""
        x = self.array(job["x"], job["dtype"])[: job["rows"]]
        return (x, x) if job["y"] == job["x"] else (x, self.array(job["y"], job["dtype"])[: job["rows"]])

    def weights(self, job: Job) -> dict[str, HostArray]:
        """The initial weights of a job by nnx's names, ``dense_1.W`` and so on."""
        with np.load(self.folder / f"{job['weights']}.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def write(self, name: str, **arrays: Any) -> str:
        """Write results as ``<name>.npz``."""
        np.savez(self.folder / f"{name}.npz", **arrays)
        return name


def orders(job: Job, epochs: int) -> HostArray:
    """The rows in order, one line an epoch: what `nnx.Network.fit` draws from the network's seed."""
    seed, rows, size = job["network"]["seed"], job["rows"], job["batch_size"]
    return np.stack([epoch_order(seed, epoch * -(-rows // size), rows) for epoch in range(epochs)])


def batches(job: Job) -> Iterator[HostArray]:
    """Row numbers of each batch, for the first ``job["steps"]`` steps."""
    rows, size, steps = job["rows"], job["batch_size"], job["steps"]
    a_epoch = -(-rows // size)
    for step, order in enumerate(np.repeat(orders(job, -(-steps // a_epoch)), a_epoch, axis=0)[:steps]):
        start = step % a_epoch * size
        yield order[start : start + size]


def serve(folder: Path, tasks: dict[str, Task], about: dict[str, Any], line: Line) -> None:
    """Do jobs until the parent closes the pipe; an exception becomes an ``error`` event of one line."""
    store = Store(folder)
    line.send("hello", **about)
    while (job := line.receive()) is not None:
        try:
            line.send("done", **tasks[job["task"]](line, store, job))
        except Exception as error:
            text = str(error).strip().splitlines()
            line.send("error", message=f"{type(error).__name__}: {text[0] if text else 'no message'}")
