"""Ranks with a GPU each, whose sums go by NCCL; what lies on the host still goes by MPI."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.distributed.mpi import MpiCommunicator
from nnx.errors import ConfigurationError


class NcclCommunicator(MpiCommunicator):
    """A rank of an MPI job that sums on its GPU, by `cupyx.distributed`.

    A sum is queued behind the work that gives its input, and the host goes on. It waits for the sum before:
    so no more than two are under way, and a rank that is missing is noticed.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self._group: Any = None
        self._before: Any = None

    def sum(self, x: Array, what: str = "the exchange") -> Array:
        """See `Communicator.sum`."""
        if isinstance(x, np.ndarray):
            return super().sum(x, what)
        from cupy import cuda

        if self._group is None:  # here, where the device of this rank is current
            self._group = self._init()
        if self._before is not None:
            self._wait(lambda: self._before.done, what)
        self._group.all_reduce(x, x, op="sum")
        self._before = cuda.Event(disable_timing=True)
        self._before.record()
        return x

    def _init(self) -> Any:
        self.gather("", "the start of NCCL")  # which waits for all ranks without a time limit
        from cupyx import distributed

        return distributed.init_process_group(self.size, self.rank, backend="nccl", use_mpi=True)

    def place(self, device: str | None) -> str | None:
        """A GPU of its own for each rank.

        Raises
        ------
        ConfigurationError
            If a machine has more ranks than GPUs: NCCL refuses two on one.
        """
        from nnx.backends.cupy_devices import device_count

        count = device_count()
        if self.local_rank >= count:
            raise ConfigurationError(
                f"rank {self.rank} is number {self.local_rank + 1} on a machine with {count} GPUs, and NCCL "
                "wants one for each: start fewer ranks there, or take --distributed mpi"
            )
        return super().place("gpu" if device in (None, "auto", "gpu") else device)
