"""Rows on the host, checked before training touches them."""

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
FIRST = 32  # rows on which the output of a layer of the user's own is looked at
READ_WHOLE = 2**26  # bytes: files up to this size are not worth reading batch by batch


@dataclass
class Samples:
    """Rows on the host, checked: inputs, targets, weights.

    What lies in files is only checked where it is read (`check_finite`).
    """

    x: HostArray | Rows
    y: HostArray | Rows
    weights: HostArray | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The rows within which a shuffle mixes: all of them, or a shard's."""
        return self.x.blocks if isinstance(self.x, Rows) else (len(self.x),)

    def arrays(self) -> list[HostArray | None]:
        """All that they are made of: what is stored, and how it is scaled."""
        columns = (self.x, self.y, self.weights)
        return [a for column in columns for a in (column.made_of() if isinstance(column, Rows) else [column])]

    def read(self, part: slice) -> tuple[HostArray, HostArray]:
        """Inputs and targets of some rows, as numbers; errors as for `check_finite`."""
        x = _read(self.x, part, "x")
        return x, x if self.y is self.x else _read(self.y, part, "y")

    def split(self, fraction: float) -> tuple[Samples, Samples]:
        """The first rows for training, the last `fraction` for validation, before any shuffle as in Keras."""
        kept = len(self) - round(len(self) * fraction)
        if not 0.0 < fraction < 1.0 or not 0 < kept < len(self):
            raise ConfigurationError(
                f"validation={fraction!r} leaves no rows on one side of {len(self)}: "
                "give a fraction in (0, 1)"
            )
        weights = self.weights
        if weights is not None and not (weights[:kept].any() and weights[kept:].any()):
            raise ConfigurationError(f"validation={fraction!r} leaves only weights of 0 on one side")
        return (
            Samples(self.x[:kept], self.y[:kept], None if weights is None else weights[:kept]),
            Samples(self.x[kept:], self.y[kept:], None if weights is None else weights[kept:]),
        )


def host_array(x: Any, name: str) -> HostArray:
    """`x`, of whatever library, as a NumPy array of numbers; one on a GPU is refused with advice.

    Raises
    ------
    DataError
        If it lies on a GPU, has no form in NumPy (its rows differ in length, …), or holds no numbers.
    """
    if foreign.on_gpu(x):
        raise DataError(f"{name} lies on a GPU, but host data is taken here: {name} = cupy.asnumpy({name})")
    array = foreign.as_numpy(x, name)
    if array.dtype.kind == "O" and all(isinstance(value, REAL) for value in array.flat):
        array = array.astype(np.float64)  # columns of a data frame that have no common type
    if name == "y" and (array.dtype.kind in "UT" or (array.size and isinstance(array.flat[0], str))):
        raise DataError("y holds text: number the classes: names, y = np.unique(y, return_inverse=True)")
    if array.dtype.kind not in "fiub":
        cast = ": cast it to float32" if "float" in array.dtype.name else ""
        raise DataError(f"{name} must hold numbers, not {array.dtype}{cast}")
    return array


def check_rows(x: Any, name: str, dtype: Any) -> HostArray | Rows:
    """`x` on the host as finite numbers of shape (rows, …), in `dtype`; bytes and large files stay so.

    With `dtype` None integers stay as they are, and nothing else is taken.

    Raises
    ------
    DataError
        If it is empty, of another shape, not numeric or not finite; the text says what and where.
    """
    if not isinstance(x, Rows):
        x = _kept(x) or host_array(x, name)
    if x.ndim == 1:
        raise DataError(f"{name} of shape {x.shape} must have two dimensions: {name}.reshape(-1, 1)?")
    if x.ndim == 0 or 0 in x.shape:
        raise DataError(f"{name} must have shape (rows, features), neither of them 0, not {x.shape}")
    if dtype is None:
        return _integers(x, name)
    if isinstance(x, Rows):
        return _settled(x.astype(dtype), name)
    nbytes = 0 if x.dtype == dtype and x.flags.c_contiguous else x.size * np.dtype(dtype).itemsize
    what, remedy = f"{name} of shape {x.shape} in {np.dtype(dtype)}", "map it from files (datasets.open_rows)"
    with (
        reserve(nbytes, what, remedy),
        np.errstate(over="ignore"),
    ):  # what does not fit in dtype becomes infinite
        rows: HostArray = np.ascontiguousarray(x, dtype=dtype)
    check_finite(rows, name)
    return rows


def _integers(x: HostArray | Rows, name: str) -> HostArray | Rows:
    """Rows of integers, in the type in which they are given."""
    if x.dtype.kind not in "iu":
        raise DataError(f"{name} must hold integers for this network, not {x.dtype}: {name}.astype(int)?")
    return x if isinstance(x, Rows) else np.ascontiguousarray(x, x.dtype.newbyteorder("="))


def _kept(x: Any) -> Rows | None:
    """An array that stays as it is stored: bytes, or what is mapped from a large file."""
    if not isinstance(x, np.ndarray) or x.ndim < 2 or not x.flags.c_contiguous:
        return None
    large = isinstance(x, np.memmap) and x.nbytes > READ_WHOLE and x.dtype.kind in "fiu"
    return Rows(x) if large or x.dtype == np.uint8 else None


