"""Run PyTorch in turns. VARIANT is ``eager``, or ``compiled`` or ``max-autotune`` by `torch.compile`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from turns import Events, InTurns, main

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers import torch_worker


class Torch(InTurns, torch_worker.Torch):
    """A `Sequential` of dense layers with their activations, trained by the shortest loop."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        if variant != "eager":
            compiled = partial(torch.compile, mode="default" if variant == "compiled" else variant)
            self.objective, self.output = compiled(self.objective), compiled(self.network)

    def step(self, rows: Any) -> Any:
        """Return a loss that stays: with ``max-autotune``, the next step overwrites what this one returns."""
        if self.variant != "max-autotune":
            return super().step(rows)
        torch.compiler.cudagraph_mark_step_begin()
        return super().step(rows).clone()

    def kernel(self) -> str:
        """Name the matrix libraries that PyTorch was built with."""
        mkl = "MKL" if torch.backends.mkl.is_available() else "no MKL"
        threads = torch.get_num_threads()
        return f"{mkl}, oneDNN, {torch.backends.cpu.get_cpu_capability()}, x{threads}"

    def events(self) -> Any:
        """Return CUDA's events on a GPU."""
        mark, elapsed = partial(torch.cuda.Event, enable_timing=True), torch.cuda.Event.elapsed_time
        return Events(mark, elapsed) if torch_worker.DEVICE == "cuda" else None


if __name__ == "__main__":
    main(Torch, torch_worker.about())
