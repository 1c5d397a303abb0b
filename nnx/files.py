"""Write files whole or not at all, lock folders for one run, and undo what a failed run made."""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, TextIO

from nnx.errors import OutputError

_POSIX = os.name == "posix"
_SAFE_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_TEMPORARY = re.compile(r"\.nnx-[0-9a-f]{16}\.tmp")  # short, so that it fits wherever a long name fits
_LOCK, _MARK = ".lock", b"nnx\n"  # the lock file of a run, and its content: without it, the file is not nnx's


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; on leaving the block it replaces `path` and is flushed to disk.

    A reader never sees half a file. After a failure, an older file at `path` is unchanged. The new file gets
    the permissions of the older one. If `path` is a link, the link stays and the file it points to is
    replaced. The temporary file has a random name in the same folder, so threads and processes can save to
    the same path.

    Raises
    ------
    OutputError
        If the file cannot be written, `path` is not a regular file, or it is a link in a folder that other
        users can write to.
    """
    with _as_output_error(path):
        target, older = _target(Path(path))
        with _temporary(target.parent, older) as (file, temporary):
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not _POSIX:
                file.close()  # Windows cannot rename an open file
            temporary.replace(target)
            record(target, older)
            flush_folder(target.parent)


@contextmanager
def _as_output_error(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}): choose a folder you can write to"
        ) from error


def _target(path: Path) -> tuple[Path, os.stat_result | None]:
    """Return the file to replace (`path`, or the file it links to) and its status, None for no file."""
    name = path
    for _ in range(40):
        try:
            there = path.lstat()
        except FileNotFoundError:
            return path, None
        except ValueError as error:
            raise OutputError(f"cannot write {name!r} ({error}): choose another name") from error
        if not stat.S_ISLNK(there.st_mode):
            break
        if _others_write(path.parent):
            raise OutputError(
                f"{path} is a link in a folder that other users can write to, so nnx does not follow it: "
                "name the file itself, or remove the link"
            )
        path = path.parent / path.readlink()
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    _refuse_special(name, there)
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(f"cannot write {name} (it is write-protected): choose another name, or chmod u+w")
    return path, there


def _others_write(folder: Path) -> bool:
    """Return whether a user other than this one and root can put a link into a folder."""
    if not _POSIX:
        return False
    there = folder.stat()
    return there.st_uid not in (os.geteuid(), 0) or bool(there.st_mode & 0o022)


def _refuse_link(path: Path, what: str) -> None:
    """Refuse a link with a clear text; the system's is "too many levels of symbolic links"."""
    if path.is_symlink():
        raise OutputError(f"{path} is a link, but {what} must be a regular file: remove the link")


def _refuse_special(path: Path, there: os.stat_result) -> None:
    if not stat.S_ISREG(there.st_mode):
        kind = "a folder" if stat.S_ISDIR(there.st_mode) else "a device, a pipe or another special file"
        raise OutputError(f"cannot write {path} (it is {kind}, not a file): choose another name")


@contextmanager
def _temporary(folder: Path, like: os.stat_result | None = None) -> Iterator[tuple[BinaryIO, Path]]:
    """Create a file with a random name and the permissions of `like`; remove it at the end of the block."""
    descriptor, path = _created(folder, 0o666 if like is None else 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            if like is not None and _POSIX:
                with suppress(OSError):  # only root can keep another user as the owner
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                with suppress(OSError):  # some file systems have no permissions
                    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            yield file, path
    finally:
        with suppress(OSError):  # if the folder is gone, so is the file
            path.unlink(missing_ok=True)


def _created(folder: Path, mode: int) -> tuple[int, Path]:
    """Create a new file that only this call opens; it is locked while it is open, see `clear`."""
    while True:
        path = folder / f".nnx-{secrets.token_hex(8)}.tmp"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE_FLAGS, mode)
        if _try_lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # `clear` in another process took it for a leftover file and removed it


def _try_lock(descriptor: int) -> bool | None:
    """Lock an open file: True if it worked, False if another process has it, None if locks do not exist."""
    if not _POSIX:
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def clear(folder: Path) -> None:
    """Remove temporary files that killed processes left: files with nnx's names that nobody has locked."""
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | _SAFE_FLAGS)
                try:
                    if stat.S_ISREG(os.fstat(descriptor).st_mode) and _try_lock(descriptor):
                        path.unlink()
                finally:
                    os.close(descriptor)


def probe(folder: Path) -> None:
    """Check that files can be created in a folder.

    Raises
    ------
    OutputError
        If they cannot be created.
    """
    try:
        with _temporary(folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder} ({error.strerror or error}): choose another folder"
        ) from error


