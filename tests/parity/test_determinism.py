"""The same seed gives the same bytes: repeated, in threads, in processes, and after a fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import pytest
from support.busy import busy
from support.command_line import COMMAND, environment
from support.places import with_helpers
from support.teams import numbers

import nnx

DEVICES = ["numpy", *(["numba"] if find_spec("numba") else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_twice_in_one_process(device):
    assert numbers(device, 1) == numbers(device, 1)
    assert numbers(device, 1) != numbers(device, 2)


@pytest.mark.parametrize("device", DEVICES)
def test_next_to_busy_processes(device):
    quiet = numbers(device, 1)
    with busy(4):
        assert numbers(device, 1) == quiet


RUNS = {
    "xor": ("xor", "--epochs", "300"),
    "autoencoder": ("autoencoder", "--dataset", "digits", "--epochs", "2", "--preset", "best"),
}


@pytest.mark.parametrize("name", RUNS)
def test_two_runs_of_the_command_line_at_once(tmp_path, name):
    """Models, histories, metrics and figures, byte for byte; two processes at a time."""
    command = [*COMMAND, "run", *RUNS[name], "-q"]
    started = [
        subprocess.Popen(
            [*command, "--out", out], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        for out in ("a", "b")
    ]  # fmt: skip
    for process in started:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert {"model.safetensors", "history.csv", "result.json"} <= {path.name for path in files}
    for path in files:
        one, other = ((tmp_path / out / path).read_bytes() for out in ("a", "b"))
        if path.name == "result.json":
            timed = ("timing", "checksums")  # a checksum covers the times too
            results = [{k: v for k, v in json.loads(text).items() if k not in timed} for text in (one, other)]
            assert results[0] == results[1]
        elif path.suffix != ".html":  # the page tells the time
            assert one == other, path


@pytest.mark.parametrize("device", DEVICES)
def test_several_threads_at_once(device):
    alone = [numbers(device, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda seed: numbers(device, seed), range(4)))
    assert together == alone


def test_one_network_predicts_in_several_threads():
    network = nnx.Network([nnx.Dense(20, 64), nnx.Tanh(), nnx.Dense(5)], seed=0, device="cpu")
    inputs = [np.random.default_rng(seed).random((rows, 20)) for seed, rows in enumerate((7, 300, 33, 1100))]
    alone = [network.predict(x) for x in inputs]
    with ThreadPoolExecutor(4) as threads:
        for found, expected in zip(threads.map(network.predict, inputs * 5), alone * 5, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_several_processes_at_once(device):
    alone = [numbers(device, seed) for seed in range(2)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        assert list(processes.map(numbers, [device] * 2, range(2))) == alone


FORK = """
import os, sys
from support.teams import numbers
before = numbers(sys.argv[1], 3)  # threads and kernels are at work before the fork
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.write(writing, bytes([numbers(sys.argv[1], 3) == before]))
    os._exit(0)
same = numbers(sys.argv[1], 3) == before  # while the child computes
assert os.read(reading, 1) == b"\\x01", "the child"
_, status = os.waitpid(child, 0)
assert status == 0 and same
print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("device", DEVICES)
def test_a_forked_worker_works(device):
    done = subprocess.run(
        [sys.executable, "-c", FORK, device],
        env=with_helpers(), text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr


def test_the_default_device_is_a_threads_own():
    """`nnx.use` in one thread is not seen in another."""
    ready, seen = threading.Barrier(2), {}

    def build(name: str) -> None:
        with nnx.use(name):
            ready.wait()
            seen[name] = nnx.Network([nnx.Dense(2, 1)]).backend.name
            ready.wait()

    started = [threading.Thread(target=build, args=(name,)) for name in ("numpy", DEVICES[-1])]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert all(name == found for name, found in seen.items())
    if len(DEVICES) > 1:
        assert len(seen) == 2
