"""Grade exercises of `nnx learn` on Gradescope: check what a student handed in, and write results.json.

Put this file into the autograder's zip, next to two scripts:

    setup.sh            apt-get install -y python3-pip && pip install nnx-arrays
    run_autograder      #!/bin/sh
                        exec python3 /autograder/source/grade_on_gradescope.py

Gradescope runs each submission in a container of its own. It shows students the texts in results.json, and
nothing that is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HOME = "/autograder"
TASKS = [2, 3, 4]  # of this assignment
POINTS = 10.0  # for each task
SEED = 7  # that of `nnx learn export`; students do not see this file


def names() -> dict[int, str]:
    """The file name of each task."""
    from nnx.course.task import task

    return {number: task(number).file for number in TASKS}


def graded(number: int, file: Path) -> dict[str, Any]:
    """One entry of results.json: the points of a task, and what to say to the student."""
    entry = {"number": str(number), "name": f"task {number}", "max_score": POINTS, "visibility": "visible"}
    if not file.is_file():
        return entry | {"score": 0.0, "status": "failed", "output": f"{file.name} was not handed in"}
    command = [sys.executable, "-m", "nnx", "learn", "check", str(number), str(file)]
    command += ["--json", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    return entry | {
        "name": f"task {number}: {report['title']}",
        "score": round(POINTS * report["score"], 2),
        "status": "passed" if report["passed"] else "failed",
        "output": "\n".join(lines(report)),
    }


def lines(report: dict[str, Any]) -> list[str]:
    """What a student reads of a report."""
    if report["problem"]:
        return [f"line {report['line']}: {report['problem']}"]
    said = []
    for check in report["checks"]:
        if not check["passed"]:
            where = f"line {check['line'] or check['begins']}, {check['case']}"
            said.append(f"{check['function']}, {check['result']}: {where}: {check['message']}")
            said += [f"hint: {check['hint']}"] * bool(check["hint"])
    return said or ["Everything is right."]


def main(submission: str = f"{HOME}/submission", results: str = f"{HOME}/results/results.json") -> None:
    """Grade all tasks, and write results.json."""
    tests = [graded(number, Path(submission) / name) for number, name in names().items()]
    Path(results).write_text(json.dumps({"tests": tests}, indent=2), encoding="utf-8")
    print(f"{sum(test['score'] for test in tests):g} of {POINTS * len(tests):g} points")


if __name__ == "__main__":
    main(*sys.argv[1:])
