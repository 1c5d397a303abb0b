"""Model files: safetensors with a JSON description in the header. No pickle is ever read."""

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
TRAINING = "training/"  # before the names of arrays that are not the network's
MAX_HEADER = 2**24  # bytes: what a file may say of itself, beside its arrays
PIECE = 2**20  # bytes that are checked and written at a time
MARGIN = 2**23  # bytes that reading takes besides the arrays, at most
TYPES = {  # the types of arrays that a file holds, by NumPy's names, and how safetensors calls them
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
MAX_METADATA = MAX_HEADER - 2**20  # of it, as it is written there


class DamagedError(FileFormatError):
    """A file that was read in full and is not whole: not what its checksum was taken of."""


def write(
    path: str | os.PathLike[str],
    weights: dict[str, HostArray],
    config: dict[str, Any],
    metadata: dict[str, Any],
    training: tuple[dict[str, HostArray], dict[str, Any]] | None = None,
) -> None:
    """Write a model file, whole or not at all; with the state of its training it is a checkpoint.

    Raises
    ------
    ConfigurationError
        As for `described`, and if an array is of a type that a file does not hold.
    OutputError
        If it cannot be written.
    OutOfMemoryError
        If there are not even a few megabytes left.
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
    with host_memory.room(3 * PIECE, f"writing {path}", "free some memory first"), replacing(path) as file:
        _write_arrays(file, weights, header)


def _write_arrays(file: BinaryIO, weights: dict[str, HostArray], header: dict[str, str]) -> None:
    """Write a safetensors file, with a checksum in its header, a piece of an array at a time.

    The library's own writer copies all arrays three times, and gives its keys another order at every call.
    The format: the header's length in 8 bytes, the header as JSON, then the arrays.
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
        for piece in _pieces(value):  # checked and written from one copy: another thread may train
            crc = zlib.crc32(piece, crc)
            file.write(piece)
    described["__metadata__"]["crc32"] = f"{crc:08x}"
    text = _header(described)
    file.seek(0)
    file.write(len(text).to_bytes(8, "little") + text)


def _header(described: dict[str, Any]) -> bytes:
    """The header's JSON, padded so that the arrays after it are aligned."""
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)


def check_type(what: str, value: HostArray) -> None:
    """Refuse an array of a type that a file does not hold: text, objects, times, complex numbers.

    Raises
    ------
    ConfigurationError
        If it is one.
    """
    if value.dtype.name not in TYPES:
        raise ConfigurationError(
            f"{what} is an array of type {str(value.dtype)!r:.60}, and a file holds arrays of real numbers "
            "and bool only: text can be given as a list, a complex number as two real ones"
        )


