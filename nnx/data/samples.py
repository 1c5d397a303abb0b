"""Check rows on the host before training uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import foreign
from nnx.backends.host_memory import reserve
from nnx.data.rows import CHECKED, HostArray, Rows
from nnx.data.weights import refuse_unusable
from nnx.errors import ConfigurationError, DataError
from nnx.layers import Dropout, Flatten, Identity, Layer, Reshape, Sequential
from nnx.layers.activations import Activation
from nnx.losses import BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from nnx.losses.base import row_features

REAL = (bool, int, float, np.bool_, np.integer, np.floating)
Augmentation = Callable[[np.random.Generator, HostArray, HostArray], tuple[HostArray, HostArray]]
FIRST = 32  # rows on which the output of a user's layer is checked
READ_WHOLE = 2**26  # bytes: files up to this size are read into memory as a whole


@dataclass
class Samples:
    """Checked rows on the host: inputs, targets, weights.

    Values in mapped files are checked when they are read (`check_finite`).
    """

    x: HostArray | Rows
    y: HostArray | Rows
    weights: HostArray | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Numbers of rows of the blocks within which rows are shuffled: all rows, or those of each array."""
        return self.x.blocks if isinstance(self.x, Rows) else (len(self.x),)

    def arrays(self) -> list[HostArray | None]:
        """Return everything that determines the values, for a fingerprint."""
        columns = (self.x, self.y, self.weights)
        return [a for column in columns for a in (column.made_of() if isinstance(column, Rows) else [column])]

    def read(self, segment: slice) -> tuple[HostArray, HostArray]:
        """Return the inputs and targets of some rows as arrays; errors as for `check_finite`."""
        x = _read(self.x, segment, "x")
        return x, x if self.y is self.x else _read(self.y, segment, "y")

    def split(self, fraction: float) -> tuple[Samples, Samples]:
        """Split into the first rows for training and the last `fraction` for validation, without a shuffle.

        Keras splits in the same way.

        Raises
        ------
        ConfigurationError
            If one part would have no rows, or no row with a weight above 0.
        """
        kept = len(self) - round(len(self) * fraction)
        if not 0.0 < fraction < 1.0 or not 0 < kept < len(self):
            raise ConfigurationError(
                f"validation={fraction!r} of {len(self)} rows leaves no rows to train on or to validate on: "
                "choose another fraction in (0, 1)"
            )
        weights = self.weights
        if weights is not None and not (weights[:kept].any() and weights[kept:].any()):
            raise ConfigurationError(
                f"validation={fraction!r} leaves only rows of weight 0 to train on or to validate on: choose "
                "another fraction, or give validation=(x, y, weights)"
            )
        return (
            Samples(self.x[:kept], self.y[:kept], None if weights is None else weights[:kept]),
            Samples(self.x[kept:], self.y[kept:], None if weights is None else weights[kept:]),
        )


def host_array(x: Any, name: str) -> HostArray:
    """Return data of any library as a NumPy array of numbers.

    Raises
    ------
    DataError
        If `x` lies on a GPU, cannot be converted (its rows differ in length, …), or does not hold numbers.
    """
    if foreign.on_gpu(x):
        raise DataError(f"{name} lies on a GPU, but must lie on the host: {name} = cupy.asnumpy({name})")
    array = foreign.as_numpy(x, name)
    if array.dtype.kind == "O" and all(isinstance(value, REAL) for value in array.flat):
        array = array.astype(np.float64)  # a data frame whose columns have different types
    if name == "y" and (array.dtype.kind in "UT" or (array.size and isinstance(array.flat[0], str))):
        raise DataError("y holds text, not numbers: use names, y = np.unique(y, return_inverse=True)")
    if array.dtype.kind not in "fiub":
        cast = ": cast it to float32" if "float" in array.dtype.name else ""
        raise DataError(f"{name} must hold numbers, not {array.dtype}{cast}")
    return array


