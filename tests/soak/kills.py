"""Kill real runs of the command line again and again, and see that each ends as one that was never stopped.

    python tests/soak/kills.py --kills 200

Every run is a process of its own. It gets SIGKILL after a random share of its processor time, or at a random
place of those that matter: in the middle of a file, before a file is flushed, before and after it is renamed,
before an older one is removed. Then it goes on with --resume, is killed again, and so on; in the end its
model, history, metrics and figures are compared, byte for byte, with those of a run without checkpoints.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # the threads of a parent are not there in its children
os.environ |= {"NNX_OFFLINE": "1", "NNX_DEVICE": os.environ.get("NNX_DEVICE", "numpy")}

SCENARIOS = {
    "autoencoder": ("autoencoder", "--dataset", "digits", "--epochs", "2"),
    "best": ("autoencoder", "--dataset", "digits", "--preset", "best", "--epochs", "2", "--batch-size", "96"),
    "bfloat16": ("autoencoder", "--dataset", "digits", "--epochs", "2", "--precision", "bfloat16"),
    "xor": ("xor", "--epochs", "400"),
    "svm": ("svm", "--dataset", "digits", "--preset", "shallow", "--epochs", "2", "--batch-size", "64"),
}
EVERY = {"autoencoder": "7", "best": "5", "bfloat16": "7", "xor": "60", "svm": "1s"}
LIBRARIES = ("nnx.cli.main", "nnx.reports", "nnx.experiments.autoencoder", "nnx.experiments.svm",
             "nnx.experiments.xor", "nnx.checkpoints", "sklearn.datasets", "sklearn.decomposition",
             "sklearn.pipeline", "sklearn.svm", "scipy.stats", "joblib", "rich.table",
             "matplotlib.backends.backend_agg", "safetensors.numpy")  # fmt: skip
FOREVER = 1e9
PLACES = ("half a file", "before a flush", "before a rename", "after a rename", "before a removal")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Trap:
    """Counts what happens to files, and kills the process at one of these places."""

    def __init__(self, place: str = "", number: int = 0) -> None:
        self.place, self.number = place, number
        self.seen: Counter[str] = Counter()

    def here(self, place: str) -> bool:
        self.seen[place] += 1
        return place == self.place and self.seen[place] == self.number

    def set(self) -> None:
        flush, rename, remove = os.fsync, Path.replace, Path.unlink

        def fsync(number: int) -> None:
            if self.here("before a flush"):
                die()
            if self.here("half a file"):  # a folder cannot be cut: it is killed there all the same
                path = Path(f"/proc/self/fd/{number}").resolve()
                if path.is_file():
                    os.truncate(path, random.randrange(path.stat().st_size + 1))
                die()
            flush(number)

        def replace(path: Path, target: Path) -> Path:
            if self.here("before a rename"):
                die()
            moved = rename(path, target)
            if self.here("after a rename"):
                die()
            return moved

        def unlink(path: Path, missing_ok: bool = False) -> None:
            if path.exists() and self.here("before a removal"):
                die()
            remove(path, missing_ok=missing_ok)

        os.fsync, Path.replace, Path.unlink = fsync, replace, unlink  # type: ignore[method-assign]


def start(arguments: tuple[str, ...], place: Path, trap: Trap, counts: Path | None = None) -> int:
    """Fork a run; its process number. What was imported here is not imported again."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.chdir(place)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        sys.argv = ["nnx", *arguments]
        trap.set()
        importlib.import_module("nnx.cli.main").main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        if counts is not None:
            counts.write_text(json.dumps(trap.seen))
        os._exit(status)


