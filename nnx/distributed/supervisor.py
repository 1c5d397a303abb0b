"""Watch each rank from a parent process, so that a rank that is killed or never joins is named.

A launcher that sees a killed rank ends the others at once, before any of them can report it. So the process
that the launcher started only waits, and its child is the rank. If the kernel kills the rank (for example
because memory is full), the parent reports which rank it was and then ends. The launcher sees that, and ends
the job.

The parent also watches the start. MPI joins all ranks in one call, which returns only when every rank has
called it, and during which Python cannot handle signals. So the parent ends the rank after the timeout and
reports which rank is missing.
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

from nnx.distributed.agreement import ranks

# The variables in which launchers store a rank: Open MPI, MPICH and Intel MPI (Hydra), PMIx, Slurm.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
TURN = 1.0  # seconds between the reports of two ranks, for up to 8 of them
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
NAME = "nnx rank "  # name of a parent process in `ps` and /proc; the rank's number follows
READ = 2.0  # seconds that a launcher has to read a rank's last output


def launched_rank() -> str | None:
    """Return the rank that a launcher gave this process, or None without a launcher."""
    return _first(RANKS)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if name in os.environ), None)


@contextmanager
def joining(timeout: float) -> Iterator[None]:
    """Limit the time to join the job to `timeout` seconds, and let signals end the process at once.

    On entry, the process is split in two: the child is the rank, and the parent waits for it and never
    returns. There is no split without a launcher, or if a fork is unsafe (threads, a GPU). A rank that is not
    split ends with a traceback after the timeout, which cannot name the missing rank.
    """
    joined = _supervise(timeout)
    usual = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                usual[number] = signal.signal(number, signal.SIG_DFL)
    alone = joined is None and launched_rank() is not None
    with suppress(RuntimeError, ValueError, AttributeError, OSError):  # standard error may not be a file
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
    """Let signals end the process at once, even while it waits inside MPI at its exit."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, signal.SIG_DFL)


def _supervise(timeout: float) -> int | None:
    """Split in two, see `joining`. Return a pipe to close after joining, or None without a parent."""
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
    os.setpgid(0, 0)  # Ctrl-C at a terminal then reaches the rank once, through the parent
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the line above took effect
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
    text = f"nnx: rank {rank} was ended by {signal.Signals(number).name}{reason}, which ends the job; "
    os.write(2, f"{text}files saved before are intact\n".encode())
    until_read(sys.stderr)
    os._exit(128 + number)


def _give_up(rank: str, child: int, timeout: float) -> NoReturn:
    """End a rank that waits for others that did not join, and end the job."""
    for name in FORWARDED:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    present = _joined_ranks()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(TURN * min(int(rank), 8))  # one report is enough: the first rank to report ends the others
    text = f"nnx: {_missing(present)} the job within {timeout:g} s after rank {rank}: ended early or busy; "
    os.write(2, f"{text}this ends the job\n".encode())
    until_read(sys.stderr)
    for pid in present.values():
        if pid != os.getpid():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    signal.raise_signal(signal.SIGTERM)  # launchers end the whole job after a signal, not after a status
    os._exit(1)


def _missing(present: dict[int, int]) -> str:
    """Return which ranks did not join, as the start of a sentence; ranks on other machines are not seen."""
    size, local = int(_first(SIZES) or 0), int(_first(LOCAL_SIZES) or 0)
    absent = sorted(set(range(size)) - set(present))
    if not present or not absent or local not in (size, 0):
        return "not all ranks joined"
    return f"{ranks(absent)} did not join"


def _joined_ranks() -> dict[int, int]:
    """Return the ranks of this job on this machine that entered `joining`, with their parent processes.

    The parent processes are found by their name, and have the same launcher as this one. If the launcher is
    unknown, the result is empty, because a process may belong to another job of the same user.
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
    """Return the launcher of a process: its nearest ancestor without a rank in its environment.

    A shell between the two inherits the rank's variables. A process whose variables cannot be read belongs to
    another user, so it is the launcher (Slurm runs as root). Process 1 is never the launcher: it is above a
    rank whose launcher has ended, and above all other jobs.
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
    """Wait until the launcher has read the output: when it ends the job, it may stop reading."""
    try:
        import fcntl
        import termios

        if not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            return
        end, unread = time.monotonic() + READ, array("i", [1])
        while unread[0] and time.monotonic() < end:
            fcntl.ioctl(stream.fileno(), termios.FIONREAD, unread)
            time.sleep(0.001)
    except (ImportError, OSError):  # Windows, or the stream is not a file: do not wait
        return
