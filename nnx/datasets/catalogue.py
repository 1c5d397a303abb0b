"""Load data sets by name, list them, and use the digits if MNIST is missing."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from importlib import metadata, util

import numpy.typing as npt

from nnx.datasets.base import Dataset, DatasetStatus
from nnx.datasets.digits import load_digits
from nnx.datasets.mirrors import DatasetUnavailableError, Progress
from nnx.datasets.mnist import load_mnist
from nnx.datasets.mnist_files import FILES, cache_directory, find_mnist
from nnx.datasets.xor import load_xor
from nnx.errors import ConfigurationError
from nnx.readers.types import choose_dtype

NAMES = ("auto", "mnist", "digits", "xor")


def load(
    name: str = "auto",
    dtype: npt.DTypeLike = "float32",
    on_fallback: Callable[[str], object] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : {"auto", "mnist", "digits", "xor"}
        "auto" loads MNIST from ``NNX_DATA_DIR``, the cache or a mirror, or else scikit-learn's 8×8 digits.
        The result's ``name`` says which was loaded.
    dtype : {"float32", "float64"}
        Type of the samples; for "mnist" also "uint8".
    on_fallback : callable, optional
        Called with one sentence if "auto" loads the digits; without it, the sentence is a warning.
    progress : callable, optional
        Called while a file is downloaded, see :func:`load_mnist`.

    Returns
    -------
    Dataset
        See :func:`load_mnist`, :func:`load_digits`, :func:`load_xor`.

    Raises
    ------
    ConfigurationError
        If there is no data set or data type with that name.
    DatasetUnavailableError
        If `name` is "mnist" and MNIST is not available.
    DataError
        If MNIST files were found but are damaged, also with "auto": files that the user provided are never
        ignored silently.
    """
    if name not in NAMES:
        nearest = difflib.get_close_matches(str(name), NAMES, n=1, cutoff=0.0)[0]
        raise ConfigurationError(
            f"no data set is called {name!r}: did you mean {nearest!r}? Choose from {', '.join(NAMES)}"
        )
    if name == "mnist":
        return load_mnist(dtype=dtype, progress=progress)
    if name == "digits":
        return load_digits(dtype)
    if name == "xor":
        return load_xor(dtype)
    choose_dtype(dtype)
    try:
        return load_mnist(dtype=dtype, progress=progress)
    except DatasetUnavailableError as reason:
        message = f"Using scikit-learn's 8×8 digits instead of MNIST: {reason}."
    if on_fallback is None:
        warnings.warn(message, UserWarning, stacklevel=2)
    else:
        on_fallback(message)
    return load_digits(dtype)


def list_datasets() -> list[DatasetStatus]:
    """List all data sets, and whether each loads here without the network.

    Returns
    -------
    list of DatasetStatus
        MNIST (only whether its files exist; :func:`verify_mnist` checks them), the digits, XOR.
    """
    return [_mnist_status(), _digits_status(), DatasetStatus("xor", True, "nnx", None, "4 cases of 2 inputs")]


def _mnist_status() -> DatasetStatus:
    about = "70,000 images of 28×28"
    try:
        found = find_mnist()
    except ConfigurationError as error:
        return DatasetStatus("mnist", False, "", None, f"{about}; {error}")
    if found is None:
        note = f"{about}; not in NNX_DATA_DIR or {cache_directory()}: run `nnx data fetch`"
        return DatasetStatus("mnist", False, "", None, note)
    size = sum(path.stat().st_size for path in found.values())
    return DatasetStatus("mnist", True, str(found[FILES[0].name].parent), size, about)


def _digits_status() -> DatasetStatus:
    about = "1,797 images of 8×8"
    if util.find_spec("sklearn") is None:
        return DatasetStatus("digits", False, "", None, f"{about}; needs scikit-learn")
    return DatasetStatus("digits", True, f"scikit-learn {metadata.version('scikit-learn')}", None, about)
