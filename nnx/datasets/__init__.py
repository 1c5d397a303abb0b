"""Load data sets: MNIST, scikit-learn's digits, XOR, and arrays from files."""

from __future__ import annotations

from nnx.datasets.base import Dataset, DatasetStatus
from nnx.datasets.catalogue import list_datasets, load
from nnx.datasets.digits import load_digits
from nnx.datasets.mirrors import DatasetUnavailableError
from nnx.datasets.mnist import fetch_mnist, load_mnist
from nnx.datasets.mnist_files import FileStatus, verify_mnist
from nnx.datasets.xor import load_xor
from nnx.readers.arrays import load_arrays
from nnx.readers.idx import read_idx
from nnx.readers.mapped import open_rows

__all__ = [
    "Dataset",
    "DatasetStatus",
    "DatasetUnavailableError",
    "FileStatus",
    "fetch_mnist",
    "list_datasets",
    "load",
    "load_arrays",
    "load_digits",
    "load_mnist",
    "load_xor",
    "open_rows",
    "read_idx",
    "verify_mnist",
]
