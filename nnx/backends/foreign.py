"""Convert data of other libraries to NumPy: PyTorch, JAX, data frames and everything NumPy can read."""

from __future__ import annotations

from typing import Any

import numpy

from nnx.errors import DataError, counted

HOST = (1, 3, 13)  # DLPack's numbers for host memory, pinned memory and managed memory
CUDA = (2, 13)  # those for memory of a GPU, and for managed memory


def on_gpu(x: Any) -> bool:
    """Return whether `x` is an array that says it lies on a GPU."""
    if isinstance(x, numpy.ndarray):
        return False
    device = _device(x)
    if device is not None and device[0] not in HOST:
        return True
    return hasattr(x, "__cuda_array_interface__")


def _device(x: Any) -> tuple[int, int] | None:
    """Return DLPack's kind and number of the device of `x`; None if it has none, or no data at all."""
    if not hasattr(x, "__dlpack_device__"):
        return None
    try:
        kind, index = x.__dlpack_device__()
    except (BufferError, RuntimeError, TypeError, ValueError):  # PyTorch's tensors without data, for example
        return None
    return int(kind), int(index)


def place(x: Any) -> str:
    """Return the device that an array on a GPU is on: ``"gpu:1"``; ``"a GPU"`` if it does not say which."""
    device = _device(x)
    if device is None:
        return "a GPU"
    kind, index = device
    return f"gpu:{index}" if kind in CUDA else f"an accelerator without CUDA (DLPack device {kind})"


def elsewhere(x: Any, name: str, device: str, also: str = "") -> str:
    """Return the error for an array that is not on the network's device; it has the calls that move either.

    Parameters
    ----------
    also : str
        What the array must fit instead of the network's device, if it is on that device.
    """
    there, calls = place(x), to_host(x, name)
    if there == device:
        return f"{name} lies on {there}, {also}: move x too, x = cupy.asarray(x), or {calls}"
    if there.startswith("gpu:"):
        calls = f"network.to({there!r}), or {calls}"
    return f"{name} lies on {there}, but the network computes on {device}: {calls}"


def to_host(x: Any, name: str) -> str:
    """Return the call that copies an array from a GPU to the host, in its own library."""
    library = type(x).__module__.partition(".")[0]
    known = {"torch": f"{name}.cpu()", "jax": f"numpy.asarray({name})", "jaxlib": f"numpy.asarray({name})"}
    if library not in known and "without CUDA" in place(x):
        return f"copy {name} to the host"
    return f"{name} = {known.get(library, f'cupy.asnumpy({name})')}"


def as_numpy(x: Any, name: str = "x") -> numpy.ndarray[Any, Any]:
    """Return `x` as a NumPy array, without a copy if possible: by ``__array__``, DLPack, or from lists.

    Raises
    ------
    DataError
        If `x` cannot be converted (the text gives the other library's reason), or has masked cells.
    """
    if isinstance(x, numpy.ndarray):
        refuse_masked(x, name)
        return numpy.asarray(x)
    if dense := _dense(x):
        raise DataError(f"{name} is sparse, but must be dense: {name} = {name}.{dense}")
    try:
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
            return numpy.from_dlpack(x)
        return numpy.asarray(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(x, (list, tuple)) and isinstance(error, ValueError):
            raise DataError(f"{name} is not an array: its rows differ in length") from error
        raise unreadable(x, name, "a NumPy array", error) from error


def refuse_masked(x: Any, name: str) -> None:
    """Refuse a masked array of NumPy with masked cells: below the mask are numbers that are not data.

    Raises
    ------
    DataError
        If `x` is one.
    """
    if not isinstance(x, numpy.ma.MaskedArray) or not numpy.ma.is_masked(x):
        return
    mask = numpy.ma.getmaskarray(x)
    rows = mask.reshape(len(x) if x.ndim else 1, -1)
    count, row = int(mask.sum()), int(numpy.argmax(rows.any(axis=1)))
    variable = name.rpartition(" ")[2]
    raise DataError(
        f"{name} has {counted(count, 'masked cell')}, first in row {row}: fill them with "
        f"{variable}.filled(…), or leave these rows out"
    )


def unreadable(x: Any, name: str, needed: str, error: Exception) -> DataError:
    """Return the error for an array that its library does not hand over, with the library's reason."""
    kind = f"{type(x).__module__.partition('.')[0]}.{type(x).__name__}"
    dtype = f" of {x.dtype}" if hasattr(x, "dtype") else ""
    reason = " ".join(str(error).split()).rstrip(".")
    remedy = ": cast it to float32" if isinstance(error, TypeError) else ""
    return DataError(f"{name}, a {kind}{dtype}, cannot become {needed} ({reason}){remedy}")


def _dense(x: Any) -> str:
    """Return the call that makes a sparse array dense; empty for other data."""
    if hasattr(x, "toarray") and not hasattr(x, "__array__"):
        return "toarray()"  # SciPy
    return "to_dense()" if not str(getattr(x, "layout", "strided")).endswith("strided") else ""  # PyTorch
