"""Networks to ONNX files and back, in the standard's own operators.

A file holds what the network computes: `trainable` flags and the state of training stay behind.
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
from nnx.network import Network

LARGEST = 2**31 - 1  # bytes: a file is one protocol buffer, which takes no more


def export(
    network: Network,
    path: str | os.PathLike[str],
    *,
    inputs: Scaling | None = None,
    outputs: Scaling | None = None,
) -> None:
    """Write a network as an ONNX file, checked by ``onnx.checker``, whole or not at all.

    Its input ``x`` has the shape (batch, inputs) and its output ``y`` (batch, outputs), both of the network's
    float type; any number of rows goes in. The operators are of set 20, the file of IR version 9 (ONNX 1.15).
    The producer is nnx and its version; `network.code` is kept under ``nnx.code``.

    Parameters
    ----------
    network : Network
        A slice will do: ``export(network[:7], "encoder.onnx")``.
    path : path
    inputs, outputs : Scaling, optional
        Put before and after the network: the file then takes rows x that are not scaled, as
        (x − shift) / scale, and gives y scale + shift. Anything with the float64 arrays ``shift`` and
        ``scale``. A scaling with a shift is computed in float64, and the file's input (or output) is then
        float64: 1,700,000,000.5 has no float32.

    Raises
    ------
    ConfigurationError
        If a layer is one of your own, or the network is not built or takes more than 2 GiB.
    MissingLibraryError
        If the library onnx is not installed.
    OutputError
        If the file cannot be written.
    """
    onnx = _library()
    weights = network.weights()
    size = sum(value.nbytes for value in weights.values())
    if size > LARGEST - 2**20:
        raise ConfigurationError(f"an ONNX file holds at most {LARGEST:,} bytes, the weights are {size:,}")
    inputs, outputs = (one if one is not None and changes(one) else None for one in (inputs, outputs))
    model = model_of(onnx, network, weights, inputs, outputs)
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as file:
        file.write(model.SerializeToString())


def compute(path: str | os.PathLike[str], x: Any) -> tuple[Any, str]:
    """What an exported file computes from rows x, and the program that computed it.

    ONNX Runtime if it is installed and runs the file, else the slower evaluator of the library onnx.
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
    except Exception:  # its errors have no common class
        program += "; ONNX Runtime does not run this file"
    from onnx.reference import ReferenceEvaluator

    (y,) = ReferenceEvaluator(os.fspath(path)).run(None, {"x": x})
    return y, program


def load(path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
    """Read an ONNX file whose operators form a chain that nnx's layers can compute.

    Rows go along the input's last axis: a model whose input has more axes than two is one over its vectors,
    ``x.reshape(-1, x.shape[-1])``. Operator sets from 7 on are read.

    Parameters
    ----------
    path : path
        Weights that lie in files of their own are read from its folder, and from nowhere else.
    device : str, optional
        As for `Network`.

    Returns
    -------
    Network
        Of the input's float type.

    Raises
    ------
    FileFormatError
        If the file is damaged, or computes something else; the text names the node.
    MissingLibraryError
        If the library onnx is not installed.
    """
    onnx = _library()
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"no model file {path}")
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path} is larger than the {LARGEST:,} bytes of an ONNX file")
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
        model = onnx.load(path, load_external_data=False)
        found = read(onnx, model, path.parent)
        network = assemble(found.parts, found.width, found.dtype, device)
        code = {entry.key: entry.value for entry in model.metadata_props}.get(CODE)
        network.code = None if code is None else int(code)
    except (FileFormatError, ConfigurationError) as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (DeviceError, MissingLibraryError):
        raise
    except Exception as error:  # the library passes on what any of its parts raises
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
