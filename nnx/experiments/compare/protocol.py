"""The worker's side of the engine: one process, one framework, jobs as lines of JSON.

A worker reads one job a line from its standard input and answers with one event a line. Arrays travel as
``.npy`` and ``.npz`` files of the job folder. While it trains, it stops at a gate after each part and waits
for the parent, so the frameworks train in turn, never at once, and each part is timed alone.
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

from nnx.experiments.precision import stored_type
from nnx.training import epoch_order

HostArray = np.ndarray[Any, Any]
Job = dict[str, Any]
Task = Callable[["Line", "Store", Job], dict[str, Any]]


class Line:
    """Events out, jobs in. What a framework prints to standard output is sent to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, event: str, **values: Any) -> None:
        """Send one event."""
        self._out.write(json.dumps({"event": event} | values) + "\n")
        self._out.flush()

    def receive(self) -> dict[str, Any] | None:
        """Return the next job, or None when the parent has ended."""
        text = sys.stdin.readline()
        return json.loads(text) if text else None


class Gate:
    """Where training waits between parts; the clock runs only while a part is computed.

    Attributes
    ----------
    events : object or None
        Measures the same time on a GPU: ``start()``, and ``seconds()`` since then.
    """

    events: Any = None

    def __init__(self, line: Line) -> None:
        self._line = line
        self._since = 0.0

    def open(self, **values: Any) -> bool:
        """Everything is ready: report `values`, and wait for the first part."""
        self._line.send("ready", **values)
        return self._wait()

    def stop(self, **values: Any) -> bool:
        """A part is done and the device is idle: report its time and `values`, and wait.

        Returns
        -------
        bool
            Whether another part follows; otherwise training ends with this epoch.
        """
        device = self.events.seconds() if self.events else None  # waits for the device
        seconds = time.perf_counter() - self._since
        self._line.send("part", seconds=seconds, device_seconds=device, **values)
        return self._wait()

    def _wait(self) -> bool:
        answer = self._line.receive()
        if answer is None:
            raise SystemExit(0)
        self._since = time.perf_counter()
        if self.events:
            self.events.start()
        return bool(answer["go"])


@dataclass
class Store:
    """The job folder; arrays are read once for each type. A job's ``dtype`` is a precision."""

    folder: Path
    _kept: dict[tuple[str, str], HostArray] = field(default_factory=dict)

    def array(self, name: str, dtype: str) -> HostArray:
        """Return the array of ``<name>.npy`` in the type of a precision; integers (labels) keep theirs."""
        dtype = stored_type(dtype)
        key = (name, dtype)
        if key not in self._kept:
            self._kept = {kept: value for kept, value in self._kept.items() if kept[1] == dtype}
            stored = np.load(self.folder / f"{name}.npy", allow_pickle=False)
            whole = stored.dtype.kind in "iu"
            self._kept[key] = np.ascontiguousarray(stored, dtype=stored.dtype if whole else dtype)
        return self._kept[key]

    def data(self, job: Job) -> tuple[HostArray, HostArray]:
        """Return inputs and targets of a job; an autoencoder's targets are its inputs, the same object."""
        x = self.array(job["x"], job["dtype"])[: job["rows"]]
        return (x, x) if job["y"] == job["x"] else (x, self.array(job["y"], job["dtype"])[: job["rows"]])

    def weights(self, job: Job) -> list[tuple[HostArray, HostArray]]:
        """Return the initial weights of a job: (W, b) of each dense layer."""
        with np.load(self.folder / f"{job['weights']}.npz", allow_pickle=False) as archive:
            dtype = stored_type(job["dtype"])
            return [
                (archive[f"{name}.W"].astype(dtype), archive[f"{name}.b"].astype(dtype))
                for name, _, _ in job["layers"]
            ]

    def write(self, name: str, **arrays: Any) -> str:
        """Write results as ``<name>.npz``."""
        np.savez(self.folder / f"{name}.npz", **arrays)
        return name


def steps_an_epoch(job: Job) -> int:
    """Count the batches of an epoch; the last may be smaller."""
    return int(-(-job["rows"] // job["batch_size"]))


def orders(job: Job, epochs: int) -> HostArray:
    """Return the rows in order, one line an epoch: what `nnx.Network.fit` draws from the network's seed."""
    rows = job["rows"]
    if not job["shuffle"]:
        return np.broadcast_to(np.arange(rows), (epochs, rows))
    return np.stack([epoch_order(job["seed"], e * steps_an_epoch(job), rows) for e in range(epochs)])


def batches(job: Job, epochs: int) -> Iterator[HostArray]:
    """Yield the row numbers of each batch of so many epochs."""
    for order in orders(job, epochs):
        yield from np.split(order, range(job["batch_size"], job["rows"], job["batch_size"]))


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
