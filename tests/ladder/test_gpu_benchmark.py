"""The program for a machine with a GPU, on the stand-in: its results, its limits, and what is left of them if
it is stopped. Its times mean nothing here; `nox -s dry` runs all of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.standin
FOLDER = ROOT / "benchmarks" / "gpu"

# The program with other parts.
PROGRAM = """
import parts

def task(name, code, limit=20.0, **more):
    return parts.Task(name, ("-c", code), limit, **more)

found = "import found, time; found.save({'summary': ['it found 7'], 'value': 7}); print('printed', flush=1);"
skipped = task("none", "raise SystemExit(5)", skipped={5: "no test"})
LOOK = "import importlib.util as i; print(i.find_spec('carried_by_hand') is not None)"
own = (
    parts.Part("1-good", "works", 20, (task("good", found, shown=1), skipped)),
    parts.Part("2-bad", "fails", 20, (task("bad", found + " raise SystemExit(1)"),)),
    parts.Part("3-stuck", "hangs", 20, (task("stuck", found + " time.sleep(600)", limit=STUCK),)),
    parts.Part("4-last", "works", 0, (task("last", found + " " + LOOK),)),
)
parts.parts = lambda short: own
import run
run.main()
"""


def environment(**variables: str) -> dict[str, str]:
    """As `gpu.sh` makes it."""
    path = [*map(str, (ROOT, ROOT / "benchmarks", FOLDER)), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))} | variables


def begin(folder: Path, *options: str, stuck: float = 600.0) -> subprocess.Popen[str]:
    program = PROGRAM.replace("STUCK", str(stuck))
    return subprocess.Popen(
        [sys.executable, "-c", program, "--out", str(folder / "out"), *options], cwd=folder, text=True,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def told(folder: Path, part: str) -> dict[str, dict[str, object]]:
    """The tasks of a part, by name."""
    content = json.loads((folder / "out" / f"{part}.json").read_text())
    assert content["machine"]["device"].startswith("stand-in for CuPy")
    return {task["task"]: task for task in content["tasks"]}


def test_what_fails_or_hangs_does_not_stop_the_rest(tmp_path: Path) -> None:
    running = begin(tmp_path, stuck=3.0)
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert errors.strip().endswith(f"failed or stopped: bad, stuck; see {tmp_path}/out/summary.txt")
    good = told(tmp_path, "1-good")
    assert good["good"]["state"] == "passed"
    assert good["good"]["found"] == {"summary": ["it found 7"], "value": 7}
    assert good["good"]["output"] == "printed\n"
    assert good["none"]["state"] == "skipped: no test"
    assert told(tmp_path, "2-bad")["bad"]["state"] == "FAILED (status 1)"
    assert told(tmp_path, "3-stuck")["stuck"]["state"] == "STOPPED after 3 s"
    assert told(tmp_path, "4-last")["last"]["state"] == "passed"
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert summary.strip() in output
    assert "stuck: STOPPED after 3 s" in summary
    assert summary.count("it found 7") == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_if_it_is_stopped_in_the_middle_of_a_part_all_earlier_results_can_be_read(
    tmp_path: Path, number: signal.Signals
) -> None:
    running = begin(tmp_path)
    place = tmp_path / "out" / "3-stuck.json"
    end = time.monotonic() + 60.0
    while not (place.is_file() and told(tmp_path, "3-stuck")["stuck"]["found"]):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    child = told(tmp_path, "3-stuck")["stuck"]["process"]
    assert isinstance(child, int)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode != 0
    assert told(tmp_path, "1-good")["good"]["found"] == {"summary": ["it found 7"], "value": 7}
    assert told(tmp_path, "2-bad")["bad"]["state"] == "FAILED (status 1)"
    stuck = told(tmp_path, "3-stuck")["stuck"]
    assert stuck["found"] == {"summary": ["it found 7"], "value": 7}  # also what the part itself had found
    assert "it found 7" in (tmp_path / "out" / "summary.txt").read_text()
    assert not (tmp_path / "out" / "4-last.json").exists()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix not in (".json", ".txt")] == []
    if number == signal.SIGKILL:  # it could end nothing
        assert stuck["state"] == "running"
        os.killpg(child, signal.SIGKILL)
    else:
        assert stuck["state"] == "STOPPED from outside"
        with pytest.raises(ProcessLookupError):
            os.killpg(child, 0)


def test_time_that_is_left_goes_to_tasks_that_had_none_and_wheels_are_found(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "carried-1-py3-none-any.whl", "w") as archive:
        archive.writestr("carried_by_hand.py", "")
    running = begin(tmp_path, "--wheels", str(tmp_path / "wheels"), "--only", "1-", "--only", "4-")
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, output + errors
    assert told(tmp_path, "4-last")["last"]["output"] == "printed\nTrue\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "1-good.json",
        "4-last.json",
        "summary.txt",
    }


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of Python in the folder of the scripts."""
    settings = environment(**variables)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=FOLDER, env=settings, capture_output=True, text=True, check=False)


