"""Run nnx in turns: VARIANT is a device (`Network.fit`), ``numpy-loop`` or ``numba-loop``."""

from __future__ import annotations

import numpy as np
from protocol import Gate, take_turns, weights

import nnx

ACTIVATIONS = {"relu": nnx.ReLU, "sigmoid": nnx.Sigmoid, "tanh": nnx.Tanh, "softmax": nnx.Softmax}
LOSSES = {
    "binary_cross_entropy": nnx.BinaryCrossEntropy,
    "categorical_cross_entropy": nnx.CategoricalCrossEntropy,
    "squared_error": nnx.MeanSquaredError,
    "squared_error_sum": lambda: nnx.MeanSquaredError(reduction="sum_over_features"),
}


class Turns(nnx.Callback):
    """End a turn after each epoch of one running `fit`."""

    def __init__(self, gate: Gate, early: float) -> None:
        self.gate, self.early = gate, early

    def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
        """Report the time and the mean loss of the epoch."""
        run.network.backend.synchronize()
        if run.epoch == 1:
            self.gate.ready(self.early, **about(run.network))
        else:
            self.gate.stop(run.history["loss"][-1])


class Events:
    """Measure time on the GPU between two marks in its queue."""

    def start(self) -> None:
        """Put a mark in the queue."""
        import cupy

        self.first = cupy.cuda.Event()
        self.first.record()

    def seconds(self) -> float:
        """Return the seconds from that mark to the last work in the queue."""
        import cupy

        last = cupy.cuda.Event()
        last.record()
        last.synchronize()
        return float(cupy.cuda.get_elapsed_time(self.first, last)) / 1e3


def about(network: nnx.Network) -> dict[str, str]:
    """Return what ran."""
    return {"version": nnx.__version__, "backend": network.backend.name, "numpy": np.__version__}


def build(gate: Gate, values: list[tuple[np.ndarray, np.ndarray]], device: str) -> nnx.Network:
    """Return the network with the job's weights."""
    layers: list[nnx.Layer] = []
    for (W, _), activation in zip(values, gate.job["activations"], strict=True):
        layers.append(nnx.Dense(*W.shape))
        if activation != "linear":
            layers.append(ACTIVATIONS[activation]())
    network = nnx.Network(layers, device=device, seed=0)
    restore(network, values)
    return network


def restore(network: nnx.Network, values: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the initial weights."""
    parts = [(f"dense_{i}", pair) for i, pair in enumerate(values, 1)]
    named = {f"{name}.{kind}": part for name, pair in parts for kind, part in zip("Wb", pair, strict=True)}
    network.set_weights(named)


def main() -> None:
    """Train, or predict, in turns."""
    gate = Gate()
    job, arrays = gate.job, gate.arrays()
    device, _, by_hand = gate.variant.partition("-")
    values = weights(arrays)
    network = build(gate, values, device)
    if device == "gpu":
        gate.events = Events()
    x = arrays["x"]
    if job["task"] == "predict":
        take_turns(gate, lambda _: float(np.abs(network.predict(x, job["batch"])).mean()), **about(network))
    y = x if job["target"] == "x" else arrays["y"]
    loss = LOSSES[job["loss"]]()
    adam = job["optimizer"] == "adam"
    optimizer = nnx.Adam(job["rate"], epsilon=job["epsilon"]) if adam else nnx.SGD(job["rate"])
    how = {"loss": loss, "optimizer": optimizer, "batch_size": job["batch"], "shuffle": job["shuffle"]}
    if not job["restart"]:
        rows = slice(job["check"] * job["batch"])
        early = network.fit(x[rows], x[rows] if y is x else y[rows], **how)["loss"][-1]
        network.fit(x, y, epochs=2**62, callbacks=[Turns(gate, early)], **how)

    def fit(steps: int) -> float:
        restore(network, values)
        return network.fit(x, y, epochs=steps, **how)["loss"][-1]

    def loop(steps: int) -> float:
        """Train with the loop of the README; the loss is read at the end, as for the other frameworks."""
        restore(network, values)
        inputs, targets = network.asarray(x), network.asarray(y)
        for _ in range(steps):
            y_pred = network.forward(inputs, training=True)
            dy = loss.gradient(targets, y_pred)
            network.backward(dy)
            optimizer.step(network)
        return float(loss(targets, network.forward(inputs)))

    take_turns(gate, loop if by_hand else fit, **about(network))


if __name__ == "__main__":
    main()
