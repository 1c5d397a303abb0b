"""Model files: safetensors with a JSON description in the header. No pickle is ever read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError

HostArray = np.ndarray[Any, Any]
FORMAT = "nnx-network"
VERSION = 1


def write(
    path: str | os.PathLike[str],
    weights: dict[str, HostArray],
    config: dict[str, Any],
    metadata: dict[str, Any],
) -> None:
    """Write a model file beside its place, flush it to the disk, then rename it there.

    Raises
    ------
    ConfigurationError
        If it cannot be written; nothing is left behind.
    """
    from safetensors.numpy import save

    path = Path(path)
    header = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "network": json.dumps(config),
        "metadata": json.dumps(metadata),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(save({name: np.ascontiguousarray(value) for name, value in weights.items()}, header))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, Any]]:
    """The arrays and the network's configuration of a model file.

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
    return weights, config


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
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # nnx's own among them
        raise FileFormatError(f"{path} does not describe a network that holds its arrays: {error}") from error
    return network


def _open(path: str | os.PathLike[str]) -> tuple[dict[str, HostArray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"no model file {path}: give a .safetensors file or a run's folder")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise FileFormatError(f"{path} is a safetensors file, but not one of an nnx network")
            if header.get("format_version") != str(VERSION):
                raise FileFormatError(
                    f"{path} has format version {header.get('format_version')}, this nnx reads {VERSION}: "
                    "use the nnx that wrote it"
                )
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is not a readable safetensors file: {error}") from error


def _json(path: str | os.PathLike[str], header: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(header[key])
    except (KeyError, ValueError) as error:
        raise FileFormatError(f"{path}: no readable {key} in the header") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path}: the {key} in the header is not an object")
    return value
