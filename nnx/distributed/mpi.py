"""Connect ranks by MPI."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.distributed import Communicator, Sent, agreement
from nnx.distributed.roll_call import RollCall, Wait
from nnx.distributed.supervisor import TURN, until_read
from nnx.errors import MissingLibraryError, RankError

AWAKE = 0.002  # seconds: shorter waits do not sleep
NAP = 0.0005


class MpiCommunicator(Communicator):
    """A rank of an MPI job.

    No call here blocks, because a blocking exchange never returns if a rank is gone. An exchange is started,
    and then tested until it is done. If that takes too long, `RollCall` finds out which rank is missing.

    Raises
    ------
    MissingLibraryError
        If mpi4py or an MPI library is not installed.
    """

    def __init__(self, timeout: float) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise MissingLibraryError(
                f"MPI cannot be used ({error}): pip install 'nnx-arrays[mpi]', and install an MPI library: "
                "the one of your machine, or pip install mpich"
            ) from error
        self._mpi: Any = MPI
        self._world: Any = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        self.local_rank = self._world.Split_type(MPI.COMM_TYPE_SHARED).Get_rank()
        self.timeout = timeout
        self._roll = RollCall(MPI, self._world.Dup())
        self._staging: dict[tuple[int, str], Any] = {}

    def sum(self, x: Array, what: str = "the exchange") -> Array:
        """See `Communicator.sum`; arrays on a GPU are copied through pinned memory of the host."""
        if isinstance(x, np.ndarray):
            return self._sum(x, what)
        from cupy import cuda

        if os.environ.get("NNX_CUDA_AWARE_MPI") == "1":
            cuda.Device().synchronize()  # MPI reads the memory itself and does not wait for queued work
            return self._sum(x, what)
        staged = self._staged(x.size, x.dtype)
        x.get(out=staged.reshape(x.shape))
        self._sum(staged, what)
        x.set(staged.reshape(x.shape))
        cuda.Device().synchronize()  # the next exchange writes to the same memory
        return x

    def _staged(self, size: int, dtype: Any) -> Any:
        """Return pinned memory on the host, which a GPU copies to and from directly."""
        key = (size, str(dtype))
        if key not in self._staging:
            from cupy import cuda

            memory = cuda.alloc_pinned_memory(size * dtype.itemsize)
            self._staging[key] = np.frombuffer(memory, dtype, size)
        return self._staging[key]

    def _sum(self, x: Array, what: str) -> Array:
        if self.size > 1:
            self._finish(self._world.Iallreduce(self._mpi.IN_PLACE, x), what)
        return x

    def sums(self, *arrays: Array, what: str = "the exchange") -> tuple[Array, ...]:
        """See `Communicator.sums`."""
        stacked = arrays[0][None].repeat(len(arrays), axis=0)
        for number, array in enumerate(arrays):
            stacked[number] = array
        return tuple(self.sum(stacked, what))

    def pool_moments(self, mean: Array, variance: Array, share: float, what: str = "the exchange") -> None:
        """See `Communicator.pool_moments`."""
        shift = mean.copy()
        mean *= share
        self.sum(mean, what)
        shift -= mean
        variance += shift * shift
        variance *= share
        self.sum(variance, what)

    def gather(self, value: str, what: str = "the exchange") -> list[str]:
        """See `Communicator.gather`."""
        own = np.frombuffer(value.encode(), np.uint8)
        sizes = np.zeros(self.size, np.int64)
        sizes[self.rank] = own.size
        self._sum(sizes, what)
        everything = np.empty(int(sizes.sum()), np.uint8)
        self._finish(self._world.Iallgatherv(own, (everything, sizes)), what)
        return [part.tobytes().decode() for part in np.split(everything, np.cumsum(sizes)[:-1])]

    def broadcast(self, value: Sent, what: str = "the exchange") -> Sent:
        """See `Communicator.broadcast`."""
        if isinstance(value, str):
            size = self.broadcast(np.array([len(value.encode())]), what)
            text = bytearray(value.encode() if self.rank == 0 else int(size[0]))
            self._finish(self._world.Ibcast(text), what)
            return text.decode()
        self._finish(self._world.Ibcast(value.reshape(-1).view(np.uint8)), what)
        return value

    def barrier(self, what: str = "the exchange") -> None:
        """See `Communicator.barrier`."""
        self._finish(self._world.Ibarrier(), what)

    def agree(self, facts: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        """See `Communicator.agree`."""
        facts = facts() if callable(facts) else facts
        wrong = agreement.difference(self.gather(agreement.packed(facts), "the comparison before the start"))
        if wrong:
            raise RankError(f"{wrong}: start all ranks with the same data, options and versions")

    def place(self, device: str | None) -> str | None:
        """See `Communicator.place`."""
        if device != "gpu" or self.size == 1:
            return device
        from nnx.backends.cupy_devices import device_count

        return f"gpu:{self.local_rank % max(device_count(), 1)}"

    def abort(self, status: int = 1) -> None:
        """See `Communicator.abort`."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            until_read(stream)
        self._mpi.COMM_WORLD.Abort(status)
        os._exit(status)  # some libraries return after they inform the launcher

    def take_turn(self) -> None:
        """See `Communicator.take_turn`."""
        time.sleep(TURN * min(self.rank, 8))

    def _finish(self, request: Any, what: str) -> None:
        self._wait(request.Test, what)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        """Test until it is done; if that takes too long, name the missing rank."""
        began = time.monotonic()
        wait = Wait(self._roll, self.timeout)
        try:
            while not done():
                waited = time.monotonic() - began
                if waited < AWAKE:
                    os.sched_yield()  # there may be more ranks than cores
                    continue
                time.sleep(NAP)
                wait.attend(waited)
                if wait.over:
                    break
            else:
                return
        except self._mpi.Exception as error:  # the MPI library noticed it first
            raise RankError(f"{what} failed: {error}; this ends the job") from error
        raise RankError(
            f"{wait.missing()} {what} within {self.timeout:g} s: stopped, disconnected or far behind; this "
            "ends the job, and files saved before are intact"
        )
