"""Find out how much of the host's memory is left, and raise an error of one line if that is too little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.backends import control_groups
from nnx.errors import OutOfMemoryError

ROOT = Path("/")
CHECKED = 2**20  # bytes: to look for less, in a dozen files of the system, would take longer than the work


def free(root: Path = ROOT, mapped: int = 0) -> int | None:
    """Return the bytes that this process can still allocate; None if the system does not say.

    This is the smallest of what is left on the machine (including swap), in the process's control groups,
    and under the process's own limits (``ulimit -v`` and ``-d``).

    Parameters
    ----------
    root : path
        The root of the file system; tests use another one.
    mapped : int
        Bytes of files that will also be mapped; only ``ulimit -v`` counts them.
    """
    found, swap = [], 0
    with suppress(OSError, ValueError, KeyError):
        text = (root / "proc/meminfo").read_text(encoding="ascii")
        lines = dict(line.split(":", 1) for line in text.splitlines())
        available, swap = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "SwapFree"))
        found.append(available + swap)
    in_groups = control_groups.memory_left(swap, root)
    if in_groups is not None:
        found.append(in_groups)
    found += _left_of_own_limits(root, mapped)
    return max(min(found), 0) if found else None


def _left_of_own_limits(root: Path, mapped: int) -> list[int]:
    """Return the bytes left under each limit of the process itself, if it has any."""
    left = []
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        if all(limit == resource.RLIM_INFINITY for limit in limits):
            return []
        pages = (root / "proc/self/statm").read_text(encoding="ascii").split()
        used = (int(pages[0]) * resource.getpagesize() + mapped, int(pages[5]) * resource.getpagesize())
        for limit, taken in zip(limits, used, strict=True):
            if limit != resource.RLIM_INFINITY:
                left.append(limit - taken)
    return left


@contextmanager
def reserve(nbytes: int, what: str, remedy: str, mapped: int = 0) -> Iterator[None]:
    """Return a context for code that needs `nbytes`; without it, Linux could kill the process later.

    Raises
    ------
    OutOfMemoryError
        If a mebibyte or more is needed and less memory is left, or an allocation in the block fails; the text
        says what needs how much.
    """
    left = free(mapped=mapped) if nbytes >= CHECKED else None
    if left is not None and nbytes > left:
        raise OutOfMemoryError(f"{what} needs {size(nbytes)} of memory, {size(left)} are left: {remedy}")
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{what} needs {size(nbytes)} of memory, but the system refuses it: {remedy}"
        ) from error


def size(nbytes: float) -> str:
    """Return a number of bytes as text, in a suitable unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if nbytes < 1024.0:
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024.0
    return f"{nbytes:.1f} GiB"