def test_the_real_parts_fit_into_ten_minutes_and_name_what_there_is() -> None:
    code = (
        "import json, parts; print(json.dumps([[one.share, [task.limit for task in one.tasks], "
        "[task.arguments for task in one.tasks]] for short in (0, 1) for one in parts.parts(short)]))"
    )
    found = json.loads(run("-c", code).stdout)
    assert sum(share for share, _, _ in found) == 2 * 600
    for share, limits, tasks in found:
        assert max(limits) <= max(share, 60)
        for name in [argument.removeprefix("--ignore=") for task in tasks for argument in task]:
            if name.endswith(".py") or name.startswith("tests/"):
                assert (ROOT / name).exists(), name


def test_a_step_is_timed_by_the_clock_and_by_events(tmp_path: Path) -> None:
    options = ["--job", "classifier", "--precision", "float32", "--row", "nnx"]
    few = ["--steps", "1", "--rounds", "1", "--threads", "1"]
    done = run("steps.py", *options, *few, NNX_GPU_FOUND=str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    step = found["steps"][0]
    assert step["name"] == "nnx"
    assert 0 < step["device"] < 1.01 * step["median"]
    assert found["summary"] == done.stdout.splitlines()[-len(found["summary"]) :]


def test_the_slowest_operations_are_found_by_events() -> None:
    done = run("kernels.py", "--how", "events", "--job", "classifier", "--steps", "2", "--delay", "8")
    assert done.returncode == 0, done.stderr
    title, *slowest, fused = done.stdout.splitlines()
    assert title.endswith("in 22 calls of 6 kinds")  # of two steps: gather, 3 + 3 layers, loss, flag, update
    assert len(slowest) == 3
    assert any("dense_backward: 6 calls" in line for line in slowest)
    assert fused.endswith("by shapes: identity 1 of 1, relu 2 of 2")


NCU = """#!/bin/sh
echo '==PROF== Connected to process 1'
echo '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"'
echo '"0","quick(float *)","gpu__time_duration.sum","ns","1,500"'
echo '"1","slow<1, 2>","gpu__time_duration.sum","ns","4,000"'
echo '"1","slow<1, 2>","launch__registers_per_thread","register/thread","32"'
echo '"2","slow<1, 2>","gpu__time_duration.sum","ns","6,000"'
"""


def test_what_ncu_says_is_read(tmp_path: Path) -> None:
    program = tmp_path / "ncu"
    program.write_text(NCU)
    program.chmod(0o755)
    done = run("kernels.py", "--how", "ncu", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "deep: 12 µs in 3 calls of 2 kinds",
        "  87% slow<1, 2>: 2 calls, 5.0 µs each, 32 registers",
        "  13% quick(float *): 1 calls, 1.5 µs each",
    ]


def test_the_pool_of_a_short_training_does_not_grow() -> None:
    done = run("pool.py", "--steps", "40", "--job", "classifier")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("classifier, 40 steps: ")
    assert done.stdout.endswith("after 20 steps, no more later\n")
