"""Fetching one file from the first of several mirrors that serves it whole, in bounded time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from nnx.errors import DataError
from nnx.libraries import needed

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes received so far and the bytes announced (None where unknown)."""

TIMEOUT = 5.0
DEADLINE = 240.0
_CHUNK = 8192
_POLL = 0.1


class DatasetUnavailableError(DataError):
    """A data set is neither on this machine nor to be had from a mirror."""


class _MirrorError(Exception):
    """What one mirror did instead of serving the file."""


class _Sink:
    """The memory a download writes to; it refuses to grow past `limit` or once nobody waits for it."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self.limit = limit
        self.announced: int | None = None
        self.last_news = time.monotonic()
        self.abandoned = False
        self.responses: list[Any] = []

    def note_response(self, response: Any, *_: Any, **__: Any) -> None:
        self.responses.append(response)
        self.last_news = time.monotonic()
        length = response.headers.get("content-length", "")
        self.announced = int(length) if length.isdecimal() else None

    def write(self, chunk: bytes) -> None:
        if self.abandoned:
            raise _MirrorError("given up")
        if len(self.data) + len(chunk) > self.limit:
            raise _MirrorError(f"sent more than {self.limit:,} bytes, which the file cannot have")
        self.data += chunk
        self.last_news = time.monotonic()

    def flush(self) -> None:
        """Nothing is buffered; the downloader asks for it after every chunk."""

    def close(self) -> None:
        for response in self.responses:
            response.close()


def fetch_first(
    file: str,
    mirrors: Sequence[str],
    check: Callable[[bytes], None],
    *,
    limit: int,
    timeout: float = TIMEOUT,
    deadline: float = DEADLINE,
    progress: Progress | None = None,
) -> tuple[bytes, str]:
    """Fetch `file` from the first mirror that sends it whole and right.

    Parameters
    ----------
    file : str
        Name below each mirror's address.
    mirrors : sequence of str
        Base addresses, http or https, tried in order.
    check : callable
        Raises :class:`~nnx.errors.DataError` for bytes that are not the file.
    limit : int
        Most bytes the file can have; a mirror that sends more is given up.
    timeout : float, default 5
        Seconds within which a mirror must answer, and then send each further 8 KiB.
    deadline : float, default 240
        Seconds in all; each mirror gets an equal share of what is left.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    tuple of (bytes, str)
        The file and the mirror that served it, as given.

    Raises
    ------
    DatasetUnavailableError
        If no mirror did; the text says what each did.
    """
    end = time.monotonic() + deadline
    failures = []
    for index, mirror in enumerate(mirrors):
        share = (end - time.monotonic()) / (len(mirrors) - index)
        try:
            data = _fetch(f"{mirror.rstrip('/')}/{file}", file, limit, timeout, share, progress)
            check(data)
        except (_MirrorError, DataError) as failure:
            failures.append(f"{_public(mirror)} {failure}")
        else:
            return data, mirror
    raise DatasetUnavailableError(f"no mirror served {file}: " + "; ".join(failures))


def _fetch(
    url: str, file: str, limit: int, timeout: float, deadline: float, progress: Progress | None
) -> bytes:
    """Download one address on a thread of its own.

    A thread, because neither a name look-up nor a trickle of single bytes is bounded by the socket's
    timeout: the caller waits as long as it wants to and leaves. The thread is a daemon, holds memory
    only and ends at its next byte or its socket's timeout.
    """
    with needed("datasets", "a download"):
        import pooch
        import requests  # noqa: F401 - pooch imports it at its first request: the mirror's seconds must not pay

    sink = _Sink(limit)
    fetch = pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=timeout, hooks={"response": sink.note_response})
    errors: list[Exception] = []
    worker = threading.Thread(target=_download, args=(fetch, url, sink, errors), daemon=True)
    end = time.monotonic() + deadline
    worker.start()
    try:
        while worker.is_alive():
            now = time.monotonic()
            if now >= end:
                raise _MirrorError(f"was not done after {deadline:.3g} s")
            if now >= sink.last_news + timeout:
                raise _MirrorError(_no_answer(timeout))
            worker.join(min(_POLL, end - now))
            if progress is not None:
                progress(file, len(sink.data), sink.announced)
    finally:
        sink.abandoned = True
    if errors:
        raise _MirrorError(_describe(errors[0], timeout)) from errors[0]
    if progress is not None:  # a small file is there before anybody looked
        progress(file, len(sink.data), sink.announced)
    return bytes(sink.data)


def _download(fetch: Callable[..., object], url: str, sink: _Sink, errors: list[Exception]) -> None:
    try:
        fetch(url, sink, None)
    except Exception as error:  # a thread has no caller: whatever went wrong is handed to the one who waits
        errors.append(error)
    finally:
        sink.close()


def _no_answer(timeout: float) -> str:
    return f"did not answer within {timeout:g} s"


def _describe(error: Exception, timeout: float) -> str:
    """Say in a few words what a failed download met."""
    import requests

    if isinstance(error, _MirrorError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return _no_answer(timeout)
    if "IncompleteRead" in str(error):
        return "broke off: sent less than it announced"
    # The innermost error of the chain is the system's own: "Connection refused", "Name or service not known".
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return "failed: " + " ".join(str(reason).split())


def _public(mirror: str) -> str:
    """Return a mirror's address without the user name and password it may carry."""
    parts = urlsplit(mirror)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
