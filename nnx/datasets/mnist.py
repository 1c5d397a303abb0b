"""Load MNIST from disk or from a mirror, and check it against the published checksums."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnx.datasets.base import Dataset
from nnx.datasets.mirrors import DEADLINE, TIMEOUT, DatasetUnavailableError, Progress, fetch_first
from nnx.datasets.mnist_files import (
    FILES,
    MnistFile,
    cache_directory,
    check_content,
    locate,
    read_mnist_file,
    user_places,
)
from nnx.errors import DataError, OutputError
from nnx.files import clear, make_folder, replacing
from nnx.readers.idx import IdxContent, parse_idx
from nnx.readers.types import Array, choose_dtype

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_REMEDY = "put the four *-ubyte.gz files into a directory and name it in NNX_DATA_DIR"
_HEADER_ALLOWANCE = 64 * 1024


def load_mnist(
    directory: str | Path | None = None,
    download: bool = True,
    dtype: npt.DTypeLike = "float32",
    progress: Progress | None = None,
) -> Dataset:
    """Load MNIST.

    The files are searched in ``$NNX_DATA_DIR`` and ``$NNX_DATA_DIR/mnist``, then in the cache
    (``$NNX_CACHE_DIR/mnist``, by default the user's cache directory). If they are missing, they are
    downloaded to the cache from the mirrors (``NNX_MNIST_MIRRORS``, comma-separated addresses, replaces the
    two built-in ones). ``NNX_OFFLINE=1`` forbids downloads. Files may be gzipped or plain; the SHA-256 of
    their uncompressed bytes must always be the published one.

    Parameters
    ----------
    directory : str or Path, optional
        Search only in this directory and its subdirectory ``mnist``; missing files are downloaded into it.
    download : bool, default True
        Whether missing files may be downloaded.
    dtype : {"float32", "float64", "uint8"}
        Type of the pixels; "uint8" returns them as stored, 0..255.
    progress : callable, optional
        Called while a file is downloaded: ``progress(file, bytes_received, bytes_announced_or_None)``.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test images; ``x`` has shape (n, 784) and values in [0, 1] (pixel / 255),
        ``y`` is int64 in 0..9.

    Raises
    ------
    DataError
        If a file is damaged, has the wrong name or is not MNIST.
    DatasetUnavailableError
        If MNIST is not available; a DataError that says where nnx searched and what each mirror did.
    ConfigurationError
        If `dtype` is another type.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86(11), 1998.
    """
    chosen = choose_dtype(dtype, ("float32", "float64", "uint8"))
    try:
        contents, source = _read_stored(directory)
    except DatasetUnavailableError as nothing:
        if not download:
            raise DatasetUnavailableError(f"{nothing}: run `nnx data fetch`, or {_REMEDY}") from None
        try:
            paths = fetch_mnist(directory, progress=progress)
        except DatasetUnavailableError as failure:
            raise DatasetUnavailableError(f"{nothing}, and {failure}") from failure
        contents = {file.name: read_mnist_file(file, path) for file, path in zip(FILES, paths, strict=True)}
        source = str(paths[0].parent)
    x_train, y_train, x_test, y_test = (contents[file.name].array for file in FILES)
    data = Dataset(
        "mnist",
        _pixels(x_train, chosen),
        y_train.astype(np.int64),
        _pixels(x_test, chosen),
        y_test.astype(np.int64),
        image_shape=(28, 28),
        source=source,
        checksums={file.name: file.sha256 for file in FILES},
    )
    return data if chosen == np.uint8 else data.keeping(_pixels(x_train, np.dtype(np.uint8)))


def fetch_mnist(
    directory: str | Path | None = None,
    *,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    deadline: float = DEADLINE,
) -> list[Path]:
    """Make sure that the four MNIST files are on this machine; download missing ones.

    Parameters
    ----------
    directory : str or Path, optional
        Directory for the files. By default ``NNX_DATA_DIR`` if it has all of them, else the cache.
    progress : callable, optional
        As for :func:`load_mnist`.
    timeout : float, default 5
        Seconds that a mirror has to answer.
    deadline : float, default 240
        Seconds that a file may take in all.

    Returns
    -------
    list of Path
        The four files, verified: training images and labels, test images and labels.

    Raises
    ------
    DatasetUnavailableError
        If a download is needed but ``NNX_OFFLINE`` forbids it, or no mirror sends a file (the text says what
        each mirror did), or the directory cannot be written to.
    DataError
        If a file in `directory` or ``NNX_DATA_DIR`` is damaged or not MNIST. Such a file is not changed; a
        damaged file in the cache is downloaded again.
    """
    for place in user_places(directory):
        stored = locate(place)
        if len(stored) == len(FILES):
            for file in FILES:
                read_mnist_file(file, stored[file.name])
            return [stored[file.name] for file in FILES]
    target = cache_directory() if directory is None else Path(directory)
    mirrors = _mirrors()
    paths = []
    for file in FILES:
        path = _stored_and_right(file, target, keep_damaged=directory is not None)
        if path is None:
            data, served_by = _fetch_file(file, mirrors, progress, timeout, deadline)
            # Try the mirror that sent this file first next time: a dead mirror then costs time only once.
            mirrors.remove(served_by)
            mirrors.insert(0, served_by)
            path = target / f"{file.name}.gz"
            _write(path, data)
        paths.append(path)
    return paths


def _read_stored(directory: str | Path | None) -> tuple[dict[str, IdxContent], str]:
    """Read the first complete set on disk; a damaged file is an error, except in the cache."""
    reasons = []
    places = [(place, True) for place in user_places(directory)]
    if directory is None:
        places.append((cache_directory(), False))
    for place, is_users in places:
        found = locate(place)
        if len(found) < len(FILES):
            reasons.append(_absence(place, found))
            continue
        try:
            contents = {file.name: read_mnist_file(file, found[file.name]) for file in FILES}
            return contents, str(found[FILES[0].name].parent)
        except DataError as damage:
            if is_users:
                raise
            reasons.append(str(damage))
    raise DatasetUnavailableError("MNIST was not found (" + "; ".join(reasons) + ")")


def _absence(place: Path, found: Mapping[str, Path]) -> str:
    if not found:
        return f"none of the files in {place}" if place.is_dir() else f"{place} is not a folder"
    return f"{place} lacks " + ", ".join(file.name for file in FILES if file.name not in found)


def _pixels(images: Array, dtype: np.dtype[np.generic]) -> Array:
    rows = images.reshape(len(images), -1)
    return rows if dtype == np.uint8 else np.divide(rows, 255, dtype=dtype)


def _mirrors() -> list[str]:
    chosen = os.environ.get("NNX_MNIST_MIRRORS")
    if chosen is None:
        return list(MIRRORS)
    return [mirror.strip() for mirror in chosen.split(",") if mirror.strip()]


def _offline() -> bool:
    return os.environ.get("NNX_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def _stored_and_right(file: MnistFile, target: Path, keep_damaged: bool) -> Path | None:
    """Return the file's path in `target` if it exists and is correct; None if it must be downloaded."""
    path = locate(target).get(file.name)
    if path is None:
        return None
    try:
        read_mnist_file(file, path)
    except DataError:
        # In a directory that the user named, it may be another data set with the same file names.
        if keep_damaged:
            raise
        return None
    return path


def _fetch_file(
    file: MnistFile, mirrors: list[str], progress: Progress | None, timeout: float, deadline: float
) -> tuple[bytes, str]:
    if _offline():
        raise DatasetUnavailableError(f"NNX_OFFLINE is set, so nothing is downloaded: unset it, or {_REMEDY}")
    if not mirrors:
        raise DatasetUnavailableError(f"NNX_MNIST_MIRRORS names no mirror: unset it, or {_REMEDY}")

    limit = int(np.prod(file.shape)) + _HEADER_ALLOWANCE  # gzip never makes a file noticeably larger

    def check(data: bytes) -> None:
        if data[:64].lstrip().startswith(b"<"):
            raise DataError("sent a web page instead of the file")
        check_content(file, parse_idx(io.BytesIO(data), "sent a wrong file", limit), "sent a wrong file")

    try:
        return fetch_first(
            f"{file.name}.gz", mirrors, check,
            limit=limit, timeout=timeout, deadline=deadline, progress=progress,
        )  # fmt: skip
    except DatasetUnavailableError as failure:
        raise DatasetUnavailableError(f"{failure}; {_REMEDY}") from failure


def _write(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    try:
        make_folder(path.parent)
        clear(path.parent)
        with replacing(path) as file:
            file.write(data)
    except OutputError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise DatasetUnavailableError(
            f"{path.parent} cannot be written to ({reason}): name another folder in NNX_CACHE_DIR"
        ) from error
