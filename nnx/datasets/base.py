"""What every data set of this room is: training and test arrays, and where they came from."""

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
        ``"mnist"``, ``"digits"`` or ``"xor"``: the data that was really loaded.
    x_train, x_test : numpy.ndarray
        Samples, shape (n, features), float32 (or float64) in [0, 1]. MNIST asked for as ``uint8`` keeps
        its pixels as stored, 0 to 255.
    y_train, y_test : numpy.ndarray
        Labels, shape (n,), int64 in 0..9. For XOR the targets, shape (4, 1), of the type of ``x_train``.
    image_shape : tuple of int or None
        (28, 28) for MNIST, (8, 8) for the digits, None where a row is no image.
    source : str
        Where the data came from: a directory, a mirror or a library.
    checksums : mapping of str to str
        SHA-256, in hexadecimal, of each file's uncompressed bytes (of the arrays where there is no file).

    Attributes
    ----------
    pixels : numpy.ndarray or None
        The bytes of which ``x_train`` is the 255th part; None where it is made of something else, and in
        what ``dataclasses.replace`` makes of this, whose ``x_train`` may be another.
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
        """Number of columns of ``x_train``: 784 for MNIST, 64 for the digits, 2 for XOR."""
        return int(self.x_train.shape[1])

    def keeping(self, pixels: Array) -> Dataset:
        """Itself, with the bytes that `x_train` was made of."""
        object.__setattr__(self, "pixels", pixels)
        return self

    def for_training(self, rows: int | None = None) -> Array | Rows:
        """The first training samples (all, where no number is given), as bytes where they come from bytes."""
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
        Name to give to :func:`nnx.datasets.load`.
    available : bool
        Whether it loads without the network.
    where : str
        The directory or library that holds it; empty where nothing does.
    size : int or None
        Bytes on disk; None for data that is computed or comes inside a library.
    note : str
        What it is, or what is missing.
    """

    name: str
    available: bool
    where: str
    size: int | None
    note: str
