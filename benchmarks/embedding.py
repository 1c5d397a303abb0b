"""Compare a training step of an embedding bag in nnx and in other frameworks.

Run by hand:  python benchmarks/embedding.py [--row TEXT] [--rounds N] [--words uniform|zipf]

The network: a table of 100,000 × 64, the mean of 20 vectors in each row, a dense layer with 10 outputs,
softmax and cross-entropy; batches of 256 rows, Adam. Rows with "sparse" update only the vectors that a batch
used: nnx with ``Embedding(sparse=True)``, PyTorch with ``sparse=True``, ``SparseAdam`` for the table and
``Adam`` for the rest. Their rule is the same, so their losses must be close (the order of the data differs).
The other rows update the whole table.

Each framework runs in a separate process, with the same initial weights, data and threads. They take turns,
in a rotating order, with a pause before each. nnx trains with `Network.fit`, which shuffles, gathers the rows
of each batch and checks each step. The others have the shortest loop that their users write, and gather too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from nnx.backends.threads import cores
from nnx.experiments.compare import processes

VOCABULARY, UNITS, POSITIONS, CLASSES = 100_000, 64, 20, 10
BATCH, STEPS, RATE = 256, 100, 1e-3
SETTLE = 0.25  # seconds, in which the threads of the turn before fall asleep
Turn = Callable[[], float]  # trains for STEPS steps, and returns the loss of the last one


def drawn(words: str) -> tuple[Any, ...]:
    """Return numbers and labels for all steps of a turn, and the initial weights."""
    rng = np.random.default_rng(0)
    shape = (BATCH * STEPS, POSITIONS)
    x = rng.integers(0, VOCABULARY, shape) if words == "uniform" else rng.zipf(1.1, shape) % VOCABULARY
    labels = rng.integers(0, CLASSES, BATCH * STEPS)
    table = rng.uniform(-0.05, 0.05, (VOCABULARY, UNITS)).astype(np.float32)
    kernel = (rng.standard_normal((UNITS, CLASSES)) * 0.1).astype(np.float32)
    return x, labels, table, kernel


def of_nnx(words: str, device: str, sparse: bool) -> Turn:
    """Return a turn of nnx: an epoch of `fit`."""
    import nnx

    x, labels, table, kernel = drawn(words)
    bag = nnx.Embedding(VOCABULARY, UNITS, sparse=sparse)
    layers = [bag, nnx.GlobalAveragePool1D(), nnx.Dense(CLASSES), nnx.Softmax()]
    network = nnx.Network(layers, device=device, seed=0).build(POSITIONS)
    bag.W[...], network[2].W[...] = table, kernel
    optimizer = nnx.Adam(RATE, epsilon=1e-8)

    def turn() -> float:
        history = network.fit(x, labels, loss="cross_entropy", optimizer=optimizer, batch_size=BATCH)
        return float(history["loss"][-1])

    return turn


def of_torch(words: str, kind: str) -> Turn:
    """Return a turn of PyTorch."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    x, labels, table, kernel = map(torch.from_numpy, drawn(words))
    sparse = kind != "dense"
    if kind == "embedding":
        bag: Any = torch.nn.Embedding(VOCABULARY, UNITS, sparse=True)
    else:
        bag = torch.nn.EmbeddingBag(VOCABULARY, UNITS, mode="mean", sparse=sparse)
    dense = torch.nn.Linear(UNITS, CLASSES)
    with torch.no_grad():
        bag.weight.copy_(table)
        dense.weight.copy_(kernel.T)
        dense.bias.zero_()
    optimizers = [
        (torch.optim.SparseAdam if sparse else torch.optim.Adam)(bag.parameters(), lr=RATE),
        torch.optim.Adam(dense.parameters(), lr=RATE),
    ]

    def turn() -> float:
        order = torch.randperm(len(x))
        losses = torch.zeros(STEPS)
        for step in range(STEPS):
            rows = order[step * BATCH : (step + 1) * BATCH]
            found = bag(x[rows])
            found = found.mean(dim=1) if kind == "embedding" else found
            loss = torch.nn.functional.cross_entropy(dense(found), labels[rows])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses[step] = loss.detach()
        return float(losses.mean())

    return turn


