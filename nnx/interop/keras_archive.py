"""Check a ``.keras`` file before Keras builds anything from it."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

from nnx.errors import FileFormatError
from nnx.interop.keras_chain import MODELS, chain
from nnx.interop.keras_layers import KNOWN, NO_SUCH_LAYER

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG = 2**24  # bytes: the longest description of a model
HOLD_ARRAYS = ("Dense", "BatchNormalization", "LayerNormalization", "Normalization", "PReLU")
HDF5, HDF5_START = (".h5", ".hdf5"), b"\x89HDF\r\n"
OLD_FORMAT = (
    "has Keras's old format, HDF5: convert it by keras.saving.load_model('model.h5').save('model.keras'); "
    "a file that holds only weights cannot be converted, as it has no layers"
)
MAX_RATIO = 20  # size of the unpacked archive, divided by the size of the archive


def check_name(path: str | os.PathLike[str], error: type[Exception]) -> None:
    """Refuse a name that does not end in ``.keras``."""
    suffix = Path(path).suffix
    if suffix in HDF5 and error is FileFormatError:
        raise FileFormatError(f"{path} {OLD_FORMAT}")
    if suffix != ".keras":
        raise error(f"{path}: the name must end in .keras")


def check_archive(path: Path) -> None:
    """Refuse an archive that cannot be a chain of known layers, before Keras allocates memory for it."""
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
    claimed = 0
    width = _stated_width(config)
    for place, entry in chain(config):
        known = entry["class_name"] in KNOWN and entry["module"] == "keras.layers"
        if not known or entry.get("registered_name"):
            raise FileFormatError(f"{path}: layer {'/'.join(place)} ({entry['class_name']}): {NO_SUCH_LAYER}")
        units = entry["config"].get("units", 1)
        claimed += units * width if entry["class_name"] in HOLD_ARRAYS else 0
        width = units if entry["class_name"] == "Dense" else width
    if claimed > sizes[WEIGHTS] + sizes[CONFIG]:  # a number has four bytes, but HDF5 may compress them to one
        raise FileFormatError(
            f"{path}: its layers need {claimed:,} numbers, but it holds {sizes[WEIGHTS]:,} bytes"
        )


def _stated_width(config: dict[str, Any]) -> int:
    """Return the width of the model's input if the description states it, otherwise 1."""
    for entry in config["layers"]:
        shape = entry["config"].get("batch_shape")
        if shape:
            return math.prod(int(length) for length in shape[1:])
    return math.prod(int(length) for length in (config.get("build_input_shape") or [1, 1])[1:])
