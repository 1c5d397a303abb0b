"""Add checksums to Numba's cache of compiled code: damaged or old code would give wrong numbers or crash.

Numba only compares the date of the file with the kernel. Here, kernels call kernels in other files.
Therefore, if any ``_numba`` file changes, all kernels are compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile

KERNELS = Path(__file__).parent
SIZE = hashlib.sha256().digest_size


class CheckedCache:
    """A cache of compiled code; with a damaged file or a full disk, code is compiled again."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        stamp = (cache._impl.locator.get_source_stamp(), fingerprint(KERNELS))
        cache._cache_file = _CheckedFiles(cache.cache_path, cache._impl.filename_base, stamp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """Return the code for a signature, or None; it is then compiled."""
        try:
            return self._cache.load_overload(*arguments)
        except Exception:  # a damaged file can raise any error
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Save the code, if possible."""
        with contextlib.suppress(Exception):
            self._cache.save_overload(*arguments)


@functools.cache
def fingerprint(folder: Path) -> str:
    """Return a checksum of the source code of all compiled kernels."""
    code = hashlib.sha256()
    for path in sorted(folder.glob("*_numba.py")):
        code.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return code.hexdigest()


class _CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files, each with a checksum at its end, which Numba ignores when it reads the file.

    Numba numbers the files of code. Two processes that save at once can then give one number to the code of
    two signatures, and one of them loads code for other types of arrays: wrong numbers, or a crash. Here the
    name of a file follows from its key, and the file also holds the key.
    """

    def save(self, key: Any, data: Any) -> None:
        """Save the code for a key: first the file, then the index that names it."""
        number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")
        name = self._data_name(number)
        self._save_data(name, (self._source_stamp, key, data))
        self._save_index(self._load_index() | {key: name})

    def load(self, key: Any) -> Any:
        """Return the code for a key; None if there is none, or the file has that of another key."""
        found = super().load(key)
        return found[2] if found is not None and found[:2] == (self._source_stamp, key) else None

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        with super()._open_for_write(filepath) as file:
            content = io.BytesIO()
            yield content
            file.write(content.getvalue() + hashlib.sha256(content.getvalue()).digest())

    def _load_index(self) -> Any:
        return super()._load_index() if _whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        return super()._load_data(name) if _whole(self._data_path(name)) else None


def _whole(path: str) -> bool:
    """Return whether a file exists and ends with the checksum of its other bytes."""
    with contextlib.suppress(OSError):
        content = Path(path).read_bytes()
        return hashlib.sha256(content[:-SIZE]).digest() == content[-SIZE:]
    return False