def check_rows(x: Any, name: str, dtype: Any) -> HostArray | Rows:
    """Return `x` as finite numbers of shape (rows, …) in `dtype`; bytes and large mapped files stay `Rows`.

    If `dtype` is None, `x` must hold integers, and they keep their type.

    Raises
    ------
    DataError
        If `x` is empty, has fewer than two axes, or holds values that are not finite numbers; the text says
        what is wrong, and in which row.
    OutOfMemoryError
        If the host has too little memory for a copy.
    """
    if not isinstance(x, Rows):
        x = _kept(x) or host_array(x, name)
    if x.ndim == 1:
        raise DataError(
            f"{name} of shape {x.shape} must have two dimensions: use {name}.reshape(-1, 1) for one feature, "
            f"{name}.reshape(1, -1) for one row"
        )
    if x.ndim == 0 or 0 in x.shape:
        raise DataError(f"{name} must have shape (rows, features), and none of them may be 0, not {x.shape}")
    if dtype is None:
        return _integers(x, name)
    if isinstance(x, Rows):
        return _settled(x.astype(dtype), name)
    nbytes = 0 if x.dtype == dtype and x.flags.c_contiguous else x.size * np.dtype(dtype).itemsize
    what, remedy = f"{name} of shape {x.shape} in {np.dtype(dtype)}", "map it from files (datasets.open_rows)"
    with (
        reserve(nbytes, what, remedy),
        np.errstate(over="ignore"),
    ):  # a number that is too large for dtype becomes infinite
        rows: HostArray = np.ascontiguousarray(x, dtype=dtype)
    check_finite(rows, name)
    return rows


def _integers(x: HostArray | Rows, name: str) -> HostArray | Rows:
    """Return rows of integers in their own type."""
    if x.dtype.kind not in "iu":
        raise DataError(
            f"{name} must hold integers for this network, not {x.dtype}: use {name}.astype(int) if they are"
        )
    return x if isinstance(x, Rows) else np.ascontiguousarray(x, x.dtype.newbyteorder("="))


def _kept(x: Any) -> Rows | None:
    """Return bytes and large mapped files as `Rows`, and None for other data."""
    if not isinstance(x, np.ndarray) or x.ndim < 2 or not x.flags.c_contiguous:
        return None
    large = isinstance(x, np.memmap) and x.nbytes > READ_WHOLE and x.dtype.kind in "fiu"
    return Rows(x) if large or x.dtype == np.uint8 else None


def _settled(rows: Rows, name: str) -> HostArray | Rows:
    """Return bytes and large mapped files unchanged; convert and check all other rows."""
    if rows.mapped:
        if sum(array.nbytes for array in rows.arrays) > READ_WHOLE:
            return rows
        rows = rows.loaded()
    if rows.kept == np.uint8:
        return rows
    arrays = [np.ascontiguousarray(rows.values(array)) for array in rows.arrays]
    before = 0
    for array in arrays:
        check_finite(array, name, range(before, before + len(array)))
        before += len(array)
    return arrays[0] if len(arrays) == 1 else Rows(arrays)


def _read(column: HostArray | Rows, segment: slice, name: str) -> HostArray:
    values = np.asarray(column[segment])
    if isinstance(column, Rows) and column.mapped:
        check_finite(values, name, range(segment.start, segment.stop))
    return values


def check_finite(x: HostArray, name: str, numbers: Any = None) -> None:
    """Check that all values are finite.

    Parameters
    ----------
    x : array of shape (rows, …)
    name : str
        What the error calls it.
    numbers : sequence of int, optional
        The numbers of the rows, for the error; 0, 1, … by default.

    Raises
    ------
    DataError
        If a value is NaN or infinite; the text names the first row with one.
    """
    for start in range(0, len(x), CHECKED):
        finite = np.isfinite(x[start : start + CHECKED])
        if not finite.all():
            row = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            number = row if numbers is None else int(numbers[row])
            wide = np.isinf(x[row]).any() and x.dtype == np.float32
            more = ": in float32, numbers above 3.4e38 are infinite" if wide else ""
            raise DataError(f"{name} has a value that is NaN or infinite, first in row {number}{more}")