def of_jax(words: str) -> Turn:
    """Return a turn of JAX, with Adam written by hand on the whole table, and one jitted step."""
    import jax
    import jax.numpy as jnp

    x, labels, table, kernel = drawn(words)
    x, labels = jnp.asarray(x.astype(np.int32)), jnp.asarray(labels)
    values = {"table": jnp.asarray(table), "kernel": jnp.asarray(kernel), "bias": jnp.zeros(CLASSES)}

    def loss(values: Any, x: Any, labels: Any) -> Any:
        z = values["table"][x].mean(axis=1) @ values["kernel"] + values["bias"]
        return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], axis=1).mean()

    def step(state: Any, rows: Any) -> Any:
        values, m, v, t = state
        value, g = jax.value_and_grad(loss)(values, x[rows], labels[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        values = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), values, m, v)
        return (values, m, v, t), value

    compiled = jax.jit(step, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, values)
    state = [(values, zeros, jax.tree.map(jnp.zeros_like, values), jnp.float32(0))]
    rng = np.random.default_rng(1)

    def turn() -> float:
        order, losses = rng.permutation(len(x)), []
        for number in range(STEPS):
            state[0], value = compiled(state[0], order[number * BATCH : (number + 1) * BATCH])
            losses.append(value)
        return float(np.mean([float(one) for one in losses]))

    return turn


def of_keras(words: str) -> Turn:
    """Return a turn of Keras on TensorFlow: an epoch of `fit`; its Adam updates the whole table."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    threads = int(os.environ["OMP_NUM_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    x, labels, table, kernel = drawn(words)
    layers = keras.layers
    model = keras.Sequential(
        [layers.Embedding(VOCABULARY, UNITS), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES)]
    )
    model.build((None, POSITIONS))
    model.set_weights([table, kernel, np.zeros(CLASSES, np.float32)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE, epsilon=1e-8), loss)

    def turn() -> float:
        return float(model.fit(x, labels, batch_size=BATCH, verbose=0).history["loss"][-1])

    return turn


ROWS: dict[str, tuple[str, Callable[[str], Turn]]] = {
    "PyTorch, EmbeddingBag, sparse": ("torch", lambda words: of_torch(words, "bag")),
    "PyTorch, Embedding and mean, sparse": ("torch", lambda words: of_torch(words, "embedding")),
    "PyTorch, EmbeddingBag, dense": ("torch", lambda words: of_torch(words, "dense")),
    "nnx, numba, sparse": ("numba", lambda words: of_nnx(words, "numba", True)),
    "nnx, numpy, sparse": ("nnx", lambda words: of_nnx(words, "numpy", True)),
    "nnx, numba, dense": ("numba", lambda words: of_nnx(words, "numba", False)),
    "JAX, dense": ("jax", of_jax),
    "Keras, dense": ("keras", of_keras),
}


def megabytes(name: str) -> float:
    """Return a figure of this process's memory: ``VmRSS``, or ``VmHWM`` for the highest so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def work(name: str, words: str) -> None:
    """Take a turn for each line on standard input; answer with its seconds, loss and memory."""
    __import__(ROWS[name][0])
    before = megabytes("VmRSS")
    turn = ROWS[name][1](words)
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        loss = turn()
        seconds = time.perf_counter() - began
        print(
            json.dumps({"seconds": seconds, "loss": loss, "memory": megabytes("VmHWM") - before}), flush=True
        )


@click.command()
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--words", type=click.Choice(["uniform", "zipf"]), default="uniform", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=cores(), help="Default: all cores.")
@click.option("--worker", hidden=True)
def main(row: str, words: str, rounds: int, threads: int, worker: str | None) -> None:
    """Print a table."""
    if worker is not None:
        work(worker, words)
        return
    environment = os.environ | processes.environment(threads, gpu=False)
    names = [name for name, (module, _) in ROWS.items() if row.lower() in name.lower() and find_spec(module)]
    workers = {}
    for name in names:
        command = [sys.executable, __file__, "--worker", name, "--words", words]
        workers[name] = pipe = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert pipe.stdout is not None
        assert pipe.stdout.readline() == "ready\n", f"{name} did not start"
    answers: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in [*names[shift:], *names[:shift]]:
            time.sleep(SETTLE)
            pipe = workers[name]
            assert pipe.stdin is not None
            assert pipe.stdout is not None
            pipe.stdin.write("go\n")
            pipe.stdin.flush()
            answers[name].append(json.loads(pipe.stdout.readline()))
    for pipe in workers.values():
        pipe.communicate()
    times = {name: [one["seconds"] / STEPS * 1e3 for one in answers[name]] for name in names}
    first = float(np.median(times[names[0]]))
    click.echo(f"step of {BATCH} × {POSITIONS} numbers, {VOCABULARY:,} × {UNITS}, {words}, {threads} threads")
    click.echo(f"{'':38}{'ms a step':>10}{'quartiles':>16}{'ratio':>8}{'MB':>7}   loss")
    for name in names:
        low, middle, high = np.quantile(times[name], (0.25, 0.5, 0.75))
        last = answers[name][-1]
        spread = f"{low:.2f} to {high:.2f}"
        click.echo(
            f"{name:38}{middle:10.2f}{spread:>16}{middle / first:8.2f}{last['memory']:7.0f}"
            f"   {last['loss']:.4f}"
        )


if __name__ == "__main__":
    main()
