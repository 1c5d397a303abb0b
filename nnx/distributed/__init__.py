"""Train in several processes, each with its part of every batch: data parallel, on MPI and NCCL.

Every process (a *rank*) holds the whole network and takes its rows of each batch. The gradients are summed,
and every rank then takes the same optimizer step. A launcher (``mpiexec -n 4 …``) starts the processes; nnx
asks MPI for its rank and for sums. `Communicator` in this file is a job of one process: it has no other rank
to ask. Its docstrings say what each method does in a job of several.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from nnx.backends import Array
from nnx.errors import ConfigurationError, nearest

KINDS = ("mpi", "nccl")
TIMEOUT = 60.0
Sent = TypeVar("Sent", str, Array)


@dataclass(frozen=True)
class Shard:
    """The rows of a global batch that one rank takes.

    Attributes
    ----------
    start, stop : int
        The rows of the global batch it takes: at least one, as every rank runs every step.
    rows : int
        How many of them count: 0 for some ranks if the batch has fewer rows than there are ranks.
    total : int
        Number of rows in the global batch.
    communicator : Communicator
        For layers that need a sum over the global batch.
    """

    start: int
    stop: int
    rows: int
    total: int
    communicator: Communicator

    @property
    def share(self) -> float:
        """Return this rank's rows as a fraction of the global batch."""
        return self.rows / self.total


class Communicator:
    """The processes of a job, as one of them sees them; this class itself is a job of one process.

    As a context, it ends the whole job if an error leaves the block, since the other ranks would wait for
    this one.

    Attributes
    ----------
    rank, size : int
        The number of this rank, from 0, and how many ranks there are.
    local_rank : int
        The number of this rank among those on the same machine.
    timeout : float
        Seconds that this rank waits for the others before it ends the job.
    """

    rank = 0
    size = 1
    local_rank = 0
    timeout = TIMEOUT

    def sum(self, x: Array, what: str = "the exchange") -> Array:
        """x = Σ_ranks x, in place, with the same bits on every rank.

        Parameters
        ----------
        x : contiguous array
            On the host, or on this rank's device.
        what : str
            What is summed, for the error if a rank does not respond.

        Raises
        ------
        RankError
            If a rank does not take part within `timeout` seconds; the text names it.
        """
        return x

    def sums(self, *arrays: Array, what: str = "the exchange") -> tuple[Array, ...]:
        """Return Σ_ranks of each array, in one exchange; errors as in `sum`.

        The arrays have one shape. They are not changed; on one process they are returned themselves.
        """
        return arrays

    def pool_moments(self, mean: Array, variance: Array, share: float, what: str = "the exchange") -> None:
        """Turn the moments of this rank's rows into those of all rows, in place; errors as in `sum`.

        μ = Σ s μᵣ and σ² = Σ s (σᵣ² + (μᵣ − μ)²), where `share` is s, this rank's part of the rows. No large
        squares are subtracted: Chan, Golub and LeVeque (1983).
        """

    def gather(self, value: str, what: str = "the exchange") -> list[str]:
        """Return the texts of all ranks, in the order of the ranks; errors as in `sum`."""
        return [value]

    def broadcast(self, value: Sent, what: str = "the exchange") -> Sent:
        """Return the value of rank 0 on every rank; errors as for `sum`.

        Parameters
        ----------
        value : str or contiguous NumPy array
            An array has the shape and type of rank 0's, and is filled in place.
        """
        return value

    def barrier(self, what: str = "the exchange") -> None:
        """Wait until all ranks have come here; errors as for `sum`."""

    def agree(self, facts: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        """Check that all ranks have the same facts.

        A function that returns the facts is called only if there are other ranks.

        Raises
        ------
        RankError
            On every rank, if one differs; the text names the rank and the fact.
        """

    def shard(self, rows: int) -> Shard:
        """Return this rank's rows of a batch: the rows are dealt in order, as evenly as possible."""
        start, stop = rows * self.rank // self.size, rows * (self.rank + 1) // self.size
        if start == stop:
            return Shard(0, 1, 0, rows, self)
        return Shard(start, stop, stop - start, rows, self)

    def place(self, device: str | None) -> str | None:
        """Return the device for this rank: ``"gpu"`` becomes one of the GPUs of its machine, in turn."""
        return device

    def abort(self, status: int = 1) -> None:
        """End the whole job at once."""

    def take_turn(self) -> None:
        """Wait before this rank reports its failure: lower ranks report first; the first one ends the job."""

    def __enter__(self) -> Communicator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self.size > 1 and not (isinstance(error, SystemExit) and not error.code):
            import sys
            import traceback as printer

            text = "".join(printer.format_exception(error))
            self.take_turn()
            sys.stderr.write(f"nnx: rank {self.rank} of {self.size} failed, which ends the job:\n{text}")
            self.abort(1)


ALONE = Communicator()
_joined: list[Communicator] = []


def joined() -> Communicator:
    """Return what `connect` last returned in this process, or `ALONE` before that."""
    return _joined[-1] if _joined else ALONE


def connect(kind: str, timeout: float = TIMEOUT) -> Communicator:
    """Join the job that a launcher started; call it before anything that uses threads or a GPU.

    Parameters
    ----------
    kind : {"mpi", "nccl"}
        What sums arrays on a GPU. MPI goes through the host, or directly if ``NNX_CUDA_AWARE_MPI=1`` says
        that the MPI library can. NCCL needs one GPU for each rank. Everything else is exchanged by MPI.
    timeout : float
        Seconds that a rank waits for the others, here and in every exchange, before it ends the job. A rank
        that never calls `connect` is named on standard error.

    Returns
    -------
    Communicator

    Raises
    ------
    ConfigurationError
        If the kind is unknown, or the timeout is not positive.
    MissingLibraryError
        If mpi4py or an MPI library is not installed; the text says how to install them.

    Examples
    --------
    A script that ``mpiexec -n 4 python script.py`` starts:

    >>> import nnx
    >>> with nnx.distributed.connect("mpi") as communicator:  # doctest: +SKIP
    ...     network.fit(x, x, loss=loss, optimizer=optimizer, communicator=communicator)
    ...     if communicator.rank == 0:
    ...         network.save("model.safetensors")
    """
    if kind not in KINDS:
        raise ConfigurationError(f"unknown kind of distributed training {kind!r}{nearest(kind, KINDS)}")
    if not timeout > 0.0:
        raise ConfigurationError(f"timeout must be a positive number of seconds, not {timeout!r}")
    from nnx.distributed import supervisor

    with supervisor.joining(timeout):
        from nnx.distributed.mpi import MpiCommunicator
        from nnx.distributed.nccl import NcclCommunicator

        _joined.append(NcclCommunicator(timeout) if kind == "nccl" else MpiCommunicator(timeout))
    atexit.register(supervisor.heed_signals)
    return _joined[-1]
