"""Training by several processes, each with its part of every batch: data parallel, on MPI and NCCL.

Every process (a *rank*) holds the whole network and takes its rows of each batch; the gradients are summed,
and every rank then takes the same optimizer step. Who is launched where is the launcher's business
(``mpiexec -n 4 …``); nnx asks MPI for its rank and for sums. The class here is the job of one process, which
has nobody to ask: its methods say what the others do.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, nearest

KINDS = ("mpi", "nccl")
TIMEOUT = 60.0


@dataclass(frozen=True)
class Part:
    """A rank's rows of a global batch.

    Attributes
    ----------
    start, stop : int
        Which rows of the global batch it takes; at least one, for every rank runs every step.
    rows : int
        How many of them count: 0 where the batch has fewer rows than there are ranks.
    total : int
        Rows of the global batch.
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
        """Its rows' share of the global batch."""
        return self.rows / self.total


class Communicator:
    """The job's processes as one of them sees them; this class itself is the job of one process.

    As a context it ends the whole job where an error leaves it: the others would wait for this rank.

    Attributes
    ----------
    rank, size : int
        Its number, from 0, and how many there are.
    local_rank : int
        Its number among those on the same machine.
    timeout : float
        Seconds that a rank waits for the others before it ends the job.
    """

    rank = 0
    size = 1
    local_rank = 0
    timeout = TIMEOUT

    def sum(self, x: Array, what: str = "the exchange") -> Array:
        """x = Σ_ranks x, in place, of the same bits on every rank.

        Parameters
        ----------
        x : contiguous array
            On the host, or on this rank's device.
        what : str
            What is summed, for the error of a rank that waits in vain.

        Raises
        ------
        RankError
            If a rank does not come within `timeout` seconds; the text names it.
        """
        return x

    def gather(self, value: str, what: str = "the exchange") -> list[str]:
        """Every rank's text, in the order of the ranks; errors as for `sum`."""
        return [value]

    def agree(self, facts: dict[str, Any]) -> None:
        """See that all ranks hold the same facts.

        Raises
        ------
        RankError
            On every rank, if one holds others; the text names it, and what differs.
        """

    def part(self, rows: int) -> Part:
        """Its part of a batch of so many rows: they are dealt in order, as evenly as can be."""
        start, stop = rows * self.rank // self.size, rows * (self.rank + 1) // self.size
        if start == stop:
            return Part(0, 1, 0, rows, self)
        return Part(start, stop, stop - start, rows, self)

    def place(self, device: str | None) -> str | None:
        """The device for this rank: ``"gpu"`` becomes one of its machine's, in turns."""
        return device

    def abort(self, status: int = 1) -> None:
        """End the whole job at once."""

    def take_turn(self) -> None:
        """Before this rank tells of its failure, let lower ranks tell of theirs: the first ends the job."""

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

            told = "".join(printer.format_exception(error))
            self.take_turn()
            sys.stderr.write(f"nnx: rank {self.rank} of {self.size} failed, the job ends:\n{told}")
            self.abort(1)


ALONE = Communicator()
_joined: list[Communicator] = []


def joined() -> Communicator:
    """What `connect` returned last in this process; `ALONE` before."""
    return _joined[-1] if _joined else ALONE


def connect(kind: str, timeout: float = TIMEOUT) -> Communicator:
    """Join the job that a launcher started; call it before anything else that takes threads or a GPU.

    Parameters
    ----------
    kind : {"mpi", "nccl"}
        Who sums what lies on a GPU: MPI, by way of the host (directly where ``NNX_CUDA_AWARE_MPI=1`` says
        that it can), or NCCL, one GPU a rank. Everything else is exchanged by MPI.
    timeout : float
        Seconds that a rank waits for the others, here and in every exchange, before it ends the job. A rank
        that never comes here is named on standard error.

    Returns
    -------
    Communicator

    Raises
    ------
    ConfigurationError
        If the kind is unknown, or the timeout not positive.
    MissingLibraryError
        If mpi4py or an MPI library is not installed; the text says what installs them.

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
        raise ConfigurationError(f"there is no way to distribute called {kind!r}{nearest(kind, KINDS)}")
    if not timeout > 0.0:
        raise ConfigurationError(f"timeout must be a positive number of seconds, not {timeout!r}")
    from nnx.distributed import supervisor

    with supervisor.joining(timeout):
        from nnx.distributed.mpi import MpiCommunicator
        from nnx.distributed.nccl import NcclCommunicator

        _joined.append(NcclCommunicator(timeout) if kind == "nccl" else MpiCommunicator(timeout))
    atexit.register(supervisor.heed_signals)
    return _joined[-1]