def _pieces(value: HostArray) -> Iterator[bytes]:
    """An array's bytes in order, a megabyte or so at a time."""
    flat = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(-1)
    step = max(PIECE // flat.itemsize, 1)
    for start in range(0, flat.size, step):
        yield flat[start : start + step].tobytes()


def read(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """The arrays and the network's configuration of a model file, or of a checkpoint.

    Raises
    ------
    FileFormatError
        If it cannot be read, is damaged, or is of another kind or version.
    OutOfMemoryError
        If memory is too short for its arrays; the text says how much they take. The file is left as it is.
    """
    weights, header = _open(path)
    config = _json(path, header, "network")
    for key in ("layers", "inputs", "dtype", "seed", "fuse", "code"):
        if key not in config:
            raise FileFormatError(f"{path}: the description of the network lacks {key!r}")
    return {name: value for name, value in weights.items() if not name.startswith(TRAINING)}, config


def read_training(
    path: str | os.PathLike[str],
) -> tuple[dict[str, HostArray], dict[str, HostArray], dict[str, Any]]:
    """A checkpoint: its network, the arrays of its training, and the rest of it; errors as for `read`."""
    arrays, header = _open(path)
    training = {name.removeprefix(TRAINING): v for name, v in arrays.items() if name.startswith(TRAINING)}
    weights = {name: value for name, value in arrays.items() if not name.startswith(TRAINING)}
    return weights, training, _json(path, header, "training")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What was given to `Network.save` as metadata; errors as for `read`."""
    return _json(path, _open(path)[1], "metadata")


def fitted(path: str | os.PathLike[str], build: Callable[[], Any], weights: dict[str, HostArray]) -> Any:
    """Build a network and put the weights in; whatever does not fit is the file's fault and says so."""
    try:
        network = build()
        network.set_weights(weights)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except MemoryError as error:  # the claims of the file were checked: it is whole
        raise OutOfMemoryError(f"{path} cannot be loaded: {error or 'memory is short'}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path} does not describe a network that holds its arrays: {error}") from error
    return network


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        if not path.is_file():
            raise FileFormatError(f"no model file {path}: give a .safetensors file or a run's folder")
        nbytes = path.stat().st_size
        _check_header(path)
        # the library ends the process where memory is refused, so it is asked for before
        with (
            host_memory.room(nbytes + MARGIN, f"reading {path}", "free some memory first", mapped=nbytes),
            safe_open(path, framework="numpy") as file,
        ):
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise FileFormatError(f"{path} is a safetensors file, but not one of an nnx network")
            if header.get("format_version") != str(VERSION):
                found = str(header.get("format_version"))[:20]
                raise FileFormatError(
                    f"{path} has format version {found}, this nnx reads {VERSION}: use the nnx that wrote it"
                )
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileFormatError:
        raise
    except OSError as error:
        raise _unread(path, error) from error
    except (SafetensorError, TypeError, AttributeError, ValueError) as error:
        # TypeError, AttributeError: a type that NumPy does not have
        reason = " ".join(str(error).split())
        raise _damaged(path, f"{path} is not a readable safetensors file: {reason}") from error
    if header.get("crc32") != checksum(weights, header):
        raise _damaged(path, f"{path} is damaged: its checksum does not match what it holds")
    return weights, header


def _unread(path: Path, error: OSError) -> FileFormatError:
    return FileFormatError(f"cannot read {path} ({error.strerror or error}): it may be whole, try again")


def _damaged(path: Path, text: str) -> FileFormatError:
    """The error of a file that is not whole, if all of it can be read: else that is its fault."""
    try:
        with path.open("rb") as file:
            while file.read(PIECE):
                pass
    except OSError as error:
        return _unread(path, error)
    return DamagedError(text)


def _check_header(path: Path) -> None:
    """Refuse a header so long that reading it would take more memory than any network's."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise _damaged(path, f"{path} is not a readable safetensors file: a header of {length:,} bytes")


def checksum(weights: dict[str, HostArray], header: dict[str, str]) -> str:
    """CRC-32 over the descriptions and every array; safetensors itself carries no checksum."""
    crc = _checksum_of_descriptions(header)
    for name in sorted(weights):
        crc = zlib.crc32(_identity(name, weights[name]), crc)
        for piece in _pieces(weights[name]):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


def _checksum_of_descriptions(header: dict[str, str]) -> int:
    return zlib.crc32("".join(header.get(key, "") for key in ("network", "metadata", "training")).encode())


def _identity(name: str, value: HostArray) -> bytes:
    """What the checksum covers of an array besides its numbers."""
    return f"{name} {value.shape} {value.dtype.name}".encode()  # whatever its byte order


def described(metadata: dict[str, Any]) -> str:
    """Metadata as a model file holds it.

    Raises
    ------
    ConfigurationError
        If JSON cannot hold it, or it is so long that the file would be refused when it is read.
    """
    text = json.dumps(plain("metadata", metadata))
    size = len(json.dumps(text))
    if size > MAX_METADATA:
        raise ConfigurationError(
            f"metadata takes {size:,} bytes, more than the {MAX_METADATA:,} that a model file holds"
        )
    return text


def _json(path: str | os.PathLike[str], header: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(header[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: no readable {key} in the header") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path}: the {key} in the header is not an object")
    return value
