"""scikit-learn's array API dispatch: arrays of other libraries in, answers in kind.

Under ``sklearn.set_config(array_api_dispatch=True)``, the estimators take arrays of PyTorch, JAX, CuPy and
others, and answer with arrays of the same library on the same device. Without it, they answer with NumPy.

X of CuPy stays on its GPU from `fit` to the answer. So does X of PyTorch, JAX and others on a GPU, if nnx
computes there: by DLPack, nnx reads its memory, and the answer is in the memory that nnx wrote. Other arrays
are moved to the host and back.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import get_config

from nnx.backends import automatic, foreign, resolve
from nnx.data.rows import HostArray
from nnx.errors import NnxError

try:
    from sklearn.utils._array_api import check_same_namespace, get_namespace_and_device, move_to

    SUPPORTED = True
except ImportError:  # scikit-learn before 1.9
    SUPPORTED = False


def dispatches() -> bool:
    """Return whether scikit-learn's array API dispatch is on, and nnx supports that of this version."""
    return SUPPORTED and bool(get_config()["array_api_dispatch"])


def stays(x: Any) -> bool:
    """Return whether X is used where it is: an array of CuPy, under dispatch."""
    return library(x) is not np and dispatches()


def adopted(x: Any, device: Any) -> Any:
    """Return an array of another library that lies on this GPU as one of CuPy, under dispatch.

    Both have the same memory, if it is C-contiguous. Other data are returned unchanged.

    Parameters
    ----------
    device : str or Backend or None
        Where the network computes; if it is left open, on the GPU of `x`.
    """
    if not dispatches() or stays(x) or not foreign.on_gpu(x) or not hasattr(x, "__dlpack__"):
        return x
    there = foreign.place(x)
    try:
        backend = resolve(there if automatic(device) else device)
    except NnxError:  # no CuPy, for example
        return x
    return backend.asarray(x) if backend.device == there else x


def library(x: Any) -> Any:
    """Return CuPy for its arrays, else NumPy."""
    return importlib.import_module("cupy") if type(x).__module__.partition(".")[0] == "cupy" else np


def take(x: Any, rows: Any) -> Any:
    """Return the rows with these numbers, or of this slice."""
    return x[rows if isinstance(rows, slice) else library(x).asarray(rows)]


def with_complement(p: HostArray) -> HostArray:
    """Return the columns 1 − p and p."""
    both: HostArray = library(p).hstack([1.0 - p, p])
    return both


def log(p: HostArray) -> HostArray:
    """Return the logarithm; that of 0 is −∞."""
    with np.errstate(divide="ignore"):
        found: HostArray = library(p).log(p)
    return found


def likeliest(classes: HostArray, p: HostArray) -> HostArray:
    """Return the class with the largest probability in each row; names of classes always come as NumPy."""
    xp = library(p)
    chosen = xp.argmax(p, axis=1)
    if classes.dtype.kind in "fiub":
        found: HostArray = xp.asarray(classes)[chosen]
        return found
    names: HostArray = classes[moved_to_host(chosen)]
    return names


def moved_to_host(x: Any) -> Any:
    """Return an array of any library and device as one of NumPy; other data are left unchanged."""
    if stays(x):
        return x.get()
    if not hasattr(x, "__dlpack__") or isinstance(x, np.ndarray):
        return x
    return move_to(x, xp=np, device="cpu")


def hosted(x: Any) -> Any:
    """Move x to the host under dispatch, and else leave it: for estimators that answer with NumPy."""
    return moved_to_host(x) if dispatches() else x


def like(x: Any) -> Any:
    """Return an empty array of the library and device of `x`, with which `in_kind` compares later data."""
    if not dispatches():
        return np.zeros(0, np.int64)
    if stays(x):
        with x.device:
            return library(x).zeros(0, np.int64)
    namespace, _, device = get_namespace_and_device(x)  # not CuPy's, whose arrays stay
    return namespace.zeros(0, dtype=namespace.int64, device=device)


def in_kind(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method that takes X answer with an array of the library and device of X.

    The method itself gets X as it was given. It answers with NumPy, or with CuPy if X stays on its GPU. X
    must be of the library and device of the data in `fit`: scikit-learn requires this, so that no estimator
    moves data without a word.
    """

    @functools.wraps(method)
    def answered(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        if not dispatches() or not hasattr(self, "_like"):
            return method(self, X, *args, **options)
        if not (stays(X) and stays(self._like) and X.device == self._like.device):
            check_same_namespace(X, self, attribute="_like", method=method.__name__)
        result = method(self, X, *args, **options)
        if stays(X):
            return result
        xp, compliant, device = get_namespace_and_device(X)

        def moved(answer: Any) -> Any:
            numbers = answer.dtype.kind in "fiub"  # the array API has no text, which names of classes are
            return move_to(answer, xp=xp, device=device) if compliant and numbers else answer

        return tuple(map(moved, result)) if isinstance(result, tuple) else moved(result)

    return answered
