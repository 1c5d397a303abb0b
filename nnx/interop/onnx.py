"""Write networks as ONNX files and read them back, with the standard operators only.

A file holds what the network computes. It does not hold `trainable` flags or the state of training.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nnx.backends import Backend
from nnx.errors import ConfigurationError, DeviceError, FileFormatError, MissingLibraryError
from nnx.files import replacing
from nnx.interop.affine import Scaling, changes
from nnx.interop.onnx_read import read
from nnx.interop.onnx_write import CODE, model_of
from nnx.interop.parts import assemble, tell
from nnx.interop.tied import untied
from nnx.network import Network

IN_FLOAT32 = "the network rounds the factors of its products to bfloat16, but the file computes in float32"
LARGEST = 2**31 - 1  # bytes: a file is one protocol buffer, which can hold no more


def export(
    network: Network,
    path: str | os.PathLike[str],
    *,
    inputs: Scaling | None = None,
    outputs: Scaling | None = None,
) -> None:
    """Write a network as an ONNX file, checked by ``onnx.checker``, whole or not at all.

    The file has an input ``x`` of shape (batch, *input_shape) and an output ``y`` of shape (batch,
    *output_shape), both with the network's float type and any number of rows. It uses operator set 20 and IR
    version 9 (ONNX 1.15). It names nnx and its version as the producer, and stores `network.encoder_length`
    as ``nnx.code``. The file of a bfloat16 network computes in float32, which a warning says: ONNX Runtime
    has no products of bfloat16 numbers on a CPU.

    Parameters
    ----------
    network : Network
        The network, or a slice: ``export(network[:7], "encoder.onnx")``.
    path : path
    inputs, outputs : Scaling, optional
        Scalings before and after the network, as objects with the float64 arrays ``shift`` and ``scale``.
        The file then takes unscaled rows x, computes (x − shift) / scale before the network, and returns
        y scale + shift. A scaling with a shift is computed in float64, and the file's input (or output) is
        then float64, because float32 cannot hold a number like 1,700,000,000.5.

    Raises
    ------
    ConfigurationError
        If a layer is your own, the network is not built, or it takes more than 2 GiB.
    MissingLibraryError
        If the library onnx is not installed.
    OutputError
        If the file cannot be written.
    """
    onnx = _library()
    network = untied(network)
    weights = network.weights()
    size = sum(value.nbytes for value in weights.values())
    if size > LARGEST - 2**20:
        raise ConfigurationError(f"an ONNX file holds at most {LARGEST:,} bytes, the weights take {size:,}")
    inputs, outputs = (one if one is not None and changes(one) else None for one in (inputs, outputs))
    model = model_of(onnx, network, weights, inputs, outputs)
    if network.precision == "bfloat16":
        tell([IN_FLOAT32], str(path))
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as file:
        file.write(model.SerializeToString())


def compute(path: str | os.PathLike[str], x: Any) -> tuple[Any, str]:
    """Return what an exported file computes for rows x, and the name of the program that computed it.

    The program is ONNX Runtime if it is installed and can run the file, otherwise the slower evaluator of the
    library onnx.
    """
    _library()
    program = "onnx.reference"
    try:
        import onnxruntime

        session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": x})
        return y, "ONNX Runtime"
    except ImportError:
        pass
    except Exception:  # ONNX Runtime's errors have no common class
        program += "; ONNX Runtime cannot run this file"
    from onnx.reference import ReferenceEvaluator

    (y,) = ReferenceEvaluator(os.fspath(path)).run(None, {"x": x})
    return y, program


def load(path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
    """Read an ONNX file whose operators nnx's layers and containers can compute.

    The operators form a chain. Branches may start from one value and meet again in Add (`Residual`) or Concat
    over the last axis (`Concatenate`). The network takes rows of the file's shape; if that leaves lengths
    open, it takes vectors, ``x.reshape(-1, x.shape[-1])``. Operator sets from 7 on can be read.

    Parameters
    ----------
    path : path
        Weights in separate files are read from the folder of this file, and from nowhere else.
    device : str, optional
        As for `Network`.

    Returns
    -------
    Network
        With the input's float type.

    Raises
    ------
    FileFormatError
        If the file is damaged, or nnx cannot compute it; the text names the node.
    MissingLibraryError
        If the library onnx is not installed.
    """
    onnx = _library()
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"there is no model file {path}")
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path} is too large: an ONNX file holds at most {LARGEST:,} bytes")
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
        model = onnx.load(path, load_external_data=False)
        found = read(onnx, model, path.parent)
        network = assemble(found.parts, found.shape, found.dtype, device, found.most)
        code = {entry.key: entry.value for entry in model.metadata_props}.get(CODE)
        network.encoder_length = None if code is None else int(code)
    except (FileFormatError, ConfigurationError) as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (DeviceError, MissingLibraryError):
        raise
    except Exception as error:  # the library lets every kind of error through
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise FileFormatError(f"{path} is not a valid ONNX file ({reason[:300]})") from error
    tell(found.notes, str(path))
    return network


def _library() -> Any:
    try:
        import onnx
        import onnx.checker
    except ImportError as error:
        raise MissingLibraryError(f"this needs the library onnx ({error}): pip install onnx") from error
    return onnx
