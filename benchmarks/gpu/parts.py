"""Say what `benchmarks/gpu.sh` runs: seven parts, ordered by worth, and how many seconds each may take.

Each part has tasks, which are commands of Python. With `short`, tasks do as little as possible: so the whole
program can be tried without a GPU, on the stand-in for CuPy.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REPLAYED = "replay or captur"  # words in the names of tests that compare replayed steps with normal ones
NO_TESTS = 5  # pytest's status if it found none
ABSENT = 3  # the status of `kernels.py` if a profiler is not here
KERNEL_TESTS = ("ops", "gradcheck", "parity", "backends", "layers", "losses", "optimizers", "training")
SHORT_TESTS = ("tests/gradcheck/test_checks.py", "tests/layers/test_dense.py", "tests/ops/test_gather.py")
ARRAY_TESTS = ("tests/parity/test_arrays_on_gpu.py", "tests/backends/test_foreign.py")


@dataclass(frozen=True)
class Task:
    """A command of Python.

    Attributes
    ----------
    limit : float
        The seconds after which it is stopped.
    shown : int
        How many of the last lines of its output the summary shows.
    skipped : dict of int to str
        Exit statuses that mean that there is nothing to do, and why.
    """

    name: str
    arguments: tuple[str, ...]
    limit: float
    variables: dict[str, str] = field(default_factory=dict)
    shown: int = 0
    skipped: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Tasks that show one thing; `share` is the number of seconds they may take together."""

    name: str
    shows: str
    share: float
    tasks: tuple[Task, ...]


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the arguments that run a file of this folder."""
    return (str(HERE / name), *arguments)


def pytest(name: str, limit: float, words: str, *places: str, skipped: str = "") -> Task:
    """Return a task of the tests marked `gpu`, in several processes if pytest-xdist is installed."""
    processes = min(8, (os.cpu_count() or 1) // 2)
    several = ("-n", str(processes)) if processes > 1 and importlib.util.find_spec("xdist") else ()
    options = ("-q", "-m", "gpu", "-k", words, "--tb=short", "-p", "no:cacheprovider", "-p", "outcomes")
    nothing = {NO_TESTS: skipped} if skipped else {}
    return Task(name, ("-m", "pytest", *options, *several, *places), limit,
                {"NNX_REQUIRE_GPU": "1"}, skipped=nothing)  # fmt: skip


def tests(short: bool) -> tuple[Task, ...]:
    """Return the tests of kernels, gradients and parity, then all others."""
    if short:
        return (pytest("some of the tests", 60, f"not ({REPLAYED})", *SHORT_TESTS),)
    first = [f"tests/{folder}" for folder in KERNEL_TESTS]
    others = [f"--ignore={one}" for one in (*first, *ARRAY_TESTS)]
    return (
        pytest("contracts, gradients, parity", 110, f"not ({REPLAYED})", *first),
        pytest("all other tests", 80, f"not ({REPLAYED})", *others, "tests"),
    )


def replay(short: bool) -> tuple[Task, ...]:
    """Return the tests of replayed steps."""
    where = ("tests/parity",) if short else ("tests",)
    reason = f"no test marked gpu has one of these words in its name: {REPLAYED}"
    return (pytest("replay equals eager", 50, REPLAYED, *where, skipped=reason),)


def steps(short: bool) -> tuple[Task, ...]:
    """Return the comparisons of a training step: what the goals are about comes first."""
    pairs = [(job, "float32") for job in ("deep", "shallow", "classifier", "wide")]
    pairs += [("deep", "bfloat16"), ("deep", "tf32")]
    if not short:
        pairs += [(job, how) for job in ("wide", "shallow", "classifier") for how in ("bfloat16", "tf32")]
    less = ("--steps", "1", "--rounds", "1", "--threads", "1") if short else ()
    return tuple(
        Task(f"{job}, {how}", script("steps.py", "--job", job, "--precision", how, *less), 75)
        for job, how in pairs
    )


def runs(short: bool) -> tuple[Task, ...]:
    """Return nnx's commands on MNIST, and the tests of arrays that are not copied, and of streams."""
    small = ("--dataset", "digits") if short else ()
    few = (*small, "--epochs", "1") if short else ()

    def run(what: str, limit: float, *options: str) -> Task:
        command = ("-m", "nnx", "run", *what.split(), "--device", "gpu", *options)
        return Task(f"nnx run {what}", command, limit, shown=12)

    return (
        run("autoencoder", 30, "--out", "{folder}/deep", *few),
        pytest("arrays without a copy, streams, allocators", 40, f"not ({REPLAYED})", *ARRAY_TESTS),
        run("svm", 40, "--model", "{folder}/deep", "--out", "{folder}/svm", *small),
        run("autoencoder --preset best", 60, "--out", "{folder}/best", *few),
    )


def parts(short: bool = False) -> tuple[Part, ...]:
    """Return all parts, in order."""
    few = ("--job", "deep") if short else ()
    less = ("--steps", "2", "--delay", "64") if short else ()
    check = Task("nnx devices --check", ("-m", "nnx", "devices", "--check"), 100, shown=8)
    memory = Task("the memory pool", script("pool.py", *few, *(("--steps", "20") if short else ())), 40)
    kernels = tuple(
        Task(title, script("kernels.py", "--how", how, *few, *less), limit, skipped={ABSENT: reason})
        for how, title, limit, reason in (
            ("events", "operations, by events", 20, ""),
            ("torch", "kernels, by PyTorch's profiler", 25, "PyTorch is not installed"),
            ("ncu", "kernels, by ncu", 40, "ncu is not on the PATH"),
        )
    )
    return (
        Part("1-devices", "XOR is learnt, and every gradient is right", 100, (check,)),
        Part("2-tests", "all tests marked gpu", 135, tests(short)),
        Part("3-replay", "replayed steps equal normal ones", 55, replay(short)),
        Part("4-steps", "a training step, next to other frameworks", 180, steps(short)),
        Part("5-runs", "whole commands; arrays without a copy; streams", 70, runs(short)),
        Part("6-memory", "the memory pool does not grow in 1,000 steps", 20, (memory,)),
        Part("7-kernels", "the slowest operations and kernels", 40, kernels),
    )