def processor_time(pid: int) -> float:
    """Seconds that a process has computed."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def wait(pid: int, limit: float | None) -> tuple[int, float]:
    """How a process ended, and its time; it is killed once it has computed for `limit` seconds."""
    used = 0.0
    while True:
        with suppress(OSError, IndexError):
            used = processor_time(pid)
        if limit is not None and used >= limit:
            os.kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, 0 if limit is None else os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), used
        time.sleep(0.001)


def outcome(folder: Path) -> dict[str, Any]:
    """What must be the same, by name: the bytes of files, and of the result what is no time."""
    paths = [
        p for p in folder.rglob("*") if p.is_file() and "checkpoints" not in p.parts and p.name != ".lock"
    ]
    timed = (".json", ".html")  # the result, below, and the page, which is drawn from it and tells its times
    found: dict[str, Any] = {
        str(p.relative_to(folder)): p.read_bytes() for p in paths if p.suffix not in timed
    }
    result = json.loads((folder / "result.json").read_text())
    untimed = result.keys() - {"timing", "checksums"}  # a checksum covers the times too
    found["result.json"] = {name: result[name] for name in untimed}
    return found


@dataclass
class Tally:
    """What was tried and survived."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)


class Reference:
    """A scenario's run that was never stopped, without checkpoints and with them."""

    def __init__(self, name: str, place: Path) -> None:
        self.arguments = ("run", *SCENARIOS[name], "-q", "--out", "run")
        self.resuming = (*self.arguments, "--checkpoint-every", EVERY[name], "--resume")
        plain, counted = place / f"{name}-plain", place / f"{name}-counted"
        plain.mkdir()
        counted.mkdir()
        status, _ = wait(start(self.arguments, plain, Trap()), None)
        assert status == 0, (plain / "stderr").read_text()
        pid = start(self.resuming, counted, Trap(), counted / "counts")
        status, self.seconds = wait(pid, FOREVER)
        assert status == 0, (counted / "stderr").read_text()
        self.expected = outcome(plain / "run")
        assert outcome(counted / "run") == self.expected, f"{name}: checkpoints change the outcome"
        self.places = json.loads((counted / "counts").read_text())


def torment(
    name: str, reference: Reference, place: Path, kills: int, tally: Tally, rng: random.Random
) -> None:
    """Kill one run so many times, let it end, and compare."""
    place.mkdir()
    survived = 0
    for _ in range(10 * kills):
        if survived == kills:
            break
        kind = rng.choice(("any moment", *PLACES))
        if kind == "any moment":
            pid = start(reference.resuming, place, Trap())
            status, _ = wait(pid, rng.uniform(0.0, reference.seconds))
        else:
            number = rng.randint(1, reference.places[kind]) if reference.places.get(kind) else 1
            status, _ = wait(start(reference.resuming, place, Trap(kind, number)), None)
        if status == -signal.SIGKILL:
            survived += 1
            tally.kills[kind] += 1
        else:
            assert status == 0, (place / "stderr").read_text()
    status, _ = wait(start(reference.resuming, place, Trap()), None)
    assert status == 0, (place / "stderr").read_text()
    tally.runs[name] += 1
    found = outcome(place / "run")
    for file in {*found, *reference.expected}:
        if found.get(file) != reference.expected.get(file):
            tally.different.append(f"{place}: {file}")
    left = [path for path in place.rglob(".*") if path.is_file() and path.name.endswith(".tmp")]
    tally.different += [f"{path} was left behind" for path in left]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    for library in LIBRARIES:
        importlib.import_module(library)
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        references = {name: Reference(name, place) for name in options.scenarios}
        number = 0
        while (left := options.kills - tally.kills.total()) > 0:
            name = options.scenarios[number % len(options.scenarios)]
            torment(name, references[name], place / str(number), min(left, rng.randint(1, 6)), tally, rng)
            shutil.rmtree(place / str(number))
            number += 1
    print(json.dumps({
        "kills": tally.kills.total(), "by place": tally.kills, "runs": tally.runs,
        "different": tally.different, "seconds": round(time.monotonic() - began),
    }, indent=2))  # fmt: skip
    sys.exit(bool(tally.different))


if __name__ == "__main__":
    main()
