"""Convert networks to Keras 3 and back, in memory and as ``.keras`` files.

The values, the options, the float type and which layers are frozen are kept. What only training uses is lost:
regularizers, constraints, initializers, a compiled loss and optimizer.
"""

from __future__ import annotations

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
from nnx.interop.affine import Scaling, changes, exact_type
from nnx.interop.keras_archive import check_archive, check_name
from nnx.interop.keras_chain import MODELS, chain
from nnx.interop.keras_layers import GELU_TANH, scaled, unscaled
from nnx.interop.keras_models import ModelReader, Writer, applied
from nnx.interop.parts import assemble, tell
from nnx.interop.tied import untied
from nnx.layers import Concatenate, Residual
from nnx.layers.base import walk
from nnx.layers.stack import takes_integers
from nnx.network import Network


def to_keras(network: Network) -> Any:
    """Return a Keras model with the layers and values of a network.

    Parameters
    ----------
    network : Network
        The network, or a slice of it.

    Returns
    -------
    keras.Sequential or keras.Model
        A functional model if the network holds a `Residual` (``Add``) or `Concatenate`; the layers of a
        `Sequential` follow each other. Not compiled. `encoder_length` is lost: Keras has no place for it.
        The layers with products (``Dense``, convolutions) of a bfloat16 network have the dtype policy
        ``mixed_bfloat16``, all others float32, because nnx computes only products in bfloat16.

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
    network = untied(network)
    writer = Writer(keras, network)
    taken = network.dtype if inputs is None else exact_type(inputs, network.dtype)
    given = "int64" if takes_integers(network.layers) else taken.name
    source = keras.Input(network.input_shape, dtype=given)
    before = [] if inputs is None else scaled(keras, inputs, network.dtype)
    after = [] if outputs is None else unscaled(keras, outputs, network.dtype)
    if any(isinstance(layer, (Residual, Concatenate)) for layer in walk(network.layers)):
        y = applied(after, writer.call(network.layers, applied(before, source)))
        model = keras.Model(source, y)
    else:
        flat = [layer for layer in walk(network.layers) if not layer.branches]
        chained = [theirs for layer in flat for theirs in writer.made(layer)]
        model = keras.Sequential([source, *before, *chained, *after])
    writer.set_weights()
    tell(writer.notes, "to Keras", 4)
    return model


def from_keras(model: Any, device: str | Backend | None = None) -> Network:
    """Return a network with the layers and values of a Keras model.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        A chain of layers. Branches that start from one tensor and meet in ``Add`` or ``Concatenate`` become
        `Residual` and `Concatenate`. Models inside it are replaced by their layers. ``Dense(activation=…)``
        becomes two layers.
    device : str, optional
        As for `Network`.

    Returns
    -------
    Network
        With the model's float type. If its ``Dense`` layers and convolutions have the policy
        ``mixed_bfloat16``, the precision is bfloat16. Keras then also rounds x W, b and y to bfloat16, which
        nnx does not: y differs by up to 2⁻⁸ (|x W| + |b| + |y|) in each layer.

    Raises
    ------
    ConfigurationError
        If the model has other branches, another dtype policy, or several for its ``Dense`` layers, or nnx has
        no such layer or option; the text names it.
    MissingLibraryError
        If Keras is not installed.
    """
    with _library() as keras:
        network, notes = _from_keras(keras, model, device)
    tell(notes, model.name)
    return network


def _from_keras(keras: Any, model: Any, device: str | Backend | None) -> tuple[Network, list[str]]:
    _check_models(keras, model, model.name)
    shape = _row_shape(model)
    reader = ModelReader(keras, model)
    parts, _ = reader.read(chain(model.get_config()), shape)
    return assemble(parts, shape, reader.precision(), device), reader.notes


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
    """Yield Keras with GELU's tanh form registered, and silence its warnings about deprecated functions."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
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

        yield keras


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
        raise ConfigurationError(
            f"{model.name} takes {shape}: nnx needs the length of every axis but the first"
        )
    return tuple(shape[1:])
