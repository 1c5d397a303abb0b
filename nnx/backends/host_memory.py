"""The host's memory: how much is left, and one line where that is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.backends import control_groups
from nnx.errors import OutOfMemoryError

ROOT = Path("/")


def free(root: Path = ROOT, mapped: int = 0) -> int | None:
    """Bytes that this process can still have; None where the system does not say.

    The smallest of what is left on the machine (swap included), in the process's control groups, and under
    its own limits (``ulimit -v`` and ``-d``).

    Parameters
    ----------
    root : path
        Where the file system begins: tests have their own.
    mapped : int
        Bytes of files that will be mapped as well: they count under ``ulimit -v`` only.
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
    """What the limits of the process itself leave, where it has any."""
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
    """A context for code that needs so much memory; Linux would grant it, and kill the process later.

    Raises
    ------
    OutOfMemoryError
        If they are more than is left, or refused within the block; the text says what takes how much.
    """
    left = free(mapped=mapped)
    if left is not None and nbytes > left:
        raise OutOfMemoryError(f"{what} takes {size(nbytes)} of memory, and {size(left)} are left: {remedy}")
    try:
        yield
    except OutOfMemoryError:
        raise
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
