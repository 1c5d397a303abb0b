"""Connect ranks with one GPU each: arrays on a GPU are summed by NCCL, arrays on the host by MPI."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.distributed.mpi import MpiCommunicator
from nnx.errors import ConfigurationError


class NcclCommunicator(MpiCommunicator):
    """A rank of an MPI job that sums on its GPU, by `cupyx.distributed`.

    A sum is queued after the work that computes its input, and the host does not wait for it. Each call waits
    for the sum before it. So at most two sums are in progress, and a missing rank is noticed.
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

        if self._group is None:  # created here because this rank's device is now current
            self._group = self._init()
        if self._before is not None:
            self._wait(lambda: self._before.done, what)
        self._group.all_reduce(x, x, op="sum")
        self._before = cuda.Event(disable_timing=True)
        self._before.record()
        return x

    def _init(self) -> Any:
        self.gather("", "the start of NCCL")  # NCCL itself would wait for all ranks without a time limit
        from cupyx import distributed

        return distributed.init_process_group(self.size, self.rank, backend="nccl", use_mpi=True)

    def place(self, device: str | None) -> str | None:
        """Return a separate GPU for each rank.

        Raises
        ------
        ConfigurationError
            If a machine has more ranks than GPUs: NCCL does not allow two ranks on one GPU.
        """
        from nnx.backends.cupy_devices import device_count

        count = device_count()
        if self.local_rank >= count:
            raise ConfigurationError(
                f"rank {self.rank} is number {self.local_rank + 1} on a machine with {count} GPUs, but NCCL "
                "needs one GPU for each rank: start fewer ranks there, or use --distributed mpi"
            )
        return super().place("gpu" if device in (None, "auto", "gpu") else device)