def opened_log(path: Path, *, empty: bool) -> TextIO:
    """Open a log to append lines in UTF-8; refuse links and special files. With `empty`, empty it first.

    Raises
    ------
    OutputError
        If it cannot be opened, or is not a regular file.
    """
    with _as_output_error(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _SAFE_FLAGS
        _refuse_link(path, "a log")
        try:
            descriptor = os.open(path, flags | os.O_EXCL, 0o666)
            record(path, grows=True)
        except FileExistsError:
            descriptor = os.open(path, flags, 0o666)
        try:
            _refuse_special(path, os.fstat(descriptor))
            if empty:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n")


def flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that new and removed names survive a power failure."""
    if not _POSIX:
        return  # Windows cannot open a folder, and does not need this
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -------------------------------------------------------------------- folders


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this run. The lock ends with the process, however the process ends.

    On a file system without locks, the folder is used without one. A file ``.lock`` that nnx did not write
    stays.

    Raises
    ------
    OutputError
        If another run, in this process or another one, has locked the folder.
    """
    descriptor = _lock(folder / _LOCK) if _POSIX else None
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                if os.pread(descriptor, 99, 0) == _MARK and _names_open_file(folder / _LOCK, descriptor):
                    (folder / _LOCK).unlink()
            os.close(descriptor)


def _lock(path: Path) -> int:
    try:
        while True:
            descriptor = _open_lock(path)
            if _try_lock(descriptor) is False:
                os.close(descriptor)
                raise OutputError(
                    f"another run is using {path.parent}: wait until it ends, or choose another folder"
                )
            if _names_open_file(path, descriptor):
                return descriptor
            os.close(descriptor)  # the previous owner has just removed the file
    except FileNotFoundError as error:
        raise OutputError(f"the folder {path.parent} was removed: is another run using it?") from error
    except PermissionError as error:
        raise OutputError(
            f"cannot write to {path.parent} ({error.strerror}): choose another folder"
        ) from error


def _open_lock(path: Path) -> int:
    _refuse_link(path, "a lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE_FLAGS, 0o644)
        os.write(descriptor, _MARK)
    except FileExistsError:
        try:
            descriptor = os.open(path, os.O_RDWR | _SAFE_FLAGS)
        except PermissionError:  # another user's
            descriptor = os.open(path, os.O_RDONLY | _SAFE_FLAGS)
        except IsADirectoryError:
            raise OutputError(f"{path} must be a lock file, but is a folder: choose another folder") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputError(f"{path} is a device, a pipe or a special file: remove it or choose another folder")
    return descriptor


def _names_open_file(path: Path, descriptor: int) -> bool:
    """Return whether a path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` with its parents if it does not exist, and return it.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    folder = Path(path)
    try:
        missing = itertools.takewhile(lambda place: not place.is_dir(), (folder, *folder.parents))
        for place in reversed(list(missing)):
            with suppress(FileExistsError):  # another process made it just now, or it is not a folder
                place.mkdir()
                record(place)
        if not folder.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"cannot create the folder {folder} ({reason}): choose one you can write to"
        ) from error
    return folder


def new_folder(path: Path) -> Path:
    """Create a folder that did not exist: `path`, or `path` with the first free number after it.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    make_folder(path.parent)
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(
                f"cannot create the folder {folder} ({error.strerror or error}): choose one you can write to"
            ) from error
        record(folder)
        return folder
    raise AssertionError


# ---------------------------------------------------- what a failed run removes


class Made:
    """Record the files and folders that nnx made in a block, by name and identity."""

    def __init__(self) -> None:
        self._found: dict[Path, tuple[int, ...]] = {}

    def note(self, path: Path, older: os.stat_result | None, grows: bool) -> None:
        """Record a path that is new, or that replaces one already recorded here.

        For a log, which `grows`, later writes do not change its identity.
        """
        path = path.absolute()
        if older is None or self._found.get(path) == _identity(older):
            self._found[path] = _identity(path.lstat())[: 2 if grows else 3]

    def __contains__(self, path: Path) -> bool:
        return path.absolute() in self._found

    def undo(self, within: Path = Path("/")) -> None:
        """Remove the recorded paths in a folder, newest first.

        A file that something else changed stays, and so does a folder that is not empty.
        """
        for path, identity in reversed(self._found.items()):
            with suppress(OSError):
                if (
                    path.is_relative_to(within.absolute())
                    and _identity(path.lstat())[: len(identity)] == identity
                ):
                    path.rmdir() if path.is_dir() else path.unlink()


def _identity(there: os.stat_result) -> tuple[int, ...]:
    """Return a file's device, inode and last change: a new file may reuse the inode of a removed one."""
    return there.st_dev, there.st_ino, 0 if stat.S_ISDIR(there.st_mode) else there.st_mtime_ns


_made: ContextVar[Made | None] = ContextVar("made", default=None)


@contextmanager
def recorded() -> Iterator[Made]:
    """Record what nnx makes in a block, so that it can be undone."""
    made = Made()
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def record(path: Path, older: os.stat_result | None = None, grows: bool = False) -> None:
    """Record a file or folder that was just made, see `Made.note`."""
    made = _made.get()
    if made is not None:
        made.note(path, older, grows)
