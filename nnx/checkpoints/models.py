"""Model files: safetensors with a JSON description in the header. No pickle is ever read."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.files import replacing

HostArray = np.ndarray[Any, Any]
FORMAT = "nnx-network"
VERSION = 1
TRAINING = "training/"  # before the names of arrays that are not the network's
MAX_HEADER = 2**24  # bytes: what a file may say of itself, beside its arrays
MAX_METADATA = MAX_HEADER - 2**20  # of it, as it is written there


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
        As for `described`.
    OutputError
        If it cannot be written.
    """
    from safetensors.numpy import save

    header = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "network": json.dumps(config),
        "metadata": described(metadata),
    }
    if training is not None:
        header["training"] = json.dumps(training[1])
        weights = weights | {TRAINING + name: value for name, value in training[0].items()}
    arrays = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    header["crc32"] = checksum(arrays, header)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(_in_order(save(arrays, header)))


def _in_order(file: bytes) -> tuple[bytes, bytes, memoryview]:
    """The same file with its header's keys in order: safetensors writes them in another at every call."""
    stop = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:stop]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = header.encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little"), text, memoryview(file)[stop:]


def read(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """The arrays and the network's configuration of a model file, or of a checkpoint.

    Raises
    ------
    FileFormatError
        If it cannot be read, is damaged, or is of another kind or version.
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
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, MemoryError) as error:
        raise FileFormatError(f"{path} does not describe a network that holds its arrays: {error}") from error
    return network


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"no model file {path}: give a .safetensors file or a run's folder")
    try:
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
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
    except (SafetensorError, OSError, TypeError, AttributeError, ValueError) as error:
        # TypeError, AttributeError: a type that NumPy does not have
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path} is not a readable safetensors file: {reason}") from error
    if header.get("crc32") != checksum(weights, header):
        raise FileFormatError(f"{path} is damaged: its checksum does not match what it holds")
    return weights, header


def _check_header(path: Path) -> None:
    """Refuse a header so long that reading it would take more memory than any network's."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise FileFormatError(f"{path} is not a readable safetensors file: a header of {length:,} bytes")


def checksum(weights: dict[str, HostArray], header: dict[str, str]) -> str:
    """CRC-32 over the descriptions and every array; safetensors itself carries no checksum."""
    crc = zlib.crc32("".join(header.get(key, "") for key in ("network", "metadata", "training")).encode())
    for name in sorted(weights):
        value = np.ascontiguousarray(weights[name])
        crc = zlib.crc32(f"{name} {value.shape} {value.dtype}".encode(), crc)
        crc = zlib.crc32(value.tobytes(), crc)
    return f"{crc:08x}"


def described(metadata: dict[str, Any]) -> str:
    """Metadata as a model file holds it.

    Raises
    ------
    ConfigurationError
        If JSON cannot hold it, or it is so long that the file would be refused when it is read.
    """
    try:
        text = json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"metadata must be what JSON can hold: {error}") from error
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
