"""Networks to Keras 3 and back, in memory and as ``.keras`` files.

Values, options, float type and which layers are frozen are kept. What only training uses is left behind:
regularizers, constraints, initializers, a compiled loss and optimizer.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnx.backends import Backend
from nnx.errors import ConfigurationError, DeviceError, FileFormatError, MissingLibraryError
from nnx.files import replacing
from nnx.interop.keras_chain import MODELS, Link, chain
from nnx.interop.keras_layers import GELU_TANH, KNOWN, NO_SUCH_LAYER, NOTHING, RESHAPES, WRITERS, read
from nnx.interop.parts import Part, assemble, same_for_all_features, tell
from nnx.network import Network

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG = 2**24  # bytes: what a file may say of itself, beside its arrays
HOLD_ARRAYS = ("Dense", "BatchNormalization", "LayerNormalization", "Normalization", "PReLU")
HDF5, HDF5_START = (".h5", ".hdf5"), b"\x89HDF\r\n"
OLD_FORMAT = (
    "is in Keras's old format, HDF5: convert it by keras.saving.load_model('model.h5').save('model.keras'); "
    "a file of weights alone has no layers to read"
)
MAX_RATIO = 20  # of the sizes of what an archive holds and of the archive


def to_keras(network: Network) -> Any:
    """A ``keras.Sequential`` with the layers and values of a network.

    Parameters
    ----------
    network : Network
        A slice will do.

    Returns
    -------
    keras.Sequential
        Not compiled. `code` is not carried: Keras has no place for it.

    Raises
    ------
    ConfigurationError
        If a layer is one that Keras does not have, or the network is not built.
    MissingLibraryError
        If Keras is not installed.
    """
    with _library() as keras:
        return _to_keras(keras, network)


def _to_keras(keras: Any, network: Network) -> Any:
    weights = network.weights()
    layers: list[Any] = []
    for position, layer in enumerate(network.layers):
        if type(layer) not in WRITERS:
            raise ConfigurationError(
                f"layer {position}, {layer!r}: Keras has no such layer; these go over: {_names(WRITERS)}"
            )
        common = {"name": layer.name, "dtype": network.dtype.name}
        layers.append(WRITERS[type(layer)](keras, layer, common))
    source = keras.Input((network.inputs,), dtype=network.dtype.name)
    model = keras.Sequential([source, *layers])
    for ours, theirs in zip(network.layers, layers, strict=True):
        prefix = f"{ours.name}."
        theirs.set_weights([value for name, value in weights.items() if name.startswith(prefix)])
        theirs.trainable = ours.trainable
    return model


def from_keras(model: Any, device: str | Backend | None = None) -> Network:
    """A network with the layers and values of a Keras model.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        A chain of layers over rows; models within it are taken apart. ``Dense(activation=…)`` becomes two
        layers.
    device : str, optional
        As for `Network`.

    Returns
    -------
    Network
        Of the model's float type.

    Raises
    ------
    ConfigurationError
        If the model is not a chain, or nnx lacks a layer or one of its options; the text names it.
    MissingLibraryError
        If Keras is not installed.
    """
    with _library() as keras:
        return _from_keras(keras, model, device)


def _from_keras(keras: Any, model: Any, device: str | Backend | None) -> Network:
    _check_models(keras, model, model.name)
    shape = given = _row_shape(model)
    parts: list[Part] = []
    notes: list[str] = []
    dtypes: dict[str, str] = {}
    read_before: set[str] = set()
    for link in chain(model.get_config()):
        layer, place = _find(model, link), "/".join(link.place)
        kind = link.entry["class_name"]
        if layer.weights and place in read_before:
            raise ConfigurationError(f"layer {place} is called twice: a layer of nnx has its own weights")
        read_before.add(place)
        if kind in NOTHING and type(layer) is getattr(keras.layers, kind):
            notes.append(f"layer {place} ({kind}) changes data in training only, and is left out")
        elif kind in RESHAPES and type(layer) is getattr(keras.layers, kind):
            shape = _reshaped(layer, place, shape)
        else:
            dtypes[layer.dtype_policy.name] = place
            new = _read(keras, layer, place)
            _check_rows(new, shape, place, model)
            shape = new[0].values["W"].shape[1:] if "W" in new[0].values else shape
            parts += new
    if len(shape) != 1:
        raise ConfigurationError(f"{model.name} gives rows of shape {shape}: nnx's networks give rows of numbers")
    if len(given) > 1:
        notes.append(f"its input of shape {given} a row is flattened: give x.reshape(len(x), -1)")
    network = assemble(parts, math.prod(given), _float_type(dtypes, model.name, notes), device)
    tell(notes, model.name)
    return network


def _float_type(dtypes: dict[str, str], name: str, notes: list[str]) -> str:
    """float32, or float64 if a layer computes in it."""
    if not set(dtypes) <= {"float32", "float64"}:
        mixed = ", ".join(f"{dtype} at {place}" for dtype, place in dtypes.items())
        raise ConfigurationError(f"a network is all float32 or all float64, the model {name} has {mixed}")
    if len(dtypes) == 2:
        notes.append("it computes in float32 and in float64: the network computes all in float64")
    return max(dtypes, default="float32")


def _reshaped(layer: Any, place: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a row after Flatten or Reshape."""
    if len(shape) > 1 and getattr(layer, "data_format", None) == "channels_first":
        raise ConfigurationError(f"layer {place} (Flatten): it puts the channels last before it flattens")
    size = math.prod(shape)
    to = [int(length) for length in getattr(layer, "target_shape", (size,))]
    known = math.prod(length for length in to if length != -1)
    return tuple(size // known if length == -1 else length for length in to)


def _check_rows(parts: list[Part], shape: tuple[int, ...], place: str, model: Any) -> None:
    """See that a layer takes rows of numbers, or does the same to every number."""
    if len(shape) != 1 and not all(same_for_all_features(part) for part in parts):
        raise ConfigurationError(
            f"{model.name} takes {model.input_shape}, and layer {place} rows of shape {shape}: nnx's networks "
            "take rows of numbers; put Flatten before it"
        )


def export(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as a ``.keras`` file, whole or not at all.

    Raises
    ------
    ConfigurationError, MissingLibraryError
        As for `to_keras`; also if the name does not end in ``.keras``.
    OutputError
        If the file cannot be written.
    """
    _check_name(path, ConfigurationError)
    with _library() as keras, tempfile.TemporaryDirectory() as folder, replacing(path) as file:
        _to_keras(keras, network).save(Path(folder) / "model.keras")  # Keras insists on the name
        with (Path(folder) / "model.keras").open("rb") as made:
            shutil.copyfileobj(made, file)


def load(path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
    """Read a ``.keras`` file; what it describes is checked before Keras builds it, in its safe mode.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds what `from_keras` does not take.
    MissingLibraryError
        If Keras is not installed.
    """
    _check_name(path, FileFormatError)
    try:
        with _library() as keras:
            _check_archive(Path(path))
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            return _from_keras(keras, model, device)
    except (FileFormatError, MissingLibraryError, DeviceError):
        raise
    except ConfigurationError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except Exception as error:  # Keras passes on what any of its parts raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise FileFormatError(f"{path} is not a .keras file that can be read ({reason[:300]})") from error


@contextmanager
def _library() -> Iterator[Any]:
    """Keras, without what its parts say to one another of things deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield _imported()


def _imported() -> Any:
    """Keras, which from then on knows the one function it has no name for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ImportError as error:
        raise MissingLibraryError(
            f"this needs Keras and a library for it to run on ({error}): pip install tensorflow"
        ) from error
    if keras.saving.get_registered_object(f"nnx>{GELU_TANH}") is None:

        @keras.saving.register_keras_serializable(package="nnx", name=GELU_TANH)  # type: ignore[untyped-decorator]
        def gelu_tanh(x: Any) -> Any:
            return keras.activations.gelu(x, approximate=True)

    return keras


def _check_models(keras: Any, model: Any, place: str) -> None:
    """See that every model is Sequential or functional and every layer known, before Keras describes them."""
    kind = type(model)
    if not isinstance(model, keras.Model):
        raise ConfigurationError(f"from_keras takes a Keras model, not {kind.__name__}")
    if kind.__name__ not in MODELS or not kind.__module__.startswith("keras."):
        raise ConfigurationError(
            f"{place} is a model of class {kind.__name__}: only Sequential and functional ones go over"
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check_models(keras, layer, f"{place}/{layer.name}")


def _row_shape(model: Any) -> tuple[int, ...]:
    try:
        shape = model.input_shape
    except (AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{model.name} has no input shape yet: start it by keras.Input((n,))"
        ) from error
    if len(shape) < 2 or not all(isinstance(length, int) for length in shape[1:]):
        raise ConfigurationError(f"{model.name} takes {shape}: nnx's networks take rows, (None, n)")
    return tuple(shape[1:])


def _find(model: Any, link: Link) -> Any:
    for name in link.place:
        model = model.get_layer(name)
    return model


def _read(keras: Any, layer: Any, place: str) -> list[Part]:
    try:
        return read(keras, layer)
    except ConfigurationError as error:
        raise ConfigurationError(f"layer {place} ({type(layer).__name__}): {error}") from error


def _check_name(path: str | os.PathLike[str], error: type[Exception]) -> None:
    suffix = Path(path).suffix
    if suffix in HDF5 and error is FileFormatError:
        raise FileFormatError(f"{path} {OLD_FORMAT}")
    if suffix != ".keras":
        raise error(f"{path}: the name must end in .keras")


def _check_archive(path: Path) -> None:
    """Refuse what no chain of known layers would be, before Keras makes room for it."""
    if not path.is_file():
        raise FileFormatError(f"no model file {path}")
    with path.open("rb") as file:
        if file.read(len(HDF5_START)) == HDF5_START:
            raise FileFormatError(f"{path} {OLD_FORMAT}")
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        if sum(sizes.values()) > MAX_RATIO * path.stat().st_size + MAX_CONFIG or sizes[CONFIG] > MAX_CONFIG:
            raise FileFormatError(f"{path} unpacks to {sum(sizes.values()):,} bytes: more than a network's")
        described = json.loads(archive.read(CONFIG))
    kind = described["class_name"]
    if kind not in MODELS:
        raise FileFormatError(
            f"{path} holds a model of class {kind}: only Sequential and functional ones go over"
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
    if claimed > sizes[WEIGHTS] + sizes[CONFIG]:  # four bytes each, one here: what HDF5 saves by compressing is not known
        raise FileFormatError(
            f"{path}: its layers take {claimed:,} numbers, but it holds {sizes[WEIGHTS]:,} bytes"
        )


def _stated_width(config: dict[str, Any]) -> int:
    """The width of a described model's input, as far as it is stated."""
    for entry in config["layers"]:
        shape = entry["config"].get("batch_shape")
        if shape:
            return math.prod(int(length) for length in shape[1:])
    return math.prod(int(length) for length in (config.get("build_input_shape") or [1, 1])[1:])


def _names(classes: Any) -> str:
    return ", ".join(sorted(cls.__name__ for cls in classes))
