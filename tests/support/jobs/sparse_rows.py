"""Train on sparse rows in a job of several ranks, or alone; the first prints losses and values."""

import json

from scipy import sparse

import nnx

ROWS = 41


def main():
    x, y, found = (
        sparse.random(ROWS, 30, 0.1, "csr", random_state=0),
        [number % 2 for number in range(ROWS)],
        {},
    )
    with nnx.distributed.connect("mpi", timeout=20.0) as communicator:
        for name in ("adam", "sgd"):
            for lazy in (False, True):
                network = nnx.Network(
                    [nnx.Dense(3, sparse=lazy), nnx.Dense(2), nnx.Softmax()], dtype="float64", seed=1
                )
                history = network.fit(
                    x, y, loss="cross_entropy", optimizer=nnx.optimizers.get(name, learning_rate=0.1),
                    batch_size=8, epochs=3, communicator=communicator, validation=0.2,
                )  # fmt: skip
                found[f"{name} {lazy}"] = history["loss"], history["val_loss"], network[0].W.tolist()
        if communicator.rank == 0:
            print(json.dumps(found))


main()
