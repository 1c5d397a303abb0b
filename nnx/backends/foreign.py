"""Convert data of other libraries to NumPy: PyTorch, JAX, data frames and everything NumPy can read."""

from __future__ import annotations

from typing import Any

import numpy

from nnx.errors import DataError

HOST = (1, 3, 13)  # DLPack's numbers for host memory, pinned memory and managed memory


def on_gpu(x: Any) -> bool:
    """Return whether `x` is an array that says it lies on a GPU."""
    if isinstance(x, numpy.ndarray):
        return False
    if hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] not in HOST:
        return True
    return hasattr(x, "__cuda_array_interface__")


def as_numpy(x: Any, name: str = "x") -> numpy.ndarray[Any, Any]:
    """Return `x` as a NumPy array, without a copy if possible: by ``__array__``, DLPack, or from lists.

    Raises
    ------
    DataError
        If `x` cannot be converted; the text gives the other library's reason.
    """
    if isinstance(x, numpy.ndarray):
        return x
    try:
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
            return numpy.from_dlpack(x)
        return numpy.asarray(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(x, (list, tuple)) and isinstance(error, ValueError):
            raise DataError(f"{name} is not an array: its rows differ in length") from error
        kind = f"{type(x).__module__.partition('.')[0]}.{type(x).__name__}"
        dtype = f" of {x.dtype}" if hasattr(x, "dtype") else ""
        reason = " ".join(str(error).split()).rstrip(".")
        remedy = ": cast it to float32" if isinstance(error, TypeError) else ""
        raise DataError(f"{name}, a {kind}{dtype}, cannot become a NumPy array ({reason}){remedy}") from error
