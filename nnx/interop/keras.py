"""Convert networks to Keras 3 and back, in memory and as ``.keras`` files.

The values, the options, the float type and which layers are frozen are kept. What only training uses is lost:
regularizers, constraints, initializers, a compiled loss and optimizer.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnx.backends import Backend
from nnx.errors import ConfigurationError, DeviceError, FileFormatError, MissingLibraryError
from nnx.files import replacing
from nnx.interop.affine import Scaling, changes, exact_type, is_far
from nnx.interop.keras_archive import check_archive, check_name
from nnx.interop.keras_chain import MODELS, Link, chain
from nnx.interop.keras_layers import (
    GELU_TANH,
    NOTHING,
    RESHAPES,
    WRITABLE,
    far_batch_norm,
    read,
    scaled,
    unscaled,
    write,
)
from nnx.interop.parts import Part, assemble, check_features, same_for_all_features, tell
from nnx.layers import BatchNorm
from nnx.network import Network
from nnx.records import record_of

FAR_IN_KERAS = (
    "its means are large compared with its deviations, and Keras computes it as x a + b, which loses "
    "digits; set trainable = False, and the means are subtracted first"
)


def to_keras(network: Network) -> Any:
    """Return a ``keras.Sequential`` with the layers and values of a network.

    Parameters
    ----------
    network : Network
        The network, or a slice of it.

    Returns
    -------
    keras.Sequential
        Not compiled. `code` is not carried: Keras has no place for it.

    Raises
    ------
    ConfigurationError
        If Keras has no such layer, or the network is not built.
    MissingLibraryError
        If Keras is not installed.
    """
    with _library() as keras:
        return _to_keras(keras, network)


def _to_keras(
    keras: Any, network: Network, inputs: Scaling | None = None, outputs: Scaling | None = None
) -> Any:
    check_features(network, "Keras")
    weights = network.weights()
    layers: list[Any] = []
    for position, layer in enumerate(network.layers):
        if type(layer) not in WRITABLE:
            record = record_of(type(layer))
            why = f"nnx can convert {_names(WRITABLE)}" if record is None else record.keras
            raise ConfigurationError(f"layer {position}, {layer!r}: Keras has no such layer; {why}")
        common = {"name": layer.name, "dtype": network.dtype.name}
        if isinstance(layer, BatchNorm) and is_far(layer, weights):
            if not layer.trainable:
                layers += far_batch_norm(keras, layer, common, weights)
                continue
            tell([f"layer {layer.name}: {FAR_IN_KERAS}"], "to Keras", 4)
        theirs = write(keras, layer, common)
        theirs.trainable = layer.trainable
        layers.append(theirs)
    before = [] if inputs is None else scaled(keras, inputs, network.dtype)
    after = [] if outputs is None else unscaled(keras, outputs, network.dtype)
    taken = network.dtype if inputs is None else exact_type(inputs, network.dtype)
    source = keras.Input((network.inputs,), dtype=taken.name)
    model = keras.Sequential([source, *before, *layers, *after])
    by_name = {layer.name: layer for layer in layers}
    for ours in network.layers:
        values = [value for name, value in weights.items() if name.startswith(f"{ours.name}.")]
        if ours.name in by_name:
            by_name[ours.name].set_weights(values)
    return model


def from_keras(model: Any, device: str | Backend | None = None) -> Network:
    """Return a network with the layers and values of a Keras model.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        A chain of layers on rows. Models inside it are replaced by their layers. ``Dense(activation=…)``
        becomes two layers.
    device : str, optional
        As for `Network`.

    Returns
    -------
    Network
        With the model's float type.

    Raises
    ------
    ConfigurationError
        If the model is not a chain, or nnx has no such layer or option; the text names it.
    MissingLibraryError
        If Keras is not installed.
    """
    with _library() as keras:
        network, notes = _from_keras(keras, model, device)
    tell(notes, model.name)
    return network


def _from_keras(keras: Any, model: Any, device: str | Backend | None) -> tuple[Network, list[str]]:
    _check_models(keras, model, model.name)
    shape = given = _row_shape(model)
    parts: list[Part] = []
    notes: list[str] = []
    dtypes: dict[str, str] = {}
    read_before: set[str] = set()
    links = list(chain(model.get_config()))
    arriving = model.inputs[0].dtype
    for link in links:
        layer, place = _find(model, link), "/".join(link.place)
        kind = link.entry["class_name"]
        if layer.weights and place in read_before:
            raise ConfigurationError(f"layer {place} is called twice: layers of nnx cannot share weights")
        read_before.add(place)
        if kind in NOTHING and type(layer) is getattr(keras.layers, kind):
            notes.append(f"layer {place} ({kind}) only changes data in training and is left out")
        elif kind in RESHAPES and type(layer) is getattr(keras.layers, kind):
            shape = _reshaped(layer, place, shape)
        else:
            inner = kind == "Rescaling" and arriving == "float32" and link is not links[-1]
            if not (inner and layer.compute_dtype == "float64"):  # nnx's Rescale computes in float64 anyway
                dtypes[layer.dtype_policy.name] = place
            arriving = layer.compute_dtype
            new = _read(keras, layer, place)
            _check_rows(new, shape, place, model)
            shape = new[0].values["W"].shape[1:] if "W" in new[0].values else shape
            parts += new
    if len(shape) != 1:
        raise ConfigurationError(
            f"{model.name} returns rows of shape {shape}: nnx's networks return rows of numbers"
        )
    if len(given) > 1:
        notes.append(f"each row of its input, of shape {given}, is flattened: pass x.reshape(len(x), -1)")
    return assemble(parts, math.prod(given), _float_type(dtypes, model.name, notes), device), notes


def _float_type(dtypes: dict[str, str], name: str, notes: list[str]) -> str:
    """Return float32, or float64 if a layer computes in it."""
    if not set(dtypes) <= {"float32", "float64"}:
        mixed = ", ".join(f"{dtype} at {place}" for dtype, place in dtypes.items())
        raise ConfigurationError(f"a network is all float32 or all float64, but the model {name} has {mixed}")
    if len(dtypes) == 2:
        notes.append("it computes in float32 and float64: the network computes everything in float64")
    return max(dtypes, default="float32")


def _reshaped(layer: Any, place: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a row after Flatten or Reshape."""
    if len(shape) > 1 and getattr(layer, "data_format", None) == "channels_first":
        raise ConfigurationError(f"layer {place} (Flatten): nnx cannot move the channels to the end")
    size = math.prod(shape)
    to = [int(length) for length in getattr(layer, "target_shape", (size,))]
    known = math.prod(length for length in to if length != -1)
    return tuple(size // known if length == -1 else length for length in to)


def _check_rows(parts: list[Part], shape: tuple[int, ...], place: str, model: Any) -> None:
    """Check that a layer takes rows of numbers, or treats all numbers alike."""
    if len(shape) != 1 and not all(same_for_all_features(part) for part in parts):
        raise ConfigurationError(
            f"{model.name} takes {model.input_shape}, and layer {place} takes rows of shape {shape}: nnx's "
            "networks take rows of numbers; put Flatten before this layer"
        )


def export(
    network: Network,
    path: str | os.PathLike[str],
    *,
    inputs: Scaling | None = None,
    outputs: Scaling | None = None,
) -> None:
    """Write a network as a ``.keras`` file, whole or not at all.

    Parameters
    ----------
    network : Network
    path : path
    inputs, outputs : Scaling, optional
        Scalings before and after the network, see `nnx.interop.onnx.export`. They become ``Rescaling``
        layers, in float64 if they add.

    Raises
    ------
    ConfigurationError, MissingLibraryError
        As for `to_keras`; also if the name does not end in ``.keras``.
    OutputError
        If the file cannot be written.
    """
    check_name(path, ConfigurationError)
    inputs, outputs = (one if one is not None and changes(one) else None for one in (inputs, outputs))
    with _library() as keras, tempfile.TemporaryDirectory() as folder, replacing(path) as file:
        model = _to_keras(keras, network, inputs, outputs)
        model.save(Path(folder) / "model.keras")  # Keras requires this ending
        with (Path(folder) / "model.keras").open("rb") as made:
            shutil.copyfileobj(made, file)


def compute(path: str | os.PathLike[str], x: Any) -> tuple[Any, str]:
    """Return what a ``.keras`` file computes for rows x, and the name of the program that computed it."""
    with _library() as keras:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        return keras.ops.convert_to_numpy(model(x, training=False)), "Keras"


def load(path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
    """Read a ``.keras`` file. Its description is checked before Keras builds it, in Keras's safe mode.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds a model that `from_keras` refuses.
    MissingLibraryError
        If Keras is not installed.
    """
    check_name(path, FileFormatError)
    try:
        with _library() as keras:
            check_archive(Path(path))
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            network, notes = _from_keras(keras, model, device)
    except (FileFormatError, MissingLibraryError, DeviceError):
        raise
    except ConfigurationError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except Exception as error:  # Keras lets every kind of error through
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise FileFormatError(f"cannot read {path} as a .keras file ({reason[:300]})") from error
    tell(notes, str(path))
    return network


def register() -> None:
    """Register GELU's tanh form with Keras, which has no name for it.

    `to_keras`, `from_keras`, `export` and `load` do this themselves. A program that reads such a file by
    ``keras.saving.load_model`` must call this first. Importing nnx alone does not import Keras.

    Raises
    ------
    MissingLibraryError
        If Keras is not installed.
    """
    with _library():
        pass


@contextmanager
def _library() -> Iterator[Any]:
    """Yield Keras, and silence its warnings about deprecated functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield _imported()


def _imported() -> Any:
    """Import Keras, and register the one function that it has no name for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ImportError as error:
        raise MissingLibraryError(
            f"this needs Keras and a library that Keras runs on ({error}): pip install tensorflow"
        ) from error
    if keras.saving.get_registered_object(f"nnx>{GELU_TANH}") is None:

        @keras.saving.register_keras_serializable(package="nnx", name=GELU_TANH)  # type: ignore[untyped-decorator]
        def gelu_tanh(x: Any) -> Any:
            return keras.activations.gelu(x, approximate=True)

    return keras


def _check_models(keras: Any, model: Any, place: str) -> None:
    """Check that a model and all models inside it are Sequential or functional, before Keras describes it."""
    kind = type(model)
    if not isinstance(model, keras.Model):
        raise ConfigurationError(f"from_keras converts a Keras model, not {kind.__name__}")
    if kind.__name__ not in MODELS or not kind.__module__.startswith("keras."):
        raise ConfigurationError(
            f"{place} is a model of class {kind.__name__}: nnx converts only Sequential and functional ones"
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check_models(keras, layer, f"{place}/{layer.name}")


def _row_shape(model: Any) -> tuple[int, ...]:
    try:
        shape = model.input_shape
    except (AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{model.name} has no input shape yet: start it with keras.Input((n,))"
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


def _names(classes: Any) -> str:
    return ", ".join(sorted(cls.__name__ for cls in classes))
