"""Find and check the four MNIST files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnx.errors import ConfigurationError, DataError
from nnx.libraries import needed
from nnx.readers.idx import IdxContent, read_content


@dataclass(frozen=True)
class MnistFile:
    """One of the four files: its name, the SHA-256 of its uncompressed bytes, and its shape."""

    name: str
    sha256: str
    shape: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Return what the file holds: "images" or "labels"."""
        return "images" if len(self.shape) == 3 else "labels"


# The checksums are of the uncompressed bytes, so a file that was unpacked or compressed again still passes.
FILES = (
    MnistFile(
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        (60_000, 28, 28),
    ),
    MnistFile(
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        (60_000,),
    ),
    MnistFile(
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        (10_000, 28, 28),
    ),
    MnistFile(
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        (10_000,),
    ),
)


@dataclass(frozen=True)
class FileStatus:
    """One row of ``nnx data verify``: a file's name, where it is, and what is wrong with it.

    Attributes
    ----------
    file : str
    path : Path or None
        None if the file does not exist.
    state : {"ok", "missing", "unreadable", "damaged", "differs"}
        Unreadable: the system refuses to open it. Damaged: it is cut short or not a valid file. Differs: it
        is valid, but does not hold the data of MNIST.
    problem : str
        One line; empty if the file is correct.
    """

    file: str
    path: Path | None
    state: str
    problem: str

    @property
    def ok(self) -> bool:
        """Return whether the file is correct."""
        return self.state == "ok"


def verify_mnist(directory: str | Path | None = None) -> list[FileStatus]:
    """Check each MNIST file on disk: structure, shape, label range and SHA-256.

    Parameters
    ----------
    directory : str or Path, optional
        Where to look. By default ``NNX_DATA_DIR`` if it has any of the files, else the cache.

    Returns
    -------
    list of FileStatus
        One for each file, in the order of :data:`FILES`; a wrong file raises no error.

    Raises
    ------
    ConfigurationError
        If ``NNX_DATA_DIR`` does not name a folder.
    """
    places = user_places(directory)
    if directory is None:
        places.append(cache_directory())
    found = next((files for place in places if (files := locate(place))), {})
    looked = " or ".join(str(place) for place in places)
    return [_status(file, found.get(file.name), looked) for file in FILES]


def find_mnist() -> dict[str, Path] | None:
    """Return the paths of the four files in ``NNX_DATA_DIR`` or the cache, unverified; None if incomplete."""
    every = map(locate, [*user_places(None), cache_directory()])
    return next((found for found in every if len(found) == len(FILES)), None)


def cache_directory() -> Path:
    """Return the folder for downloaded MNIST files; ``NNX_CACHE_DIR`` changes it."""
    chosen = os.environ.get("NNX_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser() / "mnist"
    with needed("datasets", "the cache of MNIST"):
        import pooch
    return Path(pooch.os_cache("nnx")) / "mnist"


def user_places(directory: str | Path | None) -> list[Path]:
    """Return the directories that the user named: only `directory` if given, else ``NNX_DATA_DIR``.

    If ``NNX_DATA_DIR`` is not a folder, that is an error: the user expects the data to be there.
    """
    if directory is not None:
        return [Path(directory).expanduser()]
    named = os.environ.get("NNX_DATA_DIR")
    if not named:
        return []
    place = Path(named).expanduser()
    if not place.is_dir():
        what = "which is not a folder" if place.exists() else "which does not exist"
        raise ConfigurationError(
            f"NNX_DATA_DIR is {named}, {what}: name the folder that holds the MNIST files, or unset it"
        )
    return [place]


def locate(place: Path) -> dict[str, Path]:
    """Find the files in `place` or in `place`/mnist, whichever has more of them."""
    options = [
        {file.name: path for file in FILES if (path := _find(folder, file)) is not None}
        for folder in (place, place / "mnist")
    ]
    return max(options, key=len)


def _find(folder: Path, file: MnistFile) -> Path | None:
    # Some archives unpack to train-images.idx3-ubyte.
    dotted = file.name.replace("-idx", ".idx")
    for name in (f"{file.name}.gz", file.name, f"{dotted}.gz", dotted):
        path = folder / name
        try:
            if path.is_file():
                return path
        except OSError:  # nnx may not search this directory
            return None
    return None


def read_mnist_file(file: MnistFile, path: Path) -> IdxContent:
    """Read `path`; raise DataError unless it is exactly `file`."""
    content = read_content(path)
    check_content(file, content, str(path))
    return content


def check_content(file: MnistFile, content: IdxContent, name: str) -> None:
    """Raise DataError unless `content` is exactly that MNIST file; the text names the likely mistake."""
    array = content.array
    if array.shape != file.shape:
        swapped = [other.name for other in FILES if other.shape == array.shape]
        hint = f"; it looks like {swapped[0]}: are files swapped?" if swapped else ""
        raise DataError(f"{name}: has shape {array.shape}, expected {file.shape} for {file.kind}{hint}")
    if array.dtype != np.uint8:
        raise DataError(f"{name}: holds {array.dtype} values, expected uint8 for {file.kind}")
    if file.kind == "labels" and int(array.max()) > 9:
        raise DataError(f"{name}: holds the label {int(array.max())}, expected 0 to 9")
    digest = hashlib.sha256(content.header)
    digest.update(array.data)
    if digest.hexdigest() != file.sha256:
        raise DataError(
            f"{name}: is not MNIST's {file.name}: SHA-256 of its uncompressed bytes is "
            f"{digest.hexdigest()}, expected {file.sha256}"
        )


def _status(file: MnistFile, path: Path | None, looked: str) -> FileStatus:
    if path is None:
        return FileStatus(file.name, None, "missing", f"not found in {looked}")
    try:
        content = read_content(path)
    except DataError as error:
        state = "unreadable" if isinstance(error.__cause__, PermissionError) else "damaged"
        return FileStatus(file.name, path, state, str(error))
    try:
        check_content(file, content, str(path))
    except DataError as error:
        return FileStatus(file.name, path, "differs", str(error))
    return FileStatus(file.name, path, "ok", "")
