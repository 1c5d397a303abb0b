"""Run PyTorch in turns: VARIANT is ``eager``, or ``compiled`` for `torch.compile`."""

from __future__ import annotations

import os

import numpy as np
import torch
from protocol import Gate, take_turns, weights
from torch import nn
from torch.nn import functional

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
LOSSES = {  # cross-entropies take the input of the last activation: the fused form, as in nnx's `fit`
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "categorical_cross_entropy": functional.cross_entropy,
    "squared_error": functional.mse_loss,
    "squared_error_sum": lambda p, y: functional.mse_loss(p, y, reduction="sum") / len(y),
}


def build(gate: Gate, values: list[tuple[np.ndarray, np.ndarray]]) -> nn.Sequential:
    """Return a model for the job's weights."""
    layers: list[nn.Module] = []
    for (W, _), activation in zip(values, gate.job["activations"], strict=True):
        layers.append(nn.Linear(*W.shape))
        if activation in ACTIVATIONS:
            layers.append(ACTIVATIONS[activation]())
    if gate.job["loss"] == "binary_cross_entropy":
        layers.pop()
    return nn.Sequential(*layers)


def restore(model: nn.Sequential, values: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the initial weights."""
    with torch.no_grad():
        for layer, (W, b) in zip((m for m in model if isinstance(m, nn.Linear)), values, strict=True):
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b))


class Events:
    """Measure time on the GPU between two marks in its queue."""

    def start(self) -> None:
        """Put a mark in the queue."""
        self.first = torch.cuda.Event(enable_timing=True)
        self.first.record()

    def seconds(self) -> float:
        """Return the seconds from that mark to the last work in the queue."""
        last = torch.cuda.Event(enable_timing=True)
        last.record()
        last.synchronize()
        return self.first.elapsed_time(last) / 1e3


def main() -> None:
    """Train, or predict, in turns."""
    gate = Gate()
    torch.set_num_threads(gate.threads)
    job, arrays = gate.job, gate.arrays()
    values = weights(arrays)
    device = os.environ.get("NNX_BENCHMARK_DEVICE", "cpu")
    model = build(gate, values).to(device)
    restore(model, values)
    if device == "cuda":
        gate.events = Events()
    mkl = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    about = {
        "version": torch.__version__,
        "kernel": f"{mkl}, oneDNN, {torch.backends.cpu.get_cpu_capability()}, x{torch.get_num_threads()}",
    }
    x = torch.from_numpy(arrays["x"]).to(device)
    run = torch.compile(model) if gate.variant == "compiled" else model

    def predict(_: int) -> float:
        with torch.inference_mode():
            codes = torch.cat([run(part) for part in x.split(job["batch"])]).cpu().numpy()
        return float(np.abs(codes).mean())

    if job["task"] == "predict":
        take_turns(gate, predict, **about)
    y = x if job["target"] == "x" else torch.from_numpy(arrays["y"]).to(device)
    if job["target"] == "labels":
        y = y.long()
    loss_of = LOSSES[job["loss"]]

    def objective(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return loss_of(model(inputs), targets)

    if gate.variant == "compiled":
        objective = torch.compile(objective)
    if job["optimizer"] == "adam":
        optimizer = torch.optim.Adam(model.parameters(), job["rate"], eps=job["epsilon"], fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), job["rate"], fused=True)
    batches = [None] if job["batch"] == len(x) else torch.arange(len(x), device=device).split(job["batch"])

    def turn(steps: int) -> float:
        if job["restart"]:
            restore(model, values)
        for _ in range(max(1, steps // len(batches))):
            losses = []
            for rows in batches[:steps]:
                inputs = x if rows is None else x[rows]
                targets = y if rows is None else inputs if y is x else y[rows]
                optimizer.zero_grad(set_to_none=True)
                loss = objective(inputs, targets)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    take_turns(gate, turn, **about)


if __name__ == "__main__":
    main()
