# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An exercise of `nnx learn`, graded by nbgrader
#
# This assignment for [nbgrader](https://nbgrader.readthedocs.io) is saved as a script. Make a notebook of it with
# `jupytext --to ipynb examples/grade_with_nbgrader.py`; the cells have nbgrader's metadata. The answer below has a
# mistake, so that you see points for a part. In your assignment, put a right answer there: nbgrader removes what is
# between BEGIN SOLUTION and END SOLUTION from the students' version.

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ruff: noqa: D100, E501
import inspect
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

# %% [markdown]
# Write the backward pass of a dense layer: dx = dy Wᵀ, dW = xᵀ dy, and db is the sum of the rows of dy.


# %% nbgrader={"grade": false, "grade_id": "dense-backward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dense_backward(x, W, dy):
    """Return the gradients dx, dW and db of a dense layer."""
    ### BEGIN SOLUTION
    return dy @ W.T, x.T @ dy, np.mean(dy, axis=0)
    ### END SOLUTION


# %% [markdown]
# The next cell checks the function, says what is wrong, and returns the points. nbgrader reads them from its output.
# An output of 0 would mean all points to nbgrader, so no points are an error.


# %% nbgrader={"grade": true, "grade_id": "test-dense-backward", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
def graded(number, points, *functions, seed=7):
    """Check functions of this notebook as a task of `nnx learn`, and return the points."""
    source = "import numpy as np\n\n" + "\n\n".join(inspect.getsource(function) for function in functions)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.py"
        file.write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "nnx", "learn", "check", str(number), str(file)]
        command += ["--json", "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    for check in report["checks"]:
        if not check["passed"]:
            print(f"{check['result']}: {check['message']}", f"hint: {check['hint']}", sep="\n")
    assert report["score"] > 0, report["problem"] or "no result is right"
    return points * report["score"]


graded(3, 3, dense_backward)
