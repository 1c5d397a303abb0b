"""Check a ``.keras`` file before Keras builds anything from it."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

from nnx.errors import FileFormatError
from nnx.interop import keras_sizes
from nnx.interop.keras_chain import LAYERS, MODELS, OPERATIONS, Link, chain
from nnx.interop.keras_layers import KNOWN, NO_SUCH_LAYER

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG = 2**24  # bytes: the longest description of a model
HDF5, HDF5_START = (".h5", ".hdf5"), b"\x89HDF\r\n"
OLD_FORMAT = (
    "has Keras's old format, HDF5: convert it by keras.saving.load_model('model.h5').save('model.keras'); "
    "a file that holds only weights cannot be converted, as it has no layers"
)
LARGEST_ROW = 2**31  # numbers in a row after any layer
MAX_RATIO = 20  # size of the unpacked archive, divided by the size of the archive


def check_name(path: str | os.PathLike[str], error: type[Exception]) -> None:
    """Refuse a name that does not end in ``.keras``."""
    suffix = Path(path).suffix
    if suffix in HDF5 and error is FileFormatError:
        raise FileFormatError(f"{path} {OLD_FORMAT}")
    if suffix != ".keras":
        raise error(f"{path}: the name must end in .keras")


def check_archive(path: Path) -> None:
    """Refuse an archive that cannot be a network of known layers, before Keras allocates memory for it."""
    if not path.is_file():
        raise FileFormatError(f"there is no model file {path}")
    with path.open("rb") as file:
        if file.read(len(HDF5_START)) == HDF5_START:
            raise FileFormatError(f"{path} {OLD_FORMAT}")
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sum(sizes.values()) > MAX_RATIO * path.stat().st_size + MAX_CONFIG or sizes[CONFIG] > MAX_CONFIG:
            raise FileFormatError(f"{path} unpacks to {sum(sizes.values()):,} bytes: too many for a network")
        described = json.loads(archive.read(CONFIG))
    kind = described["class_name"]
    if kind not in MODELS:
        raise FileFormatError(
            f"{path} holds a model of class {kind}: nnx can read only Sequential and functional ones"
        )
    config = described["config"]
    claimed, _ = _claimed(path, chain(config), _stated_shape(config))
    if claimed > sizes[WEIGHTS] + sizes[CONFIG]:  # a number has four bytes, but HDF5 may compress them to one
        raise FileFormatError(
            f"{path}: its layers need {claimed:,} numbers, but it holds {sizes[WEIGHTS]:,} bytes"
        )


def _claimed(path: Path, links: list[Link], shape: list[int]) -> tuple[int, list[int]]:
    """Return how many numbers layers hold at least, and the shape of a row after them."""
    claimed = 0
    for place, entry, branches in links:
        kind = entry["class_name"]
        known = kind in KNOWN and entry["module"] == LAYERS and not entry.get("registered_name")
        if not (known or (kind == "Add" and entry["module"] == OPERATIONS)):
            raise FileFormatError(f"{path}: layer {'/'.join(place)} ({kind}): {NO_SUCH_LAYER}")
        ways = [_claimed(path, branch, shape) for branch in branches]
        claimed += sum(numbers for numbers, _ in ways)
        if not ways:
            held, shape = keras_sizes.claimed(kind, entry["config"], shape)
            claimed += held
        else:
            _, shape = ways[0]
            last = sum(way[-1] for _, way in ways) if kind == "Concatenate" else shape[-1]
            shape = [*shape[:-1], last]
        if math.prod(shape) > LARGEST_ROW:
            raise FileFormatError(f"{path}: layer {'/'.join(place)} ({kind}) gives rows of shape {shape}")
    return claimed, shape


def _stated_shape(config: dict[str, Any]) -> list[int]:
    """Return the shape of the model's rows if the description states it, otherwise [1]."""
    for entry in config["layers"]:
        shape = entry["config"].get("batch_shape")
        if shape:
            return [int(length) for length in shape[1:]]
    return [int(length) for length in (config.get("build_input_shape") or [1, 1])[1:]]
