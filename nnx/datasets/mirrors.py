"""Download a file from the first mirror that sends it completely, in limited time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from nnx.errors import DataError
from nnx.libraries import needed

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes received so far, and the bytes announced (None if unknown)."""

TIMEOUT = 5.0
DEADLINE = 240.0
_CHUNK = 8192
_POLL = 0.1
NO_ANSWER = "did not answer within {:g} s"


class DatasetUnavailableError(DataError):
    """A data set is not on this machine, and no mirror sent it."""


class _MirrorError(Exception):
    """A mirror did not send the file; the text says what it did instead."""


class _Sink:
    """The memory that a download writes to; it refuses data past `limit`, and after the caller has left."""

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
            raise _MirrorError(f"sent more than {self.limit:,} bytes, but the file is smaller")
        self.data += chunk
        self.last_news = time.monotonic()

    def flush(self) -> None:
        """Do nothing, because nothing is buffered; the downloader calls this after every chunk."""

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
    """Download `file` from the first mirror that sends it complete and correct.

    Parameters
    ----------
    file : str
        Name of the file, relative to each mirror's address.
    mirrors : sequence of str
        Base addresses, http or https, tried in order.
    check : callable
        Raises :class:`~nnx.errors.DataError` for bytes that are not the file.
    limit : int
        Largest size of the file in bytes; a mirror that sends more is abandoned.
    timeout : float, default 5
        Seconds that a mirror has to answer, and then to send each further 8 KiB.
    deadline : float, default 240
        Seconds in all; each mirror gets an equal share of what is left.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    tuple of (bytes, str)
        The content of the file, and the mirror that sent it, as in `mirrors`. If no mirror sent the file, a
        DatasetUnavailableError says what each mirror did.
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
    """Download one address in a separate thread.

    The socket's timeout does not limit a name look-up, or bytes that arrive one by one. With a thread, the
    caller can stop waiting at any time. The thread is a daemon and only holds memory; it ends at its next
    byte or at its socket's timeout.
    """
    with needed("datasets", "a download"):
        import pooch
        import requests  # noqa: F401 - pooch would import it in the mirror's time

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
                raise _MirrorError(NO_ANSWER.format(timeout))
            worker.join(min(_POLL, end - now))
            if progress is not None:
                progress(file, len(sink.data), sink.announced)
    finally:
        sink.abandoned = True
    if errors:
        raise _MirrorError(_describe(errors[0], timeout)) from errors[0]
    if progress is not None:  # a small file may arrive before the first check
        progress(file, len(sink.data), sink.announced)
    return bytes(sink.data)


def _download(fetch: Callable[..., object], url: str, sink: _Sink, errors: list[Exception]) -> None:
    try:
        fetch(url, sink, None)
    except Exception as error:  # the thread that waits raises it
        errors.append(error)
    finally:
        sink.close()


def _describe(error: Exception, timeout: float) -> str:
    """Describe in a few words why a download failed."""
    import requests

    if isinstance(error, _MirrorError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return NO_ANSWER.format(timeout)
    if "IncompleteRead" in str(error):
        return "stopped early: sent less than it announced"
    # The innermost error in the chain comes from the system, such as "Connection refused".
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return "failed: " + " ".join(str(reason).split())


def _public(mirror: str) -> str:
    """Return a mirror's address without user name and password."""
    parts = urlsplit(mirror)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
