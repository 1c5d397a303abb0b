"""The host's memory: how much is left, and one line where that is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.errors import OutOfMemoryError

MEMINFO = Path("/proc/meminfo")
# of a container, in the two versions of Linux's control groups; where there is none, a word or a huge number
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def free() -> int | None:
    """Bytes that a process can still have, swap included; None where the system does not say."""
    found = []
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines())
        found.append(sum(int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "SwapFree")))
    for path in LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(path.read_text(encoding="ascii")))
    return min(found, default=None)


@contextmanager
def room(nbytes: int, what: str, remedy: str) -> Iterator[None]:
    """For code that is about to ask for so many bytes; Linux would grant them, and kill the process later.

    Raises
    ------
    OutOfMemoryError
        If they are more than is left, or refused within the block; the text says what takes how much.
    """
    left = free()
    if left is not None and nbytes > left:
        raise OutOfMemoryError(f"{what} takes {size(nbytes)} of memory, and {size(left)} are left: {remedy}")
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{what} takes {size(nbytes)} of memory, which is refused: {remedy}"
        ) from error


def size(nbytes: float) -> str:
    """Bytes in a unit that suits them."""
    for unit in ("bytes", "KiB", "MiB"):
        if nbytes < 1024.0:
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024.0
    return f"{nbytes:.1f} GiB"
