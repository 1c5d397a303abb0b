"""Run JAX in turns: VARIANT is ``step`` (a jitted step, donated buffers) or ``loop`` (one program)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from protocol import Gate, take_turns, weights

ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
State = tuple[Any, Any, Any, Any]


def forward(activations: list[str], parameters: Any, x: jax.Array) -> jax.Array:
    """Return the network's output; a softmax is part of the loss."""
    for (W, b), activation in zip(parameters, activations, strict=True):
        x = x @ W + b
        x = ACTIVATIONS[activation](x) if activation in ACTIVATIONS else x
    return x


def objective(job: dict[str, Any], parameters: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the loss; a cross-entropy takes the input of the last activation, as in nnx's `fit`."""
    kind, last = job["loss"], job["activations"][-1]
    cross_entropy = kind in ("binary_cross_entropy", "categorical_cross_entropy")
    p = forward([*job["activations"][:-1], "linear" if cross_entropy else last], parameters, x)
    if kind == "binary_cross_entropy":
        return jnp.mean(jax.nn.softplus(p) - p * y)
    if kind == "categorical_cross_entropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(p), y[:, None], axis=1))
    return jnp.mean(jnp.square(p - y)) * (p.shape[1] if kind == "squared_error_sum" else 1)


def update(job: dict[str, Any], state: State, x: jax.Array, y: jax.Array) -> tuple[State, jax.Array]:
    """Return the state after one step of Adam or SGD, and the loss."""
    parameters, m, v, t = state
    loss, g = jax.value_and_grad(partial(objective, job))(parameters, x, y)
    tree, rate = jax.tree.map, job["rate"]
    if job["optimizer"] == "sgd":
        return (tree(lambda p, g: p - rate * g, parameters, g), m, v, t), loss
    t = t + 1
    m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    parameters = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + job["epsilon"]), parameters, m, v)
    return (parameters, m, v, t), loss


def main() -> None:
    """Train, or predict, in turns."""
    gate = Gate()
    job, arrays = gate.job, gate.arrays()
    values = weights(arrays)
    about = {"version": jax.__version__, "kernel": "XLA's own"}
    x = jnp.asarray(arrays["x"])

    def initial() -> State:
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in values]
        zeros = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2 * (job["optimizer"] == "adam")))
        return (parameters, *(tuple(zeros) or ((), ())), jnp.zeros(()))

    if job["task"] == "predict":
        parameters = initial()[0]
        encode = jax.jit(partial(forward, job["activations"]))
        parts = [slice(start, start + job["batch"]) for start in range(0, len(x), job["batch"])]

        def predict(_: int) -> float:
            codes = np.concatenate([np.asarray(c) for c in [encode(parameters, x[p]) for p in parts]])
            return float(np.abs(codes).mean())

        take_turns(gate, predict, **about)

    y = x if job["target"] == "x" else jnp.asarray(arrays["y"])
    whole = job["batch"] == len(x)
    batches = [None] if whole else list(jnp.arange(len(x)).reshape(-1, job["batch"]))

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, x: jax.Array, y: jax.Array | None, rows: jax.Array | None) -> Any:
        inputs = x if rows is None else x[rows]
        targets = inputs if y is None else y if rows is None else y[rows]
        return update(job, state, inputs, targets)

    @partial(jax.jit, donate_argnums=0)
    def loop(state: State, x: jax.Array, y: jax.Array, steps: int) -> Any:
        body = lambda _, carry: update(job, carry[0], x, y)  # noqa: E731
        return jax.lax.fori_loop(0, steps, body, (state, jnp.zeros(())))

    kept = initial()

    def turn(steps: int) -> float:
        nonlocal kept
        state = initial() if job["restart"] else kept
        if gate.variant == "loop":
            kept, loss = loop(state, x, y, steps)
            return float(loss)
        for _ in range(max(1, steps // len(batches))):
            losses = []
            for rows in batches[:steps]:
                state, loss = step(state, x, None if y is x else y, rows)
                losses.append(loss)
        kept = jax.block_until_ready(state)
        return float(np.mean([float(loss) for loss in losses]))

    take_turns(gate, turn, **about)


if __name__ == "__main__":
    main()