def check_samples(network: Any, loss: Loss, x: Any, y: Any, weights: Any = None) -> Samples:
    """Check that inputs, targets and weights fit each other, the network and the loss, and return them.

    Raises
    ------
    DataError
        If they do not fit; the text names the shapes, the row or the range.
    ConfigurationError
        If the network's last layer does not fit the loss.
    """
    same = y is x
    rows = check_rows(x, "x", None if network.takes_integers else network.dtype)
    if rows.ndim != 2 and network.input_shape is not None and len(network.input_shape) == 1:
        raise DataError(
            f"x must have shape (rows, features) for this network, not {rows.shape}: if rows have several "
            "axes, omit the input width of the first layer (Dense(units)), or start with nnx.Flatten()"
        )
    network.build(rows.shape[1:])
    outputs: tuple[int, ...] = network.output_shape
    if same:
        y = rows
    else:
        if not isinstance(y, Rows) or y.ndim == 1:
            y = _kept(y) or host_array(y, "y")
        if len(y.shape) == 0 or len(y) != len(rows):
            raise DataError(f"x of shape {rows.shape} and y of shape {y.shape} must have equally many rows")
        if y.ndim in (1, len(outputs)) and isinstance(loss, CategoricalCrossEntropy):
            y = np.asarray(y)  # labels
            if y.dtype.kind in "iu":
                y = y.astype(np.int64)
        else:
            y = check_rows(y.reshape(-1, 1) if y.ndim == 1 else y, "y", network.dtype)
    y = _checked_targets(loss, y, row_features(outputs))
    _check_output(network, loss, rows)
    if weights is not None:
        weights = host_array(weights, "sample_weight")
        if weights.shape != (len(rows),):
            raise DataError(
                f"sample_weight must have shape ({len(rows)},), one weight for each row, not {weights.shape}"
            )
        weights = np.asarray(check_rows(weights.reshape(-1, 1), "sample_weight", network.dtype))
        weights = weights.reshape(-1)
        refuse_unusable(weights)
    return Samples(rows, y, weights)


def _check_output(network: Any, loss: Loss, x: HostArray | Rows) -> None:
    """Check that a network returns what a cross-entropy needs: probabilities, or logits.

    Probabilities come from a final `Softmax` or `Sigmoid`, which `Identity` and `Dropout` may follow. If a
    user's layer is the last, its output for the first rows is checked.

    Raises
    ------
    ConfigurationError
        If the last layer does not fit the loss; the text names the right one.
    DataError
        If a user's layer returns values outside [0, 1].
    """
    if not isinstance(loss, BinaryCrossEntropy | CategoricalCrossEntropy):
        return
    name, needed = type(loss).__name__, loss.activation.title()
    last = _last(network.layers, (Identity, Dropout, *([Flatten, Reshape] if name.startswith("Bin") else [])))
    kind = last.kind if isinstance(last, Activation) else ""
    final = kind if kind in ("sigmoid", "softmax") else ""
    if loss.from_logits and final:
        other = f", or use nnx.{name}()" if final in (loss.activation, "softmax") else ""
        raise ConfigurationError(
            f"{name}(from_logits=True) applies the {loss.activation} itself, but the network ends with "
            f"{last!r}: remove that layer{other}"
        )
    if network.outputs == 1 and "softmax" in (loss.activation, final):
        raise ConfigurationError(
            f"{name} cannot use a softmax of one output, which is always 1: end the network with "
            "nnx.Dense(1), nnx.Sigmoid() and use nnx.BinaryCrossEntropy(), or have one output for each class"
        )
    if not loss.takes_probabilities or final == loss.activation or final == "softmax":
        return
    if final:
        raise ConfigurationError(
            f"{name} needs probabilities of classes, which sum to 1, but the network ends with {last!r}: use "
            f"nnx.{needed}() instead of that layer, or nnx.BinaryCrossEntropy() if a row can have several "
            "labels"
        )
    if type(last).__module__.startswith("nnx.") or last.fused_kind:
        raise ConfigurationError(
            f"{name} needs probabilities, but the network ends with {last!r}: add nnx.{needed}() as its last "
            f"layer, or use nnx.{name}(from_logits=True)"
        )
    first = network.predict(x[:FIRST])
    loss.check_predictions(network.backend, network.backend.asarray(first))


def _last(layers: Sequence[Layer], left_out: tuple[type, ...]) -> Layer:
    """Return the last layer that changes values, also inside a `Sequential`."""
    last = next((one for one in reversed(layers) if not isinstance(one, left_out)), layers[-1])
    return _last(last.branches[0], left_out) if isinstance(last, Sequential) else last


def _checked_targets(loss: Loss, y: HostArray | Rows, features: int | tuple[int, ...]) -> HostArray | Rows:
    """Check targets, and move those into [0, 1] that are outside it by a rounding error.

    Of mapped files, only the first row is checked here.
    """
    if isinstance(y, Rows):
        for start in range(0, 1 if y.mapped else len(y), CHECKED):
            loss.check_targets(np.asarray(y[start : start + (1 if y.mapped else CHECKED)]), features)
        return y
    loss.check_targets(y, features)
    outside = loss.bounded and y.dtype.kind == "f" and (y.min() < 0.0 or y.max() > 1.0)
    return np.clip(y, 0.0, 1.0) if outside else y
