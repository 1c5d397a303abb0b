"""Find where a step spends its time on the GPU: the slowest operations and kernels of each job.

Run it:  PYTHONPATH=.:benchmarks:benchmarks/gpu python benchmarks/gpu/kernels.py --how events

`events` puts CuPy's events around each operation of nnx. A long product is queued before each step, so that
the whole step waits in the queue: what is measured is then the device's time, not the host's. `torch` reads
the times of all kernels of the process from PyTorch's profiler. `ncu` asks Nsight Compute, if it is found,
also how busy memory and multiprocessors were.
"""

from __future__ import annotations

import csv
import functools
import inspect
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import click
import found
import jobs

import nnx

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
SLOWEST = 3  # that are shown; all are written
ABSENT = 3  # the status if the profiler is not here
METRICS = {
    "ns": "gpu__time_duration.sum",
    "% of memory's speed": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "% of the multiprocessors'": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "registers": "launch__registers_per_thread",
}
Times = dict[str, list[float]]  # µs of each call, by name


class Operations(nnx.Callback):
    """Events around each operation of nnx; the steps of the first epoch are left out."""

    def __init__(self, backend: Any, delay: int) -> None:
        import cupy

        self.cupy, self.marks, self.inside, self.on = cupy, list[tuple[str, Any, Any]](), False, False
        with backend.hold():
            self.factors = cupy.ones((delay, delay), dtype="float32")
            self.product = cupy.empty((delay, delay), dtype="float32")
        for name in names(backend):
            setattr(backend, name, self.timed(name, getattr(backend, name)))

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the operation with an event before it and one after it."""

        @functools.wraps(call)
        def measured(*arguments: Any, **options: Any) -> Any:
            if self.inside or not self.on:
                return call(*arguments, **options)
            self.inside = True
            first, last = self.cupy.cuda.Event(), self.cupy.cuda.Event()
            first.record()
            try:
                return call(*arguments, **options)
            finally:
                last.record()
                self.inside = False
                self.marks.append((name, first, last))

        return measured

    def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
        """Begin after the first epoch."""
        self.on = True
        self.queue()

    def on_step_end(self, run: nnx.callbacks.Run) -> None:
        """Let the next step wait in the queue."""
        if self.on:
            self.queue()

    def queue(self) -> None:
        """Queue a long product."""
        self.cupy.dot(self.factors, self.factors, out=self.product)

    def times(self) -> Times:
        """Return the time of each call, by operation."""
        self.cupy.cuda.Device().synchronize()
        found_times: Times = defaultdict(list)
        for name, first, last in self.marks:
            found_times[name].append(1e3 * self.cupy.cuda.get_elapsed_time(first, last))
        return found_times


def names(backend: Any) -> Iterator[str]:
    """Yield the names of the operations."""
    for kind in type(backend).__mro__:
        if kind.__module__.startswith("nnx.ops"):
            for name, member in vars(kind).items():
                if inspect.isfunction(member) and not name.startswith("_"):
                    yield name


def by_events(job: jobs.Job, steps: int, delay: int) -> Times:
    """Return the times of nnx's operations."""
    operations = Operations(nnx.resolve("gpu"), delay)
    jobs.train(job, "gpu", steps, 2, operations, graph=False)
    times = operations.times()
    for name in times:  # as they were, for the next job
        delattr(nnx.resolve("gpu"), name)
    return times


