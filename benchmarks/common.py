"""Share what all benchmarks need: workers that take turns, their environment, tables, and JSON.

Every framework runs in a separate process (``workers/``), with the same number of threads and otherwise with
its defaults. Idle threads are allowed to spin, because ``OMP_WAIT_POLICY=passive`` would make PyTorch a third
slower (12.8 ms instead of 9.6 for a step of the deep autoencoder). Instead, a pause before each turn lets the
threads of the last turn fall asleep. In every round, each worker takes one turn, in a rotating order, while
the others wait on their pipes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from jobs import Arrays, Job

TUNING = ("OPENBLAS_", "MKL_", "OMP_", "KMP_", "GOMP_", "NUMBA_", "ONEDNN_", "XLA_", "ATEN_", "TF_ENABLE_")
ENVIRONMENT = dict(os.environ)
WORKERS = Path(__file__).with_name("workers")
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
SETTLE = 0.25  # seconds: OpenBLAS's threads spin for 0.1 s after a product, others for less


@dataclass(frozen=True)
class Row:
    """A line of a table: a worker, and how to start it.

    Attributes
    ----------
    kind : {"nnx", "peer", "products"}
    other_loss : str
        Why its loss differs from the others; empty if it does not.
    """

    name: str
    worker: str
    variant: str = "-"
    kind: str = "peer"
    variables: dict[str, str] = field(default_factory=dict)
    other_loss: str = ""


@dataclass
class Result:
    """What a row measured, in seconds per step."""

    name: str
    kind: str
    median: float
    lower: float
    upper: float
    start: float
    early: float | None
    final: float | None
    about: dict[str, Any]
    rounds: int
    device: float | None = None  # the median measured by events on the GPU


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker: its threads, no GPU, and no messages from TensorFlow."""
    values = ENVIRONMENT | dict.fromkeys(THREADS, str(threads))
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    values |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return values | (extra or {})


def confine(threads: int) -> Callable[[], None] | None:
    """Return a function for a child to call first: JAX has no setting for threads, but respects affinity."""
    if threads >= cores() or not hasattr(os, "sched_setaffinity"):
        return None
    chosen = sorted(os.sched_getaffinity(0))[:threads]
    return lambda: os.sched_setaffinity(0, chosen)


class MissingError(Exception):
    """A worker cannot run here; the text says why."""


