"""The parent's side of the comparison: processes, their environment, and training in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import DeviceError, MissingLibraryError, NnxError
from nnx.experiments.compare.protocol import HostArray, Job

ROOM = "nnx.experiments.compare"
SIDES = ("nnx", "keras", "keras_xla")
NAMES = {"nnx": "nnx", "keras": "Keras", "keras_xla": "Keras XLA"}
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


def require_keras() -> None:
    """Refuse in one line where Keras or TensorFlow is not installed.

    Raises
    ------
    MissingLibraryError
    """
    missing = [name for name in ("tensorflow", "keras") if find_spec(name) is None]
    if missing:
        raise MissingLibraryError(f"the comparison needs {' and '.join(missing)}: pip install tensorflow")


def environment(threads: int, gpu: bool) -> dict[str, str]:
    """What every worker runs in: as many threads, the same devices, nothing printed by TensorFlow."""
    values = dict(os.environ) | dict.fromkeys(THREADS, str(threads))
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONUNBUFFERED": "1"}
    if gpu:  # by default TensorFlow takes all of its memory, and nothing is left for the other workers
        values["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    else:
        values["CUDA_VISIBLE_DEVICES"] = ""
    # The worker must find this very nnx, installed or not.
    here = str(Path(__file__).resolve().parents[3])
    values["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [values.get("PYTHONPATH")])])
    return values


def import_seconds(module: str, repeats: int, variables: dict[str, str]) -> float:
    """The median time that ``import module`` takes in a fresh process.

    Raises
    ------
    ConfigurationError
        If it cannot be imported.
    """
    code = f"import time; t = time.perf_counter(); import {module}; print('\\n', time.perf_counter() - t)"
    found = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingLibraryError(
                f"{module} is installed but cannot be imported ({reason}): pip install --upgrade tensorflow"
            )
        found.append(float(done.stdout.split()[-1]))
    return float(np.median(found))


class Worker:
    """One process with one framework."""

    about: dict[str, Any]

    def __init__(self, side: str, folder: Path, argument: str, variables: dict[str, str]) -> None:
        self.side, self.folder, self.argument, self.variables = side, folder, argument, variables
        number, name = tempfile.mkstemp(".err", f"{side}-", folder)
        os.close(number)
        self._errors = Path(name)
        module = f"{ROOM}.nnx_worker" if side == "nnx" else f"{ROOM}.keras_worker"
        with self._errors.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(folder), argument],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables, text=True,
            )  # fmt: skip
        self.doing = "starting"

    def greet(self) -> Worker:
        """Wait until it is ready for jobs.

        Raises
        ------
        NnxError
            If it cannot start.
        """
        try:
            self.about = self.expect("hello")
        except BaseException:
            self.close()
            raise
        return self

    def send(self, message: Job) -> None:
        """A job, or a wave through the gate."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its end is told by `expect`, with the reason
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def expect(self, event: str) -> dict[str, Any]:
        """The worker's next event.

        Raises
        ------
        NnxError
            If it failed or ended; the text says at what, and why.
        """
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            status = self.process.wait()
            lines = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = f": {lines[-1].strip()}" if lines else ""
            raise NnxError(
                f"{NAMES[self.side]}'s process ended with status {status} while {self.doing}{reason}; "
                "nothing was compared: mend that and run again"
            )
        message: dict[str, Any] = json.loads(text)
        if message["event"] == "error":
            raise NnxError(f"{NAMES[self.side]} failed while {self.doing}: {message['message']}")
        if message["event"] != event:
            raise NnxError(f"{NAMES[self.side]} said {message['event']} while {self.doing}, not {event}")
        return message

    def start(self, job: Job) -> None:
        """Hand it a job."""
        self.doing = f"doing {job['task']} of {job['name']}"
        self.send(job | {"out": f"{job['name']}-{job['task']}-{self.side}"})

    def finish(self) -> tuple[dict[str, Any], dict[str, HostArray]]:
        """The end of a job: what it says, and its arrays."""
        message = self.expect("done")
        if "arrays" not in message:
            return message, {}
        path = self.folder / f"{message['arrays']}.npz"
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        path.unlink()
        return message, arrays

    def first_step_seconds(self, job: Job, repeats: int) -> list[float]:
        """What a job's first step takes, compiling included, each time in a fresh process like this one."""
        found = []
        for _ in range(repeats):
            fresh = Worker(self.side, self.folder, self.argument, self.variables).greet()
            try:
                fresh.start(job)
                found.append(float(fresh.finish()[0]["seconds"]))
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
def workers(folder: Path, device: str, variables: dict[str, str]) -> Iterator[dict[str, Worker]]:
    """One process for nnx, one for Keras's default graph, one for Keras compiled by XLA.

    Raises
    ------
    DeviceError
        If a GPU was asked for and TensorFlow sees none.
    """
    gpu = device.startswith("gpu")
    started: dict[str, Worker] = {}
    arguments = {"nnx": device, "keras": "graph", "keras_xla": "xla"}
    try:
        for side in SIDES:
            started[side] = Worker(side, folder, arguments[side], variables)
        for worker in started.values():  # they start side by side, which takes less time
            worker.greet()
        if gpu and not started["keras"].about["gpus"]:
            raise DeviceError(
                "nnx was asked to run on the GPU, but TensorFlow sees none: "
                "pip uninstall tensorflow-cpu && pip install 'tensorflow[and-cuda]', or choose --device cpu"
            )
        yield started
    finally:
        for worker in started.values():
            worker.close()


def each(started: dict[str, Worker], job: Job) -> dict[str, tuple[dict[str, Any], dict[str, HostArray]]]:
    """The same job for one framework after the other."""
    found = {}
    for side, worker in started.items():
        worker.start(job)
        found[side] = worker.finish()
    return found


def in_turn(
    started: dict[str, Worker], job: Job, over: Callable[[int], bool] = lambda step: False
) -> dict[str, dict[str, Any]]:
    """Train in turn, a part each: a busy moment of the machine then falls on all.

    Parameters
    ----------
    over : callable
        Whether training ends on all sides after the part that ends with this step, the last of an epoch.

    Returns
    -------
    dict of dict
        For each side: ``seconds`` of each part, and the job's arrays.
    """
    an_epoch = -(-job["rows"] // job["batch_size"])
    for worker in started.values():
        worker.start(job)
        worker.expect("ready")
    found: dict[str, dict[str, Any]] = {side: {"seconds": []} for side in started}
    for step in job["stops"]:
        for side, worker in started.items():
            worker.send({"go": True})
            found[side]["seconds"].append(worker.expect("part")["seconds"])
        last = step == job["stops"][-1] or (step % an_epoch == 0 and over(step))
        if last:
            break
    for side, worker in started.items():
        worker.send({"go": False})
        found[side] |= worker.finish()[1]
    return found
