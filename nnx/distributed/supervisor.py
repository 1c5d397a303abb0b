"""A process that waits for each rank, so that one that is killed, or never comes, is named.

A launcher that sees a rank killed ends the others at once, before any of them could report it. So the process
that the launcher started waits, and its child is the rank. Where the kernel kills the rank (the machine's
memory is full, say), the one that waits reports which rank it was; the launcher then sees that one end, and
ends the job.

It also watches the start. MPI joins all ranks in one call that returns only when all have come, and that lets
no signal handler of Python's run. So this process ends the rank after its timeout, and reports which rank is
missing.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import stat
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

# Where launchers tell a process its rank: Open MPI, MPICH and Intel MPI (Hydra), PMIx, Slurm.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
TURN = 1.0  # seconds between ranks that report the same, and no more than 8 of them
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
NAME = "nnx rank "  # of a process that waits for a rank, as `ps` and /proc show it
READ = 2.0  # seconds that a launcher has for reading what a rank printed last


def launched_rank() -> str | None:
    """The rank that a launcher gave this process; None where none did."""
    return _first(RANKS)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if name in os.environ), None)


@contextmanager
def joining(timeout: float) -> Iterator[None]:
    """A context for joining the job: it ends after so many seconds, and by signals at once.

    On entering, the process is split in two: the child is the rank, its parent waits for it and never
    returns. Not where no launcher is at work, and not where a fork is unsafe (threads, a GPU): a rank that
    waits in vain is then ended with a traceback, which cannot name the rank that is missing.
    """
    joined = _supervise(timeout)
    usual = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                usual[number] = signal.signal(number, signal.SIG_DFL)
    alone = joined is None and launched_rank() is not None
    with suppress(RuntimeError, ValueError, AttributeError, OSError):  # standard error may be no file
        if alone:
            faulthandler.dump_traceback_later(timeout, exit=True)
    try:
        yield
    finally:
        if alone:
            faulthandler.cancel_dump_traceback_later()
        for number, handler in usual.items():
            signal.signal(number, handler)
        if joined is not None:
            os.close(joined)


def heed_signals() -> None:
    """Let signals end the process at once: at its end it may wait for the others within MPI."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, signal.SIG_DFL)


def _supervise(timeout: float) -> int | None:
    """Split in two, see `joining`. Returns what the rank closes when it has joined; None without a parent."""
    rank = launched_rank()
    busy = threading.active_count() > 1 or "cupy" in sys.modules or "mpi4py.MPI" in sys.modules
    if rank is None or busy or not sys.platform.startswith("linux"):
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        _wait(rank, child, reading, timeout)
    os.close(reading)
    os.setpgid(0, 0)  # what is typed at a terminal comes once: by way of the parent
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be followed
        os._exit(1)
    return writing


def _wait(rank: str, child: int, joined: int, timeout: float) -> NoReturn:
    def forward(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for name in FORWARDED:
        signal.signal(getattr(signal, name), forward)
    ctypes.CDLL(None).prctl(PR_SET_NAME, f"{NAME}{rank}".encode())
    if not select.select([joined], [], [], timeout)[0]:
        _give_up(rank, child, timeout)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    number = os.WTERMSIG(status)
    reason = " (is the machine's memory full?)" if number == signal.SIGKILL else ""
    text = f"nnx: rank {rank} was ended by {signal.Signals(number).name}{reason}: the job ends with it; "
    os.write(2, f"{text}what was saved before is whole\n".encode())
    until_read(sys.stderr)
    os._exit(128 + number)


def _give_up(rank: str, child: int, timeout: float) -> NoReturn:
    """End a rank that waits in vain for the others to join, and with it the job."""
    for name in FORWARDED:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    came = _came()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(TURN * min(int(rank), 8))  # one report is enough: the first to make it ends the others
    text = f"nnx: {_missing(came)} the job within {timeout:g} s of rank {rank}: ended before, or still busy; "
    os.write(2, f"{text}the job ends\n".encode())
    until_read(sys.stderr)
    for pid in came.values():
        if pid != os.getpid():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    signal.raise_signal(signal.SIGTERM)  # a launcher ends the whole job after a signal, not after a status
    os._exit(1)


def _missing(came: dict[int, int]) -> str:
    """Which ranks did not join, as the beginning of a sentence; those on other machines are not seen."""
    size, local = int(_first(SIZES) or 0), int(_first(LOCAL_SIZES) or 0)
    absent = sorted(set(range(size)) - set(came))
    if not came or not absent or local not in (size, 0):
        return "not all ranks joined"
    more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
    return f"{'rank' if len(absent) == 1 else 'ranks'} {', '.join(map(str, absent[:8]))}{more} did not join"


def _came() -> dict[int, int]:
    """The ranks of this job on this machine that came to `joining`, and the processes that wait for them.

    Those processes are known by their name, and have the same launcher as this one. Where the launcher is not
    known the answer is empty: a process may be of another job of the same user.
    """
    parents, waiting = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            name, _, rest = text.partition("(")[2].rpartition(")")
            parents[int(folder.name)] = int(rest.split()[1])
            if name.startswith(NAME):
                waiting[int(folder.name)] = int(name.removeprefix(NAME))
    launcher = _launcher(os.getpid(), parents)
    return {rank: pid for pid, rank in waiting.items() if launcher and _launcher(pid, parents) == launcher}


def _launcher(pid: int, parents: dict[int, int]) -> int | None:
    """The nearest process above one that has no rank: a shell between the two has one.

    A process whose variables cannot be read is another user's, so it is the launcher (Slurm's is root's).
    Process 1 is none: it is above a rank whose launcher has ended, and above all jobs of this machine.
    """
    for above in _ancestors(pid, parents):
        try:
            variables = Path(f"/proc/{above}/environ").read_bytes().split(b"\0")
        except OSError:
            variables = []
        if not any(line.partition(b"=")[0].decode(errors="replace") in RANKS for line in variables):
            return above if above > 1 else None
    return None


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid := parents.get(pid, 0):
        yield pid


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