class Worker:
    """A process that takes turns; `start` is the seconds that building, compiling and warming up took."""

    def __init__(self, row: Row, folder: Path, threads: int) -> None:
        self.row = row
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, str(WORKERS / f"{row.worker}_worker.py"), str(folder), row.variant],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment(threads, row.variables), preexec_fn=confine(threads),
        )  # fmt: skip
        try:
            ready = self._read()
        except BaseException:
            self.close()
            raise
        self.start, self.early, self.about = ready["seconds"], ready["loss"], ready["about"]
        self.final: float | None = self.early
        self.seconds: list[float] = []
        self.device_seconds: list[float] = []

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if text:
            answer: dict[str, Any] = json.loads(text)
            return answer
        self.process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["it ended without a message"])[-1]
        raise MissingError(last.split(": ", 1)[-1])

    def turn(self) -> None:
        """Run one turn while the other workers wait."""
        assert self.process.stdin is not None
        time.sleep(SETTLE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self._read()
        self.seconds.append(answer["seconds"])
        if answer["device_seconds"] is not None:
            self.device_seconds.append(answer["device_seconds"])
        self.final = answer["loss"]

    def close(self) -> None:
        """End the process; kill it if it does not end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._errors.close()


def measure(job: Job, data: Arrays, rows: Sequence[Row], rounds: int, threads: int) -> list[Result]:
    """Return the seconds per step of every row, in interleaved rounds; leave out rows that cannot run."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(asdict(job)))
        np.savez(folder / "arrays.npz", **data)
        workers = []
        for row in rows:
            click.echo(f"starting {row.name} …", err=True)
            try:
                workers.append(Worker(row, folder, threads))
            except MissingError as error:
                click.echo(f"left out: {row.name}: {error}")
                continue
            stack.callback(workers[-1].close)
        for number in range(rounds):
            shift = number % max(1, len(workers))
            for worker in workers[shift:] + workers[:shift]:
                worker.turn()
        return [result(worker, job.steps) for worker in workers]


def result(worker: Worker, steps: int) -> Result:
    """Return statistics of a worker's times."""
    row, times = worker.row, [seconds / steps for seconds in worker.seconds]
    lower, median, upper = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    early = None if row.other_loss else worker.early
    final = None if row.other_loss else worker.final
    device = float(np.median(worker.device_seconds)) / steps if worker.device_seconds else None
    return Result(
        row.name, row.kind, median, lower, upper, worker.start, early, final, worker.about, len(times), device
    )


def avx512_products() -> Row | None:
    """Return a row of bare products with OpenBLAS's AVX-512 kernel, if OpenBLAS would not choose it itself.

    This happens on a CPU with AVX-512 if OPENBLAS_CORETYPE is set, or if OpenBLAS is older than the CPU.
    """
    cpuinfo = Path("/proc/cpuinfo")
    chosen = kernel()
    if not cpuinfo.exists() or "avx512f" not in cpuinfo.read_text() or chosen is None:
        return None
    if chosen in ("SkylakeX", "Cooperlake", "SapphireRapids"):
        return None
    variables = {"OPENBLAS_CORETYPE": "SkylakeX"}
    return Row("bare products, AVX-512 kernel", "products", kind="products", variables=variables)


def output(code: str, variables: dict[str, str] | None = None, check: bool = True) -> str:
    """Return what a line of Python prints in a new process."""
    command = [sys.executable, "-c", code]
    variables = ENVIRONMENT if variables is None else variables
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=check)
    return done.stdout.strip()


def installed(module: str) -> bool:
    """Return whether a module can be found."""
    return find_spec(module) is not None


def usable(device: str) -> bool:
    """Return whether nnx can compute on a device; print why if it cannot."""
    code = f"import nnx\ntry: nnx.resolve({device!r})\nexcept Exception as error: print(error)"
    problem = output(code)
    if problem:
        click.echo(f"left out: {device}: {problem}")
    return not problem


def kernel() -> str | None:
    """Return the kernel that NumPy's OpenBLAS chooses in a new process; None for another library."""
    code = (
        "import numpy, threadpoolctl as t; "
        "print([i['architecture'] for i in t.threadpool_info() if i['internal_api'] == 'openblas'][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def machine(threads: int) -> dict[str, Any]:
    """Return the facts about the machine that a result needs."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": cores(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"),
        "variables": {k: v for k, v in sorted(ENVIRONMENT.items()) if k.startswith(TUNING)},
    }


def headline(threads: int) -> None:
    """Print the machine, and the libraries' settings in the environment: they may make workers slow."""
    about = machine(threads)
    parts = (about["cpu"], f"{threads} of {about['cores']} cores", f"Python {about['python']}")
    click.echo(", ".join([*parts, about["date"]]))
    if about["variables"]:
        found = ", ".join(f"{name}={value}" for name, value in about["variables"].items())
        click.echo(f"WARNING: the benchmark keeps these settings of the environment: {found}")


def write_json(path: Path | None, benchmark: str, threads: int, results: Any) -> None:
    """Write the results as JSON if a path is given."""
    if path:
        content = {"benchmark": benchmark, "machine": machine(threads), "results": results}
        path.write_text(json.dumps(content, indent=2) + "\n")


def options(rounds: int) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of all benchmarks."""

    def add(command: Any) -> Any:
        for option in (
            click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results."),
            click.option("--threads", type=click.IntRange(1), default=cores(), help="Default: all cores."),
            click.option("--rounds", type=click.IntRange(1), default=rounds, show_default=True),
        ):
            command = option(command)
        return command

    return add
