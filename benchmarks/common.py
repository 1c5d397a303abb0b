"""What the benchmarks share: workers that take turns, their environment, tables, and JSON.

Every framework runs in a process of its own (``workers/``), with the same number of threads and otherwise
its own defaults. Nothing keeps idle threads from spinning: ``OMP_WAIT_POLICY=passive`` costs PyTorch a third
(12.8 ms for 9.6 a step of the deep autoencoder). Instead, a pause before each turn lets the threads of the
turn before fall asleep. In every round each worker takes one turn, in an order that rotates, while the others
wait on their pipes.
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
SETTLE = 0.25  # seconds: OpenBLAS's threads spin for 0.1 s after their last product, the others' for less


@dataclass(frozen=True)
class Row:
    """A line of a table: a worker, and how it is started.

    Attributes
    ----------
    kind : {"nnx", "peer", "products"}
    other_loss : str
        Why its loss is not the others', where it is not.
    """

    name: str
    worker: str
    variant: str = "-"
    kind: str = "peer"
    variables: dict[str, str] = field(default_factory=dict)
    other_loss: str = ""


@dataclass
class Result:
    """What a row measured, seconds a step."""

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
    device: float | None = None  # the median by the GPU's own events


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """What a worker runs in: as many threads as the others, on the CPU, nothing printed by TensorFlow."""
    values = ENVIRONMENT | dict.fromkeys(THREADS, str(threads))
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    values |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return values | (extra or {})


def confine(threads: int) -> Callable[[], None] | None:
    """For a child to run first: JAX knows no number of threads, but does keep to the cores it is given."""
    if threads >= cores() or not hasattr(os, "sched_setaffinity"):
        return None
    chosen = sorted(os.sched_getaffinity(0))[:threads]
    return lambda: os.sched_setaffinity(0, chosen)


class MissingError(Exception):
    """A worker that cannot run here; the text says why."""


class Worker:
    """A process that takes turns; `start` is the seconds it took to build, compile and warm up."""

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
        last = (self._errors.read().strip().splitlines() or ["it ended without a word"])[-1]
        raise MissingError(last.split(": ", 1)[-1])

    def turn(self) -> None:
        """One turn, alone on the machine."""
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
        """Let it end; one that does not is killed."""
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
    """Every row's seconds a step, in interleaved rounds; a row that cannot run is told of and left out."""
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
    """A worker's times in figures."""
    row, times = worker.row, [seconds / steps for seconds in worker.seconds]
    lower, median, upper = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    early = None if row.other_loss else worker.early
    final = None if row.other_loss else worker.final
    device = float(np.median(worker.device_seconds)) / steps if worker.device_seconds else None
    return Result(
        row.name, row.kind, median, lower, upper, worker.start, early, final, worker.about, len(times), device
    )


def avx512_products() -> Row | None:
    """The bare products with OpenBLAS's AVX-512 kernel, where this CPU has AVX-512 and it chose another.

    OPENBLAS_CORETYPE in the environment brings that about, or an OpenBLAS older than the CPU.
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
    """What a line of Python prints in a fresh process."""
    command = [sys.executable, "-c", code]
    variables = ENVIRONMENT if variables is None else variables
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=check)
    return done.stdout.strip()


def installed(module: str) -> bool:
    """Whether a module can be found."""
    return find_spec(module) is not None


def usable(device: str) -> bool:
    """Whether nnx can compute on a device; it is told of where it cannot."""
    code = f"import nnx\ntry: nnx.resolve({device!r})\nexcept Exception as error: print(error)"
    problem = output(code)
    if problem:
        click.echo(f"left out: {device}: {problem}")
    return not problem


def kernel() -> str | None:
    """The kernel that NumPy's OpenBLAS chooses in a fresh process; None where it is another library."""
    code = (
        "import numpy, threadpoolctl as t; "
        "print([i['architecture'] for i in t.threadpool_info() if i['internal_api'] == 'openblas'][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def machine(threads: int) -> dict[str, Any]:
    """What a result is worth nothing without."""
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
    """The machine, and what was set for its libraries before: workers inherit it, and it may cost time."""
    about = machine(threads)
    parts = (about["cpu"], f"{threads} of {about['cores']} cores", f"Python {about['python']}")
    click.echo(", ".join([*parts, about["date"]]))
    if about["variables"]:
        found = ", ".join(f"{name}={value}" for name, value in about["variables"].items())
        click.echo(f"WARNING: set in this environment, and left so: {found}")


def write_json(path: Path | None, benchmark: str, threads: int, results: Any) -> None:
    """The results as JSON, where a path is given."""
    if path:
        content = {"benchmark": benchmark, "machine": machine(threads), "results": results}
        path.write_text(json.dumps(content, indent=2) + "\n")


def options(rounds: int) -> Callable[[Any], Any]:
    """The options that all benchmarks have."""

    def add(command: Any) -> Any:
        for option in (
            click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results."),
            click.option("--threads", type=click.IntRange(1), default=cores(), help="Default: all cores."),
            click.option("--rounds", type=click.IntRange(1), default=rounds, show_default=True),
        ):
            command = option(command)
        return command

    return add
