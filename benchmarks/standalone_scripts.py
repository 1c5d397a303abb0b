"""Time of a row, size and start of the files that ``nnx export --to python`` and ``--to javascript`` write.

For the network 64-32-10 and for one with two convolutions on 28 × 28 pixels. A process runs each file; the
time of a row is the best of five repetitions, without the start.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nnx
from nnx.standalone import export

REPETITIONS = 5
PYTHON = """
import json, sys, time
start = time.perf_counter()
import model
loaded, best = time.perf_counter() - start, 1e9
rows = [model.EXAMPLE] * int(sys.argv[1])
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    model.predict(rows)
    best = min(best, time.perf_counter() - start)
print(json.dumps([loaded, best / len(rows)]))
"""
NODE = """
const [count, repetitions] = process.argv.slice(1).map(Number);
let start = performance.now();
const model = await import(process.cwd() + "/model.mjs");
const loaded = performance.now() - start;
const rows = new Array(count).fill(model.EXAMPLE);
let best = Infinity;
for (let i = 0; i < repetitions; i++) {
  start = performance.now();
  model.predict(rows);
  best = Math.min(best, performance.now() - start);
}
console.log(JSON.stringify([loaded / 1000, best / 1000 / count]));
"""
FORMS = {
    "Python": ("model.py", {}, [sys.executable, "-c", PYTHON]),
    "Python with NumPy": ("model.py", {"numpy": True}, [sys.executable, "-c", PYTHON]),
    "JavaScript": ("model.mjs", {}, ["node", "--input-type=module", "-e", NODE]),
}
NETWORKS = {
    "64-32-10": ([nnx.Dense(64, 32), nnx.ReLU(), nnx.Dense(10), nnx.Softmax()], (64,), 1000),
    "convolutions": (
        [
            nnx.Conv2D(8, 3, 2, "same", activation="relu"), nnx.Conv2D(16, 3, 2, "same", activation="relu"),
            nnx.Flatten(), nnx.Dense(10), nnx.Softmax(),
        ],
        (28, 28, 1), 20,
    ),
}  # fmt: skip


def main() -> None:
    """Print a table."""
    print(f"{'network':14}{'file':19}{'kilobytes':>10}{'start, ms':>11}{'a row, µs':>11}")
    for name, (layers, shape, rows) in NETWORKS.items():
        network = nnx.Network(layers, seed=0, device="numpy").build(shape)
        for form, (file, options, command) in FORMS.items():
            if shutil.which(command[0]) is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / file
                export(network, path, **options)
                done = subprocess.run(
                    [*command, str(rows), str(REPETITIONS)],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                loaded, row = json.loads(done.stdout)
                size = path.stat().st_size / 1e3
            print(f"{name:14}{form:19}{size:10.1f}{loaded * 1e3:11.1f}{row * 1e6:11.1f}")


if __name__ == "__main__":
    main()