def _settled(rows: Rows, name: str) -> HostArray | Rows:
    """Bytes and large files as they are; what else there is in memory, in its type, and finite."""
    if rows.mapped:
        if sum(part.nbytes for part in rows.parts) > READ_WHOLE:
            return rows
        rows = rows.loaded()
    if rows.kept == np.uint8:
        return rows
    arrays = [np.ascontiguousarray(rows.values(part)) for part in rows.parts]
    before = 0
    for array in arrays:
        check_finite(array, name, range(before, before + len(array)))
        before += len(array)
    return arrays[0] if len(arrays) == 1 else Rows(arrays)


def _read(column: HostArray | Rows, part: slice, name: str) -> HostArray:
    values = np.asarray(column[part])
    if isinstance(column, Rows) and column.mapped:
        check_finite(values, name, range(part.start, part.stop))
    return values


def check_finite(x: HostArray, name: str, numbers: Any = None) -> None:
    """Refuse NaN and infinity in rows of these numbers (from 0 where none are given).

    Raises
    ------
    DataError
        If there is one; the text names the first row.
    """
    for start in range(0, len(x), CHECKED):
        finite = np.isfinite(x[start : start + CHECKED])
        if not finite.all():
            row = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            number = row if numbers is None else int(numbers[row])
            wide = np.isinf(x[row]).any() and x.dtype == np.float32
            more = ": in float32, numbers beyond 3.4e38 are infinite" if wide else ""
            raise DataError(f"{name} has a value that is NaN or infinite, first in row {number}{more}")


def check_samples(network: Any, loss: Loss, x: Any, y: Any, weights: Any = None) -> Samples:
    """Inputs, targets and weights that fit each other, the network and the loss.

    Raises
    ------
    DataError
        If they do not; the text names the shapes, the row or the range.
    """
    same = y is x
    rows = check_rows(x, "x", None if network.takes_integers else network.dtype)
    if rows.ndim != 2 and network.input_shape is not None and len(network.input_shape) == 1:
        raise DataError(
            f"x must have shape (rows, features) for this network, not {rows.shape}: for rows of several "
            "axes leave the width of its first layer out (Dense(units)), or begin with nnx.Flatten()"
        )
    network.build(rows.shape[1:])
    outputs: tuple[int, ...] = network.output_shape
    if same:
        y = rows
    else:
        if not isinstance(y, Rows) or y.ndim == 1:
            y = _kept(y) or host_array(y, "y")
        if len(y.shape) == 0 or len(y) != len(rows):
            raise DataError(f"x of shape {rows.shape} and y of shape {y.shape} must have as many rows")
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
            raise DataError(f"sample_weight of shape {weights.shape} does not fit {len(rows)} rows")
        weights = np.asarray(check_rows(weights.reshape(-1, 1), "sample_weight", network.dtype))
        weights = weights.reshape(-1)
        refuse_unusable(weights)
    return Samples(rows, y, weights)


def _check_output(network: Any, loss: Loss, x: HostArray | Rows) -> None:
    """See that a network gives what a cross-entropy takes: probabilities, or logits.

    Probabilities come from a final `Softmax` or `Sigmoid`, which may be followed by `Identity` and `Dropout`.
    What a layer of the user's own gives is seen in its values on the first rows.

    Raises
    ------
    ConfigurationError
        If the last layer does not fit the loss; the text names the missing one.
    DataError
        If a layer of the user's own gives values out of [0, 1].
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
            f"{name}(from_logits=True) applies the {loss.activation} itself, but the network ends in "
            f"{last!r}: leave that layer out{other}"
        )
    if network.outputs == 1 and "softmax" in (loss.activation, final):
        raise ConfigurationError(
            f"{name} on one output of a softmax, which is always 1: end the network in nnx.Dense(1), "
            "nnx.Sigmoid() and use nnx.BinaryCrossEntropy(), or give one output for each class"
        )
    if not loss.takes_probabilities or final == loss.activation or final == "softmax":
        return
    if final:
        raise ConfigurationError(
            f"{name} takes probabilities of classes, which sum to 1, but the network ends in {last!r}: put "
            f"nnx.{needed}() in place of that layer, or use nnx.BinaryCrossEntropy() for labels that come "
            "together"
        )
    if type(last).__module__.startswith("nnx.") or last.fused_kind:
        raise ConfigurationError(
            f"{name} takes probabilities, but the network ends in {last!r}: add nnx.{needed}() as its last "
            f"layer, or use nnx.{name}(from_logits=True)"
        )
    first = network.predict(x[:FIRST])
    loss.check_predictions(network.backend, network.backend.asarray(first))


def _last(layers: Sequence[Layer], left_out: tuple[type, ...]) -> Layer:
    """The last layer that changes values, in a `Sequential` too."""
    last = next((one for one in reversed(layers) if not isinstance(one, left_out)), layers[-1])
    return _last(last.branches[0], left_out) if isinstance(last, Sequential) else last


def _checked_targets(loss: Loss, y: HostArray | Rows, features: int | tuple[int, ...]) -> HostArray | Rows:
    """Targets that fit the loss; what rounding put outside of [0, 1] is put back.

    All of them are checked; of what lies in files the first rows, for their shape.
    """
    if isinstance(y, Rows):
        for start in range(0, 1 if y.mapped else len(y), CHECKED):
            loss.check_targets(np.asarray(y[start : start + (1 if y.mapped else CHECKED)]), features)
        return y
    loss.check_targets(y, features)
    outside = loss.bounded and y.dtype.kind == "f" and (y.min() < 0.0 or y.max() > 1.0)
    return np.clip(y, 0.0, 1.0) if outside else y
