"""The parent's side of the engine: processes, their environment, and work in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from nnx.backends.threads import affinity
from nnx.errors import DeviceError, MissingLibraryError, NnxError
from nnx.experiments.compare.protocol import HostArray, Job, steps_an_epoch
from nnx.experiments.compare.sides import FRAMEWORKS, ROOM, TITLES, Side

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


def environment(threads: int, gpu: bool) -> dict[str, str]:
    """Return what every worker runs in: the same threads and devices, no messages of TensorFlow."""
    values = dict(os.environ) | dict.fromkeys(THREADS, str(threads))
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONUNBUFFERED": "1"}
    if gpu:  # by default TensorFlow and JAX take all of its memory, and nothing is left for the other workers
        values |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        values["NNX_COMPARE_GPU"] = "1"
        # JAX's kernels do not read NVIDIA's variable.
        if values.get("CUPY_TF32", "0") in ("", "0"):
            values |= {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
        else:
            values["JAX_DEFAULT_MATMUL_PRECISION"] = "tensorfloat32"
    else:
        values |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    # The worker must find this very nnx, installed or not.
    here = str(Path(__file__).resolve().parents[3])
    values["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [values.get("PYTHONPATH")])])
    return values


@contextmanager
def confined(threads: int) -> Iterator[None]:
    """Limit processes that are started in this block to so many cores: JAX has no option for it."""
    if threads >= affinity() or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def import_seconds(module: str, repeats: int, variables: dict[str, str], install: str = "") -> float:
    """Return the median time that ``import module`` takes in a fresh process."""
    code = f"import time; t = time.perf_counter(); import {module}; print('\\n', time.perf_counter() - t)"
    found = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            mend = f": {install.replace('install', 'install --upgrade')}" if install else ""
            raise MissingLibraryError(f"{module} is installed but cannot be imported ({reason}){mend}")
        found.append(float(done.stdout.split()[-1]))
    return float(np.median(found))


class Worker:
    """One process with one framework.

    Parameters
    ----------
    title : str
        Its name in messages.
    command : sequence of str
        The arguments of ``python``: a script, or ``-m`` and a module.
    folder : Path
        The folder of the job's files.
    argument : str
        The worker's variant.
    variables : dict
        Its environment, see `environment`.
    """

    about: dict[str, Any]
    problems: tuple[str, ...] = ()  # that it can compute as nnx does

    def __init__(
        self, title: str, command: Sequence[str], folder: Path, argument: str, variables: dict[str, str]
    ) -> None:
        self.title, self.command, self.folder = title, tuple(command), folder
        self.argument, self.variables = argument, variables
        number, name = tempfile.mkstemp(".err", "worker-", folder)
        os.close(number)
        self._errors = Path(name)
        threads = int(variables["OMP_NUM_THREADS"])
        with self._errors.open("w", encoding="utf-8") as errors, confined(threads):
            self.process = subprocess.Popen(
                [sys.executable, *command, str(folder), argument],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables, text=True,
            )  # fmt: skip
        self.doing = "starting"

    @classmethod
    def of(cls, side: Side, folder: Path, variables: dict[str, str]) -> Worker:
        """Start the worker of a side."""
        command = ("-m", f"{ROOM}.{side.framework}_worker")
        worker = cls(TITLES[side.name], command, folder, side.variant, variables)
        worker.problems = side.problems
        return worker

    def greet(self) -> Worker:
        """Wait until it is ready for jobs."""
        try:
            self.about = self.expect("hello")
        except BaseException:
            self.close()
            raise
        return self

    def send(self, message: Job) -> None:
        """Send a job, or open the gate."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `expect` reports the end of the process, with the reason
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def expect(self, event: str) -> dict[str, Any]:
        """Return the worker's next event; an NnxError says at what it failed or ended, and why."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            status = self.process.wait()
            lines = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = f": {lines[-1].strip()}" if lines else ""
            raise NnxError(
                f"{self.title}'s process ended with status {status} while {self.doing}{reason}; "
                "nothing was compared: repair it and run again"
            )
        message: dict[str, Any] = json.loads(text)
        if message["event"] == "error":
            raise NnxError(f"{self.title} failed while {self.doing}: {message['message']}")
        if message["event"] != event:
            raise NnxError(f"{self.title} said {message['event']} while {self.doing}, not {event}")
        return message

    def start(self, job: Job) -> None:
        """Give it a job."""
        self.doing = f"doing {job['task']} of {job['name']}"
        self.send(job | {"out": f"{job['name']}-{job['task']}-{self.process.pid}"})

    def finish(self) -> tuple[dict[str, Any], dict[str, HostArray]]:
        """Return the worker's answer at the end of a job, and its arrays."""
        message = self.expect("done")
        if "arrays" not in message:
            return message, {}
        path = self.folder / f"{message['arrays']}.npz"
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        path.unlink()
        return message, arrays

    def part(self) -> dict[str, Any]:
        """Let it compute one part, and return its report."""
        self.send({"go": True})
        return self.expect("part")

    def first_step_seconds(self, job: Job, repeats: int) -> list[float]:
        """Return what a job's first step takes, compiling included, each time in a fresh process."""
        found = []
        for _ in range(repeats):
            fresh = Worker(self.title, self.command, self.folder, self.argument, self.variables).greet()
            try:
                fresh.start(job)
                found.append(float(fresh.finish()[0]["first_seconds"]))
            finally:
                fresh.close()
        return found

    def close(self) -> None:
        """Let it end, and make sure that it has."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextmanager
def workers(folder: Path, chosen: dict[str, Side], variables: dict[str, str]) -> Iterator[dict[str, Worker]]:
    """Run one process for each side. If nnx runs on a GPU, every framework that can use it must see it."""
    gpu = chosen["nnx"].variant.startswith("gpu")
    started: dict[str, Worker] = {}
    try:
        for name, side in chosen.items():
            started[name] = Worker.of(side, folder, variables)
        for worker in started.values():  # they start at the same time, which takes less time
            worker.greet()
        for name, worker in started.items():
            if gpu and not worker.about["gpus"] and chosen[name].framework != "sklearn":
                raise DeviceError(_no_gpu(chosen[name]))
        yield started
    finally:
        for worker in started.values():
            worker.close()


def _no_gpu(side: Side) -> str:
    mend = {
        "keras": "pip uninstall tensorflow-cpu && pip install 'tensorflow[and-cuda]'",
        "torch": "install PyTorch's build for CUDA, see https://pytorch.org",
        "jax": "pip install 'jax[cuda12]'",
    }
    title = {"keras": "TensorFlow"}.get(side.framework, FRAMEWORKS[side.framework].title)
    return (
        f"nnx was asked to run on the GPU, but {title} sees none: {mend[side.framework]}, "
        "or choose --device cpu"
    )


def able(started: dict[str, Worker], problem: str) -> dict[str, Worker]:
    """Return the workers that can do a problem."""
    return {side: worker for side, worker in started.items() if problem in worker.problems}


def each(started: dict[str, Worker], job: Job) -> dict[str, tuple[dict[str, Any], dict[str, HostArray]]]:
    """Let one framework after the other do the same job."""
    found = {}
    for side, worker in started.items():
        worker.start(job)
        found[side] = worker.finish()
    return found


def in_turn(
    started: dict[str, Worker], job: Job, over: Callable[[int], bool] = lambda step: False
) -> dict[str, dict[str, Any]]:
    """Train in turn, a part each: so a busy moment of the machine affects all.

    Training ends on all sides after the part that ends an epoch at a step for which `over` is true. Return
    for each side the ``seconds`` of each part, and the arrays of the job.
    """
    for worker in started.values():
        worker.start(job)
        worker.expect("ready")
    found: dict[str, dict[str, Any]] = {side: {"seconds": []} for side in started}
    for step in job["stops"]:
        for side, worker in started.items():
            found[side]["seconds"].append(worker.part()["seconds"])
        if step == job["stops"][-1] or (step % steps_an_epoch(job) == 0 and over(step)):
            break
    for side, worker in started.items():
        worker.send({"go": False})
        found[side] |= worker.finish()[1]
    return found
