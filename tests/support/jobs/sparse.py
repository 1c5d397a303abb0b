"""Train a sparse embedding in a job of several ranks, or alone; the first prints losses and values."""

import json

import numpy as np

import nnx

ROWS, VOCABULARY = 41, 60


def main():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, VOCABULARY, (ROWS, 3)), rng.integers(0, 2, ROWS)
    found = {}
    with nnx.distributed.connect("mpi", timeout=20.0) as communicator:
        for name in ("adam", "sgd"):
            optimizer = nnx.optimizers.get(name, learning_rate=0.1)
            layers = [nnx.Embedding(VOCABULARY, 2, sparse=True), nnx.Flatten(), nnx.Dense(2), nnx.Softmax()]
            network = nnx.Network(layers, dtype="float64", seed=1)
            history = network.fit(
                x, y, loss="cross_entropy", optimizer=optimizer, batch_size=8, epochs=4,
                communicator=communicator,
            )  # fmt: skip
            # the last batch has one row, so all ranks but one have none
            found[f"{name} loss"], found[f"{name} W"] = history["loss"], network[0].W.tolist()
            for slot, values in network.arena.states[optimizer].slots.items():
                found[f"{name} {slot}"] = values.tolist()
        if communicator.rank == 0:
            print(json.dumps(found))


main()
