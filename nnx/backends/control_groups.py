"""Read the limits of Linux's control groups for this process: memory and processor time.

A container, a Slurm job or a systemd unit is such a group. Groups are nested, and each may have a limit, so
all groups from the process's own to the topmost visible one are read, in both versions of control groups.
If there are none, or they cannot be read, there is no limit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")
UNLIMITED = 2**62  # version 1 writes about 2**63 for "no limit"
FILES = ("inactive_file", "active_file")  # cached pages of files, which the kernel can free


def memory_left(swap: int = 0, root: Path = ROOT) -> int | None:
    """Return the bytes that this process's groups still allow; None if no group has a limit.

    Parameters
    ----------
    swap : int
        Bytes of swap space that are free on the machine.
    root : path
        The root of the file system; tests use another one.
    """
    found: list[int] = []
    for folder in folders("memory", root):
        with suppress(OSError, ValueError):
            found += _left_in(folder, swap)
    return max(min(found), 0) if found else None


def _left_in(folder: Path, swap: int) -> list[int]:
    """Return the bytes left under each limit of a group: memory, and in version 1 memory plus swap."""
    most_swap = _number(folder / "memory.swap.max")
    if most_swap is not None:
        swap = max(min(swap, most_swap - (_number(folder / "memory.swap.current") or 0)), 0)
    return [
        limit - (_number(folder / used) or 0) + _files_in_memory(folder) + extra
        for name, used, extra in (
            ("memory.max", "memory.current", swap),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", swap),
            ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", 0),
        )
        if (limit := _number(folder / name)) is not None
    ]


def _files_in_memory(folder: Path) -> int:
    with suppress(OSError, ValueError):
        text = (folder / "memory.stat").read_text(encoding="ascii")
        counts = {name: int(value) for name, value in map(str.split, text.splitlines())}
        # in version 1, "total_" values include the groups below
        return sum(counts.get(f"total_{name}", counts.get(name, 0)) for name in FILES)
    return 0


def processors(root: Path = ROOT) -> float | None:
    """Return the processors that this process's groups allow, such as 1.5; None if no group has a limit."""
    found = []
    for folder in folders("cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
                    for name in ("quota", "period")
                )
            if quota != "max" and int(quota) > 0:
                found.append(int(quota) / int(period))
    return min(found, default=None)


def folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders of this process's groups for a controller, from the innermost group outward."""
    with suppress(OSError, ValueError):
        mounts = _mounts(controller, root)
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, names, group = line.split(":", 2)
            kind = controller if controller in names.split(",") else "" if names else "cgroup2"
            if kind not in mounts:
                continue
            top, mounted = mounts[kind]
            inner = PurePosixPath()
            if ".." not in PurePosixPath(group).parts and PurePosixPath(group).is_relative_to(top):
                inner = PurePosixPath(group).relative_to(top)  # else it lies outside the mounted part
            place = root / mounted.relative_to("/")
            yield from (place / part for part in (inner, *inner.parents))


@functools.cache
def _mounts(controller: str, root: Path) -> dict[str, tuple[PurePosixPath, PurePosixPath]]:
    """Return the mounts of ``cgroup2`` and the controller: for each, the group at its top and its folder."""
    found = {}
    for line in (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        top, place = (PurePosixPath(_unescaped(text)) for text in before.split()[3:5])
        kind, *_, options = after.split(" ")
        if kind == "cgroup2":
            found["cgroup2"] = top, place
        elif kind == "cgroup" and controller in options.split(","):
            found[controller] = top, place  # the last mount hides earlier ones
    return found


def _unescaped(text: str) -> str:
    """Return a path with the kernel's octal numbers for spaces and similar characters replaced."""
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _number(path: Path) -> int | None:
    """Read a number of bytes; return None if the file is missing or says that there is no limit."""
    with suppress(FileNotFoundError):
        text = path.read_text(encoding="ascii").strip()
        if text != "max" and int(text) < UNLIMITED:
            return int(text)
    return None