def by_torch(job: jobs.Job, steps: int, delay: int) -> Times:
    """Return the times of all kernels, from PyTorch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.zeros(1, device="cuda")
    jobs.train(job, "gpu", steps, 1, graph=False)  # compiles
    with profile(activities=[ProfilerActivity.CUDA]) as measured:
        jobs.train(job, "gpu", steps, 1, graph=False)
        torch.cuda.synchronize()
    return {
        one.key: [one.device_time_total / one.count] * one.count
        for one in measured.key_averages()
        if one.device_time_total
    }


def by_ncu(job: jobs.Job, steps: int, delay: int) -> tuple[Times, dict[str, dict[str, float]]]:
    """Return the times of the kernels of the second epoch of three steps, and their other numbers."""
    name = next(name for name, one in JOBS.items() if one is job)
    plain = [sys.executable, __file__, "--how", "none", "--job", name, "--steps", "3"]
    options = ["--csv", "--print-units", "base", "--clock-control", "none", "--launch-skip", "160",
               "--launch-count", "60", "--metrics", ",".join(METRICS.values())]  # fmt: skip
    done = subprocess.run(["ncu", *options, *plain], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), None)
    if begin is None:
        raise click.ClickException(f"ncu measured nothing: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return read(lines[begin:])


def read(lines: list[str]) -> tuple[Times, dict[str, dict[str, float]]]:
    """Return what ncu's CSV says: times in µs, and the means of the other numbers, by kernel."""
    numbers: dict[str, Times] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(lines):
        numbers[row["Kernel Name"]][row["Metric Name"]].append(float(row["Metric Value"].replace(",", "")))
    times = {name: [n / 1e3 for n in one[METRICS["ns"]]] for name, one in numbers.items()}
    more = {
        name: {what: sum(one[m]) / len(one[m]) for what, m in METRICS.items() if what != "ns" and one[m]}
        for name, one in numbers.items()
    }
    return times, more


def lines(job: str, times: Times, more: dict[str, dict[str, float]]) -> list[str]:
    """Return a line for each of the slowest."""
    total = sum(map(sum, times.values()))
    told = [f"{job}: {total:.0f} µs in {sum(map(len, times.values()))} calls of {len(times)} kinds"]
    for name, each in sorted(times.items(), key=lambda item: -sum(item[1]))[:SLOWEST]:
        share, mean = sum(each) / total, sum(each) / len(each)
        others = "".join(f", {value:.0f} {what}" for what, value in more.get(name, {}).items())
        told.append(f"  {share:.0%} {name[:90]}: {len(each)} calls, {mean:.1f} µs each{others}")
    return told


def fused() -> str:
    """Return which products have their bias, and ReLU, in the same launch: others would hide NaN."""
    library = nnx.resolve("gpu")._blas_lt()  # type: ignore[attr-defined]
    if library is None:
        return "bias and ReLU in the launch of a product: never, cuBLASLt cannot be used"
    shapes = ", ".join(f"{kind} {count}" for kind, count in library.used().items())
    return f"bias and ReLU in the launch of a product, by shapes: {shapes}"


@click.command()
@click.option("--how", type=click.Choice(["events", "torch", "ncu", "none"]), required=True)
@click.option(
    "--job", "chosen", type=click.Choice(list(JOBS)), multiple=True, help="Default: all (ncu: deep)."
)
@click.option("--steps", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--delay", type=click.IntRange(1), default=6144, show_default=True, help="Rows of the long product."
)
def main(how: str, chosen: tuple[str, ...], steps: int, delay: int) -> None:
    """Print the slowest of each job; status 3 if the profiler is not here."""
    if (how == "torch" and not find_spec("torch")) or (how == "ncu" and not shutil.which("ncu")):
        raise SystemExit(ABSENT)
    told, all_times = list[str](), dict[str, Any]()
    for name in chosen or (("deep",) if how == "ncu" else JOBS):
        if how == "none":
            jobs.train(JOBS[name], "gpu", steps, 2, graph=False)
            continue
        measured = {"events": by_events, "torch": by_torch, "ncu": by_ncu}[how](JOBS[name], steps, delay)
        times, more = measured if isinstance(measured, tuple) else (measured, {})
        all_times[name] = {"µs": times, "more": more}
        told += lines(name, times, more)
        if how == "events":
            told.append("  " + fused())
        found.save({"summary": told, "times": all_times})
    click.echo("\n".join(told))


if __name__ == "__main__":
    main()
