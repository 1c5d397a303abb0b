"""Ranks on the stand-in for CuPy: MPI by way of pinned memory, or an NCCL that sums by MPI."""

import json
import sys
from types import ModuleType, SimpleNamespace

import cupy
import cupyx
import numpy as np

import nnx


def nccl(size, rank, *, backend, use_mpi):
    """What `cupyx.distributed.init_process_group` returns, as far as it is used."""
    from mpi4py import MPI

    assert (backend, use_mpi) == ("nccl", True)
    assert (size, rank) == (MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank)

    def all_reduce(source, target, op="sum", stream=None):
        assert op == "sum"
        assert isinstance(source, cupy.ndarray)
        total = cupy.asnumpy(source)
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, total)
        target.set(total)

    return SimpleNamespace(all_reduce=all_reduce)


def main(kind):
    sys.modules["cupyx.distributed"] = module = ModuleType("cupyx.distributed")
    module.init_process_group = nccl
    cupyx.distributed = module
    with nnx.distributed.connect(kind, 20.0) as communicator:
        x = np.random.default_rng(0).normal(size=(50, 6))
        layers = [nnx.Dense(6, 8), nnx.BatchNorm(), nnx.Dropout(0.2), nnx.Tanh(), nnx.Dense(6)]
        network = nnx.Network(layers, device=communicator.place("gpu"), dtype="float64", seed=0)
        history = network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(1e-2), batch_size=16, epochs=4,
            communicator=communicator, validation=0.2,
        )  # fmt: skip
        if communicator.rank == 0:
            print(json.dumps([network.device, history.metrics]))


main(*sys.argv[1:])
