"""Train for a long time in one process, and see that nothing grows: memory, file handles, threads.

    python tests/soak/soak.py --minutes 30

A round trains networks in every way that keeps something (checkpoints, validation, early stopping,
augmentation, the compiled loop where Numba is installed), interrupts a training and goes on with it, saves,
loads, and predicts in several threads. The figures are those of the rounds behind the first tenth.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import signal
import statistics
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import nnx

PAGE = resource.getpagesize()
RNG = np.random.default_rng(0)
X = RNG.random((512, 64), dtype=np.float32)


class Signal(nnx.Callback):
    def on_step_end(self, run: Any) -> None:
        if run.step == 20:
            signal.raise_signal(signal.SIGINT)


def train(device: str, folder: Path, *callbacks: nnx.Callback, **options: Any) -> nnx.History:
    layers = [nnx.Dense(64, 96), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.1), nnx.Dense(64), nnx.Sigmoid()]
    network = nnx.Network(layers, device=device, seed=0)
    history = network.fit(
        X, X, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=4, batch_size=64,
        validation=0.25, callbacks=callbacks, **options,
    )  # fmt: skip
    network.save(folder / "model.safetensors")
    again = nnx.load(folder / "model.safetensors", device=device)
    threads = [threading.Thread(target=again.predict, args=(X,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return history


def round_of(device: str) -> int:
    """One of each; how many steps were taken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = train(device, folder, nnx.EarlyStopping(patience=1)).steps
        steps += train(device, folder, augment=lambda generator, x, y: (x * 0.9, y)).steps
        try:
            train(device, folder, Signal(), checkpoint=nnx.Checkpoint(folder / "kept", every=5))
        except KeyboardInterrupt:
            again = nnx.Checkpoint(folder / "kept", every=5, resume=True)
            steps += train(device, folder, checkpoint=again).steps
    small = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1)], device=device, seed=0)
    gate = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(0.1)
    return steps + small.fit(gate, gate[:, :1], loss=loss, optimizer=optimizer, epochs=50, batch_size=4).steps


def measured() -> tuple[int, int, int, int]:
    """Bytes of memory in use, file handles, threads, and Python's objects."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    handles, threads = (len(list(Path("/proc/self", name).iterdir())) for name in ("fd", "task"))
    return resident, handles, threads, len(gc.get_objects())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds, whatever their time")
    options = parser.parse_args()
    devices = ["numpy", "numba"] if find_spec("numba") else ["numpy"]
    began, steps, seen = time.monotonic(), 0, []
    while len(seen) < options.rounds if options.rounds else time.monotonic() - began < 60 * options.minutes:
        steps += round_of(devices[len(seen) % len(devices)])
        seen.append(measured())
    warm = seen[len(seen) // 10 :]
    part = max(1, len(warm) // 5)
    told, grown = {}, []
    for name, values in zip(
        ("memory", "file handles", "threads", "objects"), zip(*warm, strict=True), strict=True
    ):
        early, late = statistics.median(values[:part]), statistics.median(values[-part:])
        told[name] = {"first fifth": early, "last fifth": late}
        # the allocator's memory goes up and down by one or two parts in a hundred; all else stays as it is
        grown += [name] if late > early * (1.02 if name == "memory" else 1.0) else []
    print(json.dumps({
        "minutes": round((time.monotonic() - began) / 60, 1), "rounds": len(seen), "steps": steps, **told,
        "grown": grown,
    }, indent=2))  # fmt: skip
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
