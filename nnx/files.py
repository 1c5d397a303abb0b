"""Files that appear whole or not at all, and folders that one run has to itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`: write there; on leaving, it and its name are flushed to the disk.

    A reader never meets half a file, and a failure leaves an older one as it was.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {target} ({error.strerror or error}): choose a folder that can be written"
        ) from error
    finally:
        with suppress(OSError):  # where the folder itself is missing there is nothing to remove
            temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """See that a name that was given or taken away stays so if the machine fails."""
    if os.name != "posix":
        return  # a folder cannot be opened there, nor need it be
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def leftovers(folder: Path) -> list[Path]:
    """What a process that was killed in `replacing` has left behind."""
    return sorted(folder.glob(".*.tmp"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a folder to oneself. The lock ends with the process, however that ends: its file alone is none.

    A file system that has no locks is used without one.

    Raises
    ------
    OutputError
        If another process, or this one, has it already.
    """
    number = _lock(folder / ".lock") if os.name == "posix" else None
    try:
        yield
    finally:
        if number is not None:
            with suppress(OSError):
                (folder / ".lock").unlink(missing_ok=True)
            os.close(number)


def _lock(path: Path) -> int:
    import fcntl

    try:
        while True:
            number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(number)
                raise OutputError(
                    f"another run is at work in {path.parent}: wait for its end, or choose another folder"
                ) from None
            except OSError:
                return number
            if path.exists() and os.path.samestat(os.fstat(number), path.stat()):
                return number
            os.close(number)  # who had it has removed it in the meantime
    except FileNotFoundError as error:
        raise OutputError(f"the folder {path.parent} has gone: is another run at work in it?") from error
    except PermissionError as error:
        raise OutputError(
            f"cannot write into {path.parent} ({error.strerror}): choose another folder"
        ) from error


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder `path`, made with its parents where it is missing.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror or error}): choose one that can be written"
        ) from error
    return folder
