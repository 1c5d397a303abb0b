"""Read and write model files: safetensors with a JSON description in the header. No pickle is ever read."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nnx.backends import host_memory
from nnx.errors import ConfigurationError, FileFormatError, OutOfMemoryError, plain
from nnx.files import replacing

HostArray = np.ndarray[Any, Any]
FORMAT = "nnx-network"
VERSION = 1
TRAINING = "training/"  # in front of the names of arrays that belong to training
ESTIMATOR = "tabular"  # the entry of the metadata in which an estimator for tables describes itself
MAX_HEADER = 2**24  # bytes: the largest header
PIECE = 2**20  # bytes that are checked and written at once
MARGIN = 2**23  # bytes that reading needs at most, in addition to the arrays
TYPES = {  # the array types that a file can hold: NumPy's names and safetensors' names
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
MAX_METADATA = MAX_HEADER - 2**20  # bytes of the header that metadata may take, as JSON


class DamagedError(FileFormatError):
    """A file was read in full, but its content is damaged: its checksum does not match."""


def write(
    path: str | os.PathLike[str],
    weights: dict[str, HostArray],
    config: dict[str, Any],
    metadata: dict[str, Any],
    training: tuple[dict[str, HostArray], dict[str, Any]] | None = None,
) -> None:
    """Write a model file, whole or not at all. With `training`, the state of a training, it is a checkpoint.

    Raises
    ------
    ConfigurationError
        As for `described`, and if an array has a type that a file cannot hold.
    OutputError
        If it cannot be written.
    OutOfMemoryError
        If there are less than a few megabytes of memory left.
    """
    header = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "network": json.dumps(plain("the network's config()", config)),
        "metadata": described(metadata),
    }
    if training is not None:
        header["training"] = json.dumps(training[1])
        weights = weights | {TRAINING + name: value for name, value in training[0].items()}
    for name, value in weights.items():
        check_type(name.removeprefix(TRAINING), value)
    with host_memory.reserve(3 * PIECE, f"writing {path}", "free some memory first"), replacing(path) as file:
        _write_arrays(file, weights, header)


def _write_arrays(file: BinaryIO, weights: dict[str, HostArray], header: dict[str, str]) -> None:
    """Write a safetensors file with a checksum in its header, one piece of an array at a time.

    The library's own writer copies all arrays three times, and orders the keys differently at every call. The
    format is: the length of the header in 8 bytes, the header as JSON, then the arrays.
    """
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    described: dict[str, Any] = {"__metadata__": header | {"crc32": "0" * 8}}
    position = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):  # so that all are aligned
        value = arrays[name]
        offsets = [position, position + value.nbytes]
        described[name] = {"dtype": TYPES[value.dtype.name], "shape": value.shape, "data_offsets": offsets}
        position += value.nbytes
    start = 8 + len(_header(described))
    crc = _checksum_of_descriptions(header)
    for name in sorted(arrays):
        value = arrays[name]
        crc = zlib.crc32(_identity(name, value), crc)
        file.seek(start + described[name]["data_offsets"][0])
        for piece in _pieces(value):  # checked and written from one copy, as another thread may train
            crc = zlib.crc32(piece, crc)
            file.write(piece)
    described["__metadata__"]["crc32"] = f"{crc:08x}"
    text = _header(described)
    file.seek(0)
    file.write(len(text).to_bytes(8, "little") + text)


def _header(described: dict[str, Any]) -> bytes:
    """Return the header as JSON, padded so that the arrays after it are aligned."""
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)


def check_type(what: str, value: HostArray) -> None:
    """Refuse an array of a type that a file cannot hold: text, objects, times, complex numbers.

    Raises
    ------
    ConfigurationError
        If it is of such a type.
    """
    if value.dtype.name not in TYPES:
        raise ConfigurationError(
            f"{what} is an array of type {str(value.dtype)!r:.60}, but a file can only hold arrays of real "
            "numbers and bool: store text as a list, a complex number as two real numbers"
        )


def _pieces(value: HostArray) -> Iterator[bytes]:
    """Yield an array's bytes in order, about a megabyte at a time."""
    flat = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(-1)
    step = max(PIECE // flat.itemsize, 1)
    for start in range(0, flat.size, step):
        yield flat[start : start + step].tobytes()


def read(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """Return the arrays and the network's configuration from a model file or a checkpoint.

    Raises
    ------
    FileFormatError
        If it cannot be read, is damaged, or has another kind or version.
    OutOfMemoryError
        If there is too little memory for its arrays; the text says how much they need.
    """
    weights, header = _open(path)
    config = _json(path, header, "network")
    for key in ("layers", "inputs", "dtype", "seed", "fuse", "code"):
        if key not in config:
            raise FileFormatError(f"{path}: the description of the network has no {key!r}")
    return {name: value for name, value in weights.items() if not name.startswith(TRAINING)}, config


def read_training(
    path: str | os.PathLike[str],
) -> tuple[dict[str, HostArray], dict[str, HostArray], dict[str, Any]]:
    """Return a checkpoint's weights, arrays of training and other state of training; errors as in `read`."""
    arrays, header = _open(path)
    training = {name.removeprefix(TRAINING): v for name, v in arrays.items() if name.startswith(TRAINING)}
    weights = {name: value for name, value in arrays.items() if not name.startswith(TRAINING)}
    return weights, training, _json(path, header, "training")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata that `Network.save` stored; errors as in `read`."""
    return _json(path, _open(path)[1], "metadata")


def fitted(path: str | os.PathLike[str], build: Callable[[], Any], weights: dict[str, HostArray]) -> Any:
    """Build a network and set its weights. If they do not fit, the error names the file."""
    try:
        network = build()
        network.set_weights(weights)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except MemoryError as error:  # the file itself is intact: its checksum was compared
        raise OutOfMemoryError(f"cannot load {path}: {error or 'too little memory'}") from error
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path}: its arrays do not fit the network it describes: {error}") from error
    return network


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, str]]:
    """Return the arrays and the header of a file; every fault of the file becomes a `FileFormatError`."""
    from safetensors import SafetensorError

    path = Path(path)
    try:
        weights, header = _arrays_and_header(path)
    except FileFormatError:
        raise
    except OSError as error:
        raise _unread(path, error) from error
    except (SafetensorError, TypeError, AttributeError, ValueError) as error:
        # TypeError, AttributeError: an array type that NumPy does not have
        reason = " ".join(str(error).split())
        raise _damaged(path, f"{path} is not a readable safetensors file: {reason}") from error
    if header.get("crc32") != checksum(weights, header):
        raise _damaged(path, f"{path} is damaged: its checksum does not match its content")
    return weights, header


def _arrays_and_header(path: Path) -> tuple[dict[str, HostArray], dict[str, str]]:
    from safetensors import safe_open

    if not path.is_file():
        raise FileFormatError(
            f"there is no model file {path}: name a .safetensors file or the folder of a run"
        )
    nbytes = path.stat().st_size
    _check_header(path)
    # without memory the library would end the process, so reserve it first
    with (
        host_memory.reserve(nbytes + MARGIN, f"reading {path}", "free some memory first", mapped=nbytes),
        safe_open(path, framework="numpy") as file,
    ):
        header = file.metadata() or {}
        if header.get("format") != FORMAT:
            raise FileFormatError(f"{path} is a safetensors file, but does not hold an nnx network")
        if header.get("format_version") != str(VERSION):
            found = str(header.get("format_version"))[:20]
            raise FileFormatError(
                f"{path} has format version {found}, this nnx reads {VERSION}: use the nnx that wrote it"
            )
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118


def _unread(path: Path, error: OSError) -> FileFormatError:
    return FileFormatError(f"cannot read {path} ({error.strerror or error}): it may be intact, try again")


def _damaged(path: Path, text: str) -> FileFormatError:
    """Return a `DamagedError` if the whole file can be read; else the error of reading it."""
    try:
        with path.open("rb") as file:
            while file.read(PIECE):
                pass
    except OSError as error:
        return _unread(path, error)
    return DamagedError(text)


def _check_header(path: Path) -> None:
    """Refuse a header that is longer than any network needs, before it takes memory."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise _damaged(
            path,
            f"{path} is not a readable safetensors file: name a model that nnx saved, or the folder of a run",
        )


def checksum(weights: dict[str, HostArray], header: dict[str, str]) -> str:
    """Return the CRC-32 of the descriptions and every array; safetensors itself has no checksum."""
    crc = _checksum_of_descriptions(header)
    for name in sorted(weights):
        crc = zlib.crc32(_identity(name, weights[name]), crc)
        for piece in _pieces(weights[name]):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


def _checksum_of_descriptions(header: dict[str, str]) -> int:
    return zlib.crc32("".join(header.get(key, "") for key in ("network", "metadata", "training")).encode())


def _identity(name: str, value: HostArray) -> bytes:
    """Return what the checksum covers of an array in addition to its numbers."""
    return f"{name} {value.shape} {value.dtype.name}".encode()  # the same for both byte orders


def described(metadata: dict[str, Any]) -> str:
    """Return metadata as a model file stores it.

    Raises
    ------
    ConfigurationError
        If JSON cannot store it, or if it is so long that `read` would refuse the file.
    """
    text = json.dumps(plain("metadata", metadata))
    size = len(json.dumps(text))
    if size > MAX_METADATA:
        raise ConfigurationError(
            f"metadata takes {size:,} bytes, but a model file can hold {MAX_METADATA:,}: store less"
        )
    return text


def _json(path: str | os.PathLike[str], header: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(header[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a valid nnx file: its header has no valid {key!r}") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} is not a valid nnx file: {key!r} in its header is not a JSON object")
    return value
