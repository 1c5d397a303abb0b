"""Share what all benchmarks need: workers that take turns, their environment, tables, and JSON.

The workers (``workers/``) are those of ``nnx run compare`` (``nnx/experiments/compare/workers``), which here
take turns, and a few more. Every framework runs in a separate process, with the same number of threads and
otherwise with its defaults. Idle threads are allowed to spin, because ``OMP_WAIT_POLICY=passive`` would make
PyTorch a third slower (12.8 ms instead of 9.6 for a step of the deep autoencoder). Instead, a pause before
each turn lets the threads of the last turn fall asleep. In every round, each worker takes one turn, in a
rotating order, while the others wait on their pipes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from jobs import Job, prepare

from nnx.backends.threads import cores
from nnx.errors import NnxError
from nnx.experiments.compare import processes
from nnx.experiments.compare.sides import FRAMEWORKS, absent

TUNING = ("OPENBLAS_", "MKL_", "OMP_", "KMP_", "GOMP_", "NUMBA_", "ONEDNN_", "XLA_", "ATEN_", "TF_ENABLE_")
ENVIRONMENT = dict(os.environ)
WORKERS = Path(__file__).with_name("workers")
GPU = "NNX_COMPARE_GPU"  # the variable that sends workers to the GPU
SETTLE = 0.25  # seconds: OpenBLAS's threads spin for 0.1 s after a product, others for less


@dataclass(frozen=True)
class Row:
    """A line of a table: a worker, and how to start it.

    Attributes
    ----------
    kind : {"nnx", "peer", "products", "bfloat16"}
    other_loss : str
        Why its loss differs from the others; empty if it does not.
    precision : str
        What it computes with; empty for that of the job.
    """

    name: str
    worker: str
    variant: str = "-"
    kind: str = "peer"
    variables: dict[str, str] = field(default_factory=dict)
    other_loss: str = ""
    precision: str = ""


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


def environment(threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return what a worker runs in: as many threads as the others, on the CPU if `extra` names no GPU."""
    return ENVIRONMENT | processes.environment(threads, gpu=False) | (extra or {})


class MissingError(Exception):
    """A worker cannot run here; the text says why."""


class Turns:
    """A worker that takes turns.

    Its process starts at once; `greet` and `prepare` wait for it. Several so start together, which saves
    time, and then compile one after the other, so that none disturbs another's choice of kernels.

    Attributes
    ----------
    start : float
        The seconds it took to build, compile and warm up.
    """

    def __init__(self, row: Row, folder: Path, threads: int) -> None:
        self.row = row
        script = WORKERS / f"{row.worker}_worker.py"
        variables = environment(threads, row.variables)
        self.worker = processes.Worker(row.name, (str(script),), folder, row.variant, variables)
        self.seconds: list[float] = []
        self.device_seconds: list[float] = []

    def greet(self) -> None:
        """Wait until it has imported its framework."""
        gpus = self.worker.greet().about.get("gpus")
        if GPU in self.row.variables and not gpus:
            raise MissingError("it sees no GPU")

    def prepare(self, job: dict[str, Any]) -> None:
        """Let it build, compile and warm up."""
        click.echo(f"preparing {self.row.name} …", err=True)
        began = time.perf_counter()
        self.worker.start(job | ({"dtype": self.row.precision} if self.row.precision else {}))
        ready = self.worker.expect("ready")
        self.start = time.perf_counter() - began
        about = self.worker.about
        more = {name: about[name] for name in ("backend",) if name in about}
        self.about = about["versions"] | more | {"kernel": ready.get("kernel")}
        self.early: float | None = ready.get("loss")
        self.final = self.early

    def turn(self) -> None:
        """Run one turn while the other workers wait."""
        time.sleep(SETTLE)
        answer = self.worker.part()
        self.seconds.append(answer["seconds"])
        if answer["device_seconds"] is not None:
            self.device_seconds.append(answer["device_seconds"])
        self.final = answer["loss"]

    def close(self) -> None:
        """Let it end."""
        self.worker.close()


def able(worker: Turns, call: Callable[..., None], *arguments: Any) -> bool:
    """Return whether a worker does what it is asked; if not, close it and print why."""
    try:
        call(*arguments)
    except (NnxError, MissingError) as error:
        click.echo(f"left out: {worker.row.name}: {str(error).split('; nothing was compared')[0]}")
        worker.close()
        return False
    return True


def in_rounds(workers: Sequence[Turns], rounds: int) -> None:
    """Let every worker take a turn in each round, in a rotating order."""
    for number in range(rounds):
        shift = number % max(1, len(workers))
        for worker in [*workers[shift:], *workers[:shift]]:
            worker.turn()


@contextmanager
def started(
    job: Job, rows: Sequence[Row], threads: int, prepare: Callable[..., Any] = prepare
) -> Iterator[tuple[list[Turns], str]]:
    """Yield the workers of all rows, ready for their first turn, and whose data they have.

    `prepare` writes the data and describes the job. A row that cannot run is named and left out.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        described, whose = prepare(job, folder)
        workers = []
        for row in rows:
            if missing := absent(row.worker) if row.worker in FRAMEWORKS else "":
                click.echo(f"left out: {row.name}: {missing}")
                continue
            workers.append(Turns(row, folder, threads))
            stack.callback(workers[-1].close)
        workers = [worker for worker in workers if able(worker, worker.greet)]
        workers = [worker for worker in workers if able(worker, worker.prepare, described)]
        yield workers, whose


def measure(
    job: Job, rows: Sequence[Row], rounds: int, threads: int, prepare: Callable[..., Any] = prepare
) -> tuple[list[Result], str]:
    """Return every row's seconds a step, in interleaved rounds, and whose data they are."""
    with started(job, rows, threads, prepare) as (workers, whose):
        in_rounds(workers, rounds)
        return [result(worker, job.steps) for worker in workers], whose


def result(worker: Turns, steps: int) -> Result:
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
    return Row("bare products, NumPy's AVX-512 kernel", "products", "numpy", "products", variables)


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
