"""Measure the cost of a checkpoint of the deep autoencoder: `python benchmarks/checkpoint.py`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import nnx
from nnx.distributed.agreement import fingerprint
from nnx.experiments import autoencoder


class Timed(nnx.Checkpoint):
    """Record the wall time and the processor time of each checkpoint."""

    def take(self, run: nnx.callbacks.Run) -> None:
        """Write a checkpoint."""
        clock, processor = time.perf_counter(), time.process_time()
        super().take(run)
        self.times.append((time.perf_counter() - clock, time.process_time() - processor))


def main() -> None:
    x = np.random.default_rng(0).random((2560, 784), dtype=np.float32)
    network = autoencoder.build(autoencoder.Config("deep"))
    how = {"loss": nnx.BinaryCrossEntropy(), "optimizer": nnx.Adam(1e-3), "batch_size": 256}
    with tempfile.TemporaryDirectory() as folder:
        kept = Timed(folder, every=2)
        kept.times = []
        network.fit(x, x, epochs=4, checkpoint=kept, **how)
        size = max(path.stat().st_size for path in Path(folder).glob("fit-*"))
    clock, processor = np.median(kept.times[1:], axis=0)
    print(f"{size / 1e6:.1f} MB: {clock:.3f} s, {processor:.3f} s of the processor (of {len(kept.times)})")
    images = np.zeros((60_000, 784), np.uint8)
    clock, processor = time.perf_counter(), time.process_time()
    fingerprint(images)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(f"fingerprint of MNIST, once: {clock:.3f} s, {processor:.3f} s of the processor")


if __name__ == "__main__":
    main()
