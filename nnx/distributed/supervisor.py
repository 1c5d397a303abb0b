"""A process that waits beside each rank, so that one that is killed is named.

A launcher that sees a rank killed ends the others at once, before any of them could tell. So the process that
the launcher started stays behind and waits, and its child goes on as the rank. Where the kernel kills the
rank (the machine's memory is full, say), the one that waits says which rank it was; the launcher then sees
that one end, and ends the job.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import threading
import time
from array import array
from types import FrameType
from typing import NoReturn, TextIO

# Where launchers tell a process its rank: Open MPI, MPICH and Intel MPI (Hydra), PMIx, Slurm.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
PR_SET_PDEATHSIG = 1
READ = 2.0  # seconds that a launcher has for reading what a rank printed last


def launched_rank() -> str | None:
    """The rank that a launcher gave this process; None where none did."""
    return next((os.environ[name] for name in RANKS if name in os.environ), None)


def supervise() -> None:
    """Split in two: the child returns and is the rank, its parent waits for it and never returns.

    Does nothing where no launcher is at work, and where a fork is not safe: beside threads, or on a GPU.
    """
    rank = launched_rank()
    busy = threading.active_count() > 1 or "cupy" in sys.modules or "mpi4py.MPI" in sys.modules
    if rank is None or busy or not sys.platform.startswith("linux"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child:
        _wait(rank, child)
    os.setpgid(0, 0)  # what is typed at a terminal comes once: by way of the parent
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be followed
        os._exit(1)


def _wait(rank: str, child: int) -> NoReturn:
    def forward(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for name in FORWARDED:
        signal.signal(getattr(signal, name), forward)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    number = os.WTERMSIG(status)
    reason = " (is the machine's memory full?)" if number == signal.SIGKILL else ""
    text = f"nnx: rank {rank} was ended by {signal.Signals(number).name}{reason}: the job ends with it; "
    os.write(2, f"{text}what was saved before is whole\n".encode())
    until_read(sys.stderr)
    os._exit(128 + number)


def until_read(stream: TextIO) -> None:
    """Wait until the launcher has taken what was printed: one that ends the job may read no further."""
    try:
        import fcntl
        import termios

        if not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            return
        end, unread = time.monotonic() + READ, array("i", [1])
        while unread[0] and time.monotonic() < end:
            fcntl.ioctl(stream.fileno(), termios.FIONREAD, unread)
            time.sleep(0.001)
    except (ImportError, OSError):  # Windows, or no file behind the stream: it is as it was before
        return
