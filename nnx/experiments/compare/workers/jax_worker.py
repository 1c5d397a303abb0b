"""JAX's side. VARIANT is ``step``: a jitted step with donated buffers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers.base import PREDICT_ROWS, Model, main

ACTIVATIONS: dict[str, Any] = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
LAST: dict[str, Any] = {"BinaryCrossEntropy": jax.nn.sigmoid, "CategoricalCrossEntropy": jax.nn.softmax}


def product(x: Any, W: Any, rounds: bool) -> Any:
    """Return x W; with `rounds`, of bfloat16 factors, summed in float32."""
    if not rounds:
        return x @ W
    half = jnp.bfloat16
    return jnp.matmul(x.astype(half), W.astype(half), preferred_element_type=jnp.float32)


def forward(activations: Sequence[str], rounds: bool, parameters: Any, x: Any) -> Any:
    """Return the network's output; ``"linear"`` and ``"softmax"`` are left to the caller."""
    for (W, b), activation in zip(parameters, activations, strict=True):
        x = product(x, W, rounds) + b
        x = ACTIVATIONS[activation](x) if activation in ACTIVATIONS else x
    return x


def objective(job: Job, activations: Sequence[str], parameters: Any, x: Any, y: Any) -> Any:
    """Return the loss."""
    p, loss = forward(activations, job["dtype"] == "bfloat16", parameters, x), job["loss"]
    if loss["kind"] == "BinaryCrossEntropy":
        return jnp.mean(jax.nn.softplus(p) - p * y)
    if loss["kind"] == "CategoricalCrossEntropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(p), y[:, None], axis=1))
    return jnp.mean(jnp.square(p - y)) * (p.shape[1] if loss["reduction"] == "sum_over_features" else 1)


def rate(job: Job, t: Any) -> Any:
    """Return the learning rate of step t, counted from 0."""
    schedule = job["optimizer"]["schedule"]
    if schedule["kind"] == "Constant":
        return schedule["learning_rate"]
    done = jnp.minimum(t / schedule["steps"], 1.0)
    return schedule["learning_rate"] * 0.5 * (1.0 + jnp.cos(jnp.pi * done))


def one_minus_power(beta: float, t: Any) -> Any:
    """Return 1 − βᵗ; written as it reads, it would be off by 6e-5 in float32 at the first step."""
    return -jnp.expm1(t * math.log(beta))


def update(job: Job, loss_of: Any, state: Any, x: Any, y: Any) -> Any:
    """Take one step of Adam or SGD."""
    parameters, m, v, t = state
    loss, g = jax.value_and_grad(loss_of)(parameters, x, y)
    tree, step = jax.tree.map, rate(job, t)
    t = t + 1
    if job["optimizer"]["kind"] == "SGD":
        return (tree(lambda p, g: p - step * g, parameters, g), m, v, t), loss
    options = job["optimizer"]["options"]
    beta1, beta2, epsilon = options["beta1"], options["beta2"], options["epsilon"]
    m = tree(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
    v = tree(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
    step = step * jnp.sqrt(one_minus_power(beta2, t)) / one_minus_power(beta1, t)
    parameters = tree(lambda p, m, v: p - step * m / (jnp.sqrt(v) + epsilon), parameters, m, v)
    return (parameters, m, v, t), loss


class Jax(Model):
    """Functions over a tree of parameters, compiled by XLA."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        jax.config.update("jax_enable_x64", job["dtype"] == "float64")
        self.activations = [activation for _, _, activation in job["layers"]]
        trained = [*self.activations[:-1], "linear"] if self.logits else self.activations
        self.update = partial(update, job, partial(objective, job, trained))

        @partial(jax.jit, donate_argnums=0)
        def step(state: Any, x: Any, y: Any, rows: Any) -> Any:
            inputs = x if rows is None else x[rows]
            return self.update(state, inputs, inputs if y is None else y if rows is None else y[rows])

        self._step = step
        self._outputs = {
            count: jax.jit(partial(forward, self.activations[:count], self.rounds))
            for count in (job["codes"], None)
            if count != 0
        }

    def place(self, x: HostArray, y: HostArray) -> None:
        """Keep JAX's arrays; no targets means the inputs."""
        self.x = jnp.asarray(x)
        self.y = None if y is x else jnp.asarray(y)

    def number(self, rows: HostArray) -> Any:
        """Return JAX's array."""
        return jnp.asarray(rows)

    def restore(self) -> None:
        """Make the initial state: parameters, both moments, the number of steps."""
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in self.weights]
        adam = self.job["optimizer"]["kind"] == "Adam"
        m, v = (jax.tree.map(jnp.zeros_like, parameters) if adam else () for _ in range(2))
        self.state: Any = (parameters, m, v, jnp.zeros((), self.dtype))

    def step(self, rows: Any) -> Any:
        """Call the compiled step."""
        self.state, loss = self._step(self.state, self.x, self.y, rows)
        return loss

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict in batches."""
        size, parameters = self.job.get("predict_rows", PREDICT_ROWS), self.state[0][:layers]
        output, last = self._outputs[layers], self.activations[-1] if layers is None else ""
        parts = [output(parameters, jnp.asarray(x[i : i + size])) for i in range(0, len(x), size)]
        found = np.concatenate([np.asarray(part) for part in parts])
        return np.asarray(jax.nn.softmax(found)) if last == "softmax" else found


def about() -> dict[str, Any]:
    """Return the version, and the GPUs it sees."""
    gpus = sum(device.platform == "gpu" for device in jax.devices())
    return {"gpus": gpus, "versions": {"jax": jax.__version__}}


if __name__ == "__main__":
    main(Jax, about())
