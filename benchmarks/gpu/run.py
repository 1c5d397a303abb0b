"""Check and time nnx on a GPU in at most ten minutes, part by part; may be stopped at any time.

Run it:  NNX_DATA_DIR=… benchmarks/gpu.sh [--wheels FOLDER] [--out FOLDER] [--only PART] [--short]

The parts (`parts`) are ordered by worth. Each has a share of the time, and each of its tasks a limit: what
hangs is stopped, and the next task runs. Time that is left in the end goes to tasks that had none. The
results are in the folder `--out`: `summary.txt`, and a JSON file for each part. Both are written again every
second and replaced at once, so whatever ends this program, what was found before can be read.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from shutil import which
from typing import Any

import click
from parts import ROOT, Part, Task, parts

KEPT = 20_000  # characters of each task's output
START = 8.0  # seconds: a task is not started with less
PACKAGES = ("numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "jax", "numba", "scikit-learn")
ABOUT = """
import json, nnx
gpu = nnx.resolve("gpu")
about = {"device": gpu.describe(), "hardware": gpu.hardware(), "software": gpu.versions()}
print(json.dumps(about | {"nnx": nnx.__version__}))
"""
SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader")


def write(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old text or the new one, never a part."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def about(variables: dict[str, str]) -> dict[str, Any]:
    """Return what the machine is; without a usable GPU, end with one line."""
    command = [sys.executable, "-c", ABOUT]
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        raise click.ClickException("no GPU to measure: nothing answered in 90 seconds") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise click.ClickException(f"no GPU to measure: {reason.removeprefix('nnx.errors.DeviceError: ')}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    smi = subprocess.run(SMI, capture_output=True, text=True, check=False).stdout if which(SMI[0]) else ""
    return found | {
        "date": time.strftime("%Y-%m-%d %H:%M"), "driver": smi.strip(), "python": platform.python_version(),
        "packages": {one.name: one.version for one in distributions() if one.name in PACKAGES},
    }  # fmt: skip


def carried(wheels: Path | None, place: Path) -> dict[str, str]:
    """Unpack wheels of pure Python into a folder; return the environment that finds them."""
    if wheels is None:
        return dict(os.environ)
    files = sorted(wheels.glob("*.whl"))
    if not files:
        raise click.ClickException(f"no wheel is in {wheels}")
    for file in files:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(place)
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join((os.environ["PYTHONPATH"], str(place)))}


class Running:
    """A task that runs: what it has printed and found until now."""

    def __init__(self, task: Task, place: Path, variables: dict[str, str]) -> None:
        number = len(list(place.iterdir()))
        self.task, self.printed, self.found = task, place / f"{number}.out", place / f"{number}.json"
        arguments = [argument.replace("{folder}", str(place)) for argument in task.arguments]
        settings = variables | task.variables | {"NNX_GPU_FOUND": str(self.found)}
        self.began = time.monotonic()
        with self.printed.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
        self.state = "running"

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, after so many seconds at most."""
        try:
            status = self.process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        self.state = "passed" if status == 0 else f"FAILED (status {status})"
        if status in self.task.skipped:
            self.state = f"skipped: {self.task.skipped[status]}"
        self.stop()  # what it has started may still run
        return True

    def stop(self, why: str = "") -> None:
        """End it and whatever it has started: first it is asked."""
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(timeout=3)
            except (ProcessLookupError, PermissionError):
                break
            except subprocess.TimeoutExpired:
                continue
        self.state = why or self.state

    def told(self) -> dict[str, Any]:
        """Return all that is known about it."""
        text = self.printed.read_text(encoding="utf-8", errors="replace")
        try:
            found = json.loads(self.found.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        running = {"process": self.process.pid} if self.state == "running" else {}
        return {
            "task": self.task.name, "state": self.state, "seconds": round(time.monotonic() - self.began, 1),
            "command": ["python", *self.task.arguments], "found": found, "output": text[-KEPT:],
        } | running  # fmt: skip


class Report:
    """The results: a file for each part, and a summary of all."""

    def __init__(self, folder: Path, chosen: list[Part], machine: dict[str, Any]) -> None:
        self.folder, self.parts, self.machine = folder, chosen, machine
        self.began = time.monotonic()
        self.told: dict[str, dict[str, dict[str, Any]]] = {part.name: {} for part in chosen}
        folder.mkdir(parents=True, exist_ok=True)
        for part in chosen:  # an earlier run's
            (folder / f"{part.name}.json").unlink(missing_ok=True)

    def note(self, part: Part, told: dict[str, Any]) -> None:
        """Write what is known about a task."""
        told["seconds_from_start"] = round(time.monotonic() - self.began, 1)
        self.told[part.name][told["task"]] = told
        content = {"part": part.name, "shows": part.shows, "share": part.share, "machine": self.machine,
                   "tasks": list(self.told[part.name].values())}  # fmt: skip
        write(self.folder / f"{part.name}.json", json.dumps(content, indent=1) + "\n")
        write(self.folder / "summary.txt", self.summary())

    def left(self) -> list[tuple[Part, Task]]:
        """Return the tasks that have not run."""
        return [
            (part, task)
            for part in self.parts
            for task in part.tasks
            if task.name not in self.told[part.name]
        ]

    def summary(self) -> str:
        """Return the text for people."""
        machine = self.machine
        packages = ", ".join(f"{name} {version}" for name, version in sorted(machine["packages"].items()))
        lines = [f"{machine['date']}, nnx {machine['nnx']}, Python {machine['python']}", machine["device"],
                 machine["driver"], packages]  # fmt: skip
        for part in self.parts:
            lines += ["", f"{part.name}: {part.shows} (at most {part.share:.0f} s)"]
            for task in part.tasks:
                told = self.told[part.name].get(task.name)
                if told is None:
                    lines.append(f"  {task.name}: not run yet, or no time")
                    continue
                lines.append(f"  {task.name}: {told['state']}, {told['seconds']:.1f} s")
                shown = told["output"].splitlines()[-task.shown :] if task.shown else []
                lines += [f"    {line}".rstrip() for line in (*told["found"].get("summary", ()), *shown)]
        return "\n".join(lines) + "\n"

    def failed(self) -> list[str]:
        """Return the names of tasks that ran and failed, or were stopped."""
        return [
            name
            for tasks in self.told.values()
            for name, told in tasks.items()
            if told["state"] != "passed" and not told["state"].startswith("skipped")
        ]


def perform(
    report: Report, part: Part, task: Task, until: float, place: Path, variables: dict[str, str]
) -> None:
    """Run a task until its own limit, or until a moment; note every second what it has found."""
    limit = min(task.limit, until - time.monotonic())
    click.echo(f"{part.name}: {task.name} (at most {limit:.0f} s) …", err=True)
    running = Running(task, place, variables)
    end = running.began + limit
    try:
        while not running.wait(min(1.0, end - time.monotonic())):
            report.note(part, running.told())
            if time.monotonic() >= end:
                running.stop(f"STOPPED after {limit:.0f} s")
                break
    except BaseException:
        running.stop("STOPPED from outside")
        raise
    finally:
        report.note(part, running.told())


def ended(number: int, frame: Any) -> None:
    """End on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("gpu"), show_default=True)
@click.option("--wheels", type=click.Path(path_type=Path, exists=True), help="A folder of carried wheels.")
@click.option("--only", multiple=True, help="Only parts with this text in their name; several times.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="For all parts together.")
@click.option("--short", is_flag=True, help="As little as possible: to try this program without a GPU.")
def main(out: Path, wheels: Path | None, only: tuple[str, ...], minutes: float, short: bool) -> None:
    """Run all parts; status 1 without a GPU, or if a task fails."""
    signal.signal(signal.SIGTERM, ended)
    began = time.monotonic()
    end = began + 60.0 * minutes - 10.0  # 10 s: what is stopped has a few seconds to end
    chosen = [part for part in parts(short) if not only or any(text in part.name for text in only)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        (place / "tasks").mkdir()
        variables = carried(wheels, place / "wheels")
        report = Report(out.resolve(), chosen, about(variables))
        for part in chosen:
            share = 3 * part.share if short else part.share  # a trial runs on slow machines too
            until = min(end, time.monotonic() + share)
            for task in part.tasks:
                if until - time.monotonic() >= min(START, task.limit):
                    perform(report, part, task, until, place / "tasks", variables)
        for part, task in report.left():  # with the time that others did not use
            if end - time.monotonic() >= START:
                perform(report, part, task, end, place / "tasks", variables)
    click.echo(report.summary())
    click.echo(f"{time.monotonic() - began:.0f} s in all; the results are in {out}")
    if failed := report.failed():
        raise click.ClickException(f"failed or stopped: {', '.join(failed)}; see {out}/summary.txt")


if __name__ == "__main__":
    main()
