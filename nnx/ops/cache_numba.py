"""Numba's cache of compiled code, with checksums: damaged or old code would give wrong numbers, or crash.

Numba compares the date of the file that a kernel is in. Kernels here call kernels of other files, so the
code of all ``_numba`` files counts as well: where one of them changes, all kernels are compiled again.
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
    """A cache of compiled code; a damaged file or a full disk makes it none, and nothing worse."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        stamp = (cache._impl.locator.get_source_stamp(), fingerprint(KERNELS))
        cache._cache_file = _CheckedFiles(cache.cache_path, cache._impl.filename_base, stamp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """The code for a signature, or None: it is then compiled."""
        try:
            return self._cache.load_overload(*arguments)
        except Exception:  # whatever a file that is no longer Numba's can bring about
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep the code where that can be done."""
        with contextlib.suppress(Exception):
            self._cache.save_overload(*arguments)


@functools.cache
def fingerprint(folder: Path) -> str:
    """A checksum of the code of all compiled kernels."""
    code = hashlib.sha256()
    for path in sorted(folder.glob("*_numba.py")):
        code.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return code.hexdigest()


class _CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files, each with a checksum at its end, where Numba's reader does not look."""

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
    """Whether a file is there and ends in the checksum of what comes before."""
    with contextlib.suppress(OSError):
        content = Path(path).read_bytes()
        return hashlib.sha256(content[:-SIZE]).digest() == content[-SIZE:]
    return False
