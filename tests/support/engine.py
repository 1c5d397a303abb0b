"""Train networks by nnx and by the pages' engine in JavaScript, on the same rows from the same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.pages import engine_script
from support.browser import unavailable

Case = dict[str, Any]
STEPS, ROWS = 200, 12
CLOSE = {"rtol": 1e-9, "atol": 1e-9}

# Train a case and tell what nnx tells: the losses of all steps, and weights and predictions at the end.
PROGRAM = """
const train = ({ description, x, y, rows, steps }) => {
  const net = nnxEngine.network(description);
  const start = net.weights(), first = {};
  for (const [name, { values }] of Object.entries(start)) first[name] = Array.from(values);
  const [X, Y] = [Float64Array.from(x), Float64Array.from(y)], losses = [];
  for (let step = 0; step < steps; step++) losses.push(net.step(X, Y, rows));
  const weights = {};
  for (const [name, { values }] of Object.entries(net.weights())) weights[name] = Array.from(values);
  const predictions = Array.from(net.predict(X, rows));
  return { first, losses, weights, predictions, loss: net.evaluate(X, Y, rows) };
};
"""


def node(program: str, given: Any, folder: Path, *flags: str) -> Any:
    """Run a program that computes `answer` from `given`, in Node.js with the engine; return the answer."""
    command = shutil.which("node")
    if command is None:
        unavailable("node is not on the PATH: apt-get install nodejs")
    script = folder / "program.js"
    script.write_text(
        f"{engine_script()}\nconst given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\nlet answer;\n"
        f"{program}\nconsole.log(JSON.stringify(answer));\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(command), *flags, str(script)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def given(case: Case) -> dict[str, Any]:
    """What `PROGRAM` needs for a case."""
    x, y = (values.ravel().tolist() for values in rows_for(case))
    return {"description": case, "x": x, "y": y, "rows": ROWS, "steps": STEPS}


def layer(entry: Case) -> nnx.Layer:
    """The layer of nnx that a description means."""
    settings = {name: value for name, value in entry.items() if name not in ("kind", "trainable")}
    made: nnx.Layer = getattr(nnx, entry["kind"])(**settings)
    made.trainable = entry.get("trainable", True)
    return made


def rows_for(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and targets that the loss takes."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(ROWS, case["inputs"]))
    widths = [entry["units"] for entry in case["layers"] if "units" in entry]
    outputs = widths[-1] if widths else case["inputs"]
    loss = case["loss"] if isinstance(case["loss"], str) else case["loss"]["name"]
    if loss == "categorical_cross_entropy":
        return x, np.eye(outputs)[generator.integers(outputs, size=ROWS)]
    if loss in ("binary_cross_entropy", "hinge", "squared_hinge", "poisson"):
        return x, generator.integers(2, size=(ROWS, outputs)).astype(float)
    return x, generator.normal(size=(ROWS, outputs))


def trained_by_nnx(case: Case, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """What `PROGRAM` tells, computed by nnx in float64."""
    layers = [layer(entry) for entry in case["layers"]]
    network = nnx.Network(layers, "numpy", "float64", case["seed"], case["fuse"]).build(case["inputs"])
    first = network.weights()
    loss, optimizer = nnx.losses.get(case["loss"]), nnx.optimizers.get(case["optimizer"])
    history = network.fit(x, y, loss=loss, optimizer=optimizer, epochs=STEPS, batch_size=len(x))
    return {
        "first": first, "losses": history.metrics["loss"], "weights": network.weights(),
        "predictions": network.predict(x), "loss": network.evaluate(x, y, loss=loss)["loss"],
    }  # fmt: skip
