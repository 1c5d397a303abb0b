"""The classes of a data set: its training and test arrays, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nnx.data.rows import Rows
from nnx.readers.types import Array


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test samples of one data set.

    Parameters
    ----------
    name : str
        ``"mnist"``, ``"digits"`` or ``"xor"``: the data that was loaded.
    x_train, x_test : numpy.ndarray
        Samples, shape (n, features), float32 or float64 in [0, 1]. With ``dtype="uint8"``, MNIST has its
        pixels as stored, 0 to 255.
    y_train, y_test : numpy.ndarray
        Labels, shape (n,), int64 in 0..9. For XOR: targets, shape (4, 1), with the type of ``x_train``.
    image_shape : tuple of int or None
        (28, 28) for MNIST, (8, 8) for the digits, None if a row is not an image.
    source : str
        Where the data came from: a directory, a mirror or a library.
    checksums : mapping of str to str
        SHA-256, in hexadecimal, of each file's uncompressed bytes, or of the arrays if there are no files.

    Attributes
    ----------
    pixels : numpy.ndarray or None
        The bytes from which ``x_train`` was made: ``pixels / 255``. None if ``x_train`` was made from other
        data, and in copies by ``dataclasses.replace``, because their ``x_train`` may differ.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    image_shape: tuple[int, int] | None
    source: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    pixels: Array | None = field(default=None, init=False)

    @property
    def features(self) -> int:
        """Return the number of columns of ``x_train``: 784 for MNIST, 64 for the digits, 2 for XOR."""
        return int(self.x_train.shape[1])

    def keeping(self, pixels: Array) -> Dataset:
        """Store the bytes from which `x_train` was made, and return the data set itself."""
        object.__setattr__(self, "pixels", pixels)
        return self

    def for_training(self, rows: int | None = None) -> Array | Rows:
        """Return the first training samples (all by default), as bytes if they were made from bytes."""
        if self.pixels is None:
            return self.x_train[:rows]
        return Rows(self.pixels[:rows], divisor=255)

    def __repr__(self) -> str:
        return (
            f"Dataset(name={self.name!r}, train={self.x_train.shape}, test={self.x_test.shape}, "
            f"dtype={self.x_train.dtype}, source={self.source!r})"
        )


@dataclass(frozen=True)
class DatasetStatus:
    """One row of ``nnx data list``.

    Parameters
    ----------
    name : str
        The name for :func:`nnx.datasets.load`.
    available : bool
        Whether it loads without the network.
    where : str
        The directory or library that holds it; empty if it is not available.
    size : int or None
        Bytes on disk; None for data that is computed or part of a library.
    note : str
        What it is, or what is missing.
    """

    name: str
    available: bool
    where: str
    size: int | None
    note: str
