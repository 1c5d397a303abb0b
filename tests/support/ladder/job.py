"""Ranks on the stand-in for CuPy: MPI by way of pinned memory, or by its NCCL, which sums by MPI."""

import json
import sys

import numpy as np

import nnx


def main(kind, where="host"):
    with nnx.distributed.connect(kind, 20.0) as communicator:
        x = np.random.default_rng(0).normal(size=(50, 6))
        layers = [nnx.Dense(6, 8), nnx.BatchNorm(), nnx.Dropout(0.2), nnx.Tanh(), nnx.Dense(6)]
        network = nnx.Network(layers, device=communicator.place("gpu"), dtype="float64", seed=0)
        if where == "device":
            x = network.asarray(x)
        history = network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(1e-2), batch_size=16, epochs=4,
            communicator=communicator, validation=0.2,
        )  # fmt: skip
        if communicator.rank == 0:
            print(json.dumps([network.device, history.metrics]))


main(*sys.argv[1:])
