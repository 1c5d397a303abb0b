"""What lies between the user's files and a network: scaling, and the meaning of its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnx.datasets.labelled import TASKS, Layout
from nnx.errors import DataError, FileFormatError
from nnx.experiments.result import HostArray
from nnx.network import Network
from nnx.rows import Rows
from nnx.samples import READ_WHOLE, check_finite

SCALES = ("auto", "standard", "minmax", "none")
BYTES = 255.0
EPSILON = float(np.finfo(np.float64).eps)
MAX_SCALED = 200_000  # features that may have a scale each: it is kept in the model's header
_BLOCK = 2**18  # numbers that are looked at together: they stay in a processor's cache


@dataclass(frozen=True, eq=False)
class Scaling:
    """z = (x − shift) / scale, column by column.

    Attributes
    ----------
    shift, scale : array of shape (columns,), or (1,) where all have the same
        float64, finite; scale is positive.
    """

    shift: HostArray
    scale: HostArray

    @classmethod
    def fitted(cls, kind: str, x: HostArray, rows: HostArray | None = None) -> Scaling:
        """The scaling of a kind in `SCALES` for some rows of x, which are read block by block.

        ``standard``: mean 0 and standard deviation 1; ``minmax``: [0, 1]; a column that is constant is only
        shifted. ``auto``: bytes, 0 to 255, by 255; else standard. ``none``: bytes by 255, else as they are.

        Raises
        ------
        DataError
            If a value is not finite, or the columns are too many to keep a scale for each.
        """
        whole = x.dtype == np.uint8
        if kind == "none" or (kind == "auto" and whole):
            return cls(np.zeros(1), np.full(1, BYTES if whole else 1.0))
        if x.shape[1] > MAX_SCALED:
            raise DataError(
                f"{x.shape[1]:,} features are more than the {MAX_SCALED:,} that can have a scale each: "
                "choose scale none"
            )
        shift, scale = (_range if kind == "minmax" else _moments)(x, rows)
        if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
            column = int(np.argmin(np.isfinite(shift) & np.isfinite(scale)))
            raise DataError(f"column {column} (from 0) holds values that are not finite, or too large")
        return cls(shift, np.where(scale > 0.0, scale, 1.0))

    def apply(self, x: HostArray, dtype: Any) -> HostArray:
        """z of `dtype`; computed in float64, block by block."""
        z = np.empty(x.shape, dtype)
        for part in parts(len(x), x.shape[1]):
            with np.errstate(over="ignore"):  # what becomes infinite is named where it is trained on
                exact = x[part].astype(np.float64)
                exact -= self.shift
                exact /= self.scale
                z[part] = exact
        return z

    def rows(self, x: HostArray, rows: HostArray, dtype: Any) -> HostArray | Rows:
        """z of some rows: bytes stay bytes, a large file stays where it is, other numbers are computed."""
        if isinstance(x, np.memmap) and x.nbytes > READ_WHOLE:
            return ScaledRows(x, rows, self, dtype)
        if x.dtype == np.uint8 and self.scale.size == 1 and not self.shift.any():
            return Rows(x[rows], divisor=float(self.scale[0]))
        return self.apply(x[rows], dtype)

    def undo(self, z: HostArray) -> HostArray:
        """x, of z's type."""
        x: HostArray = (np.asarray(z, np.float64) * self.scale + self.shift).astype(z.dtype)
        return x


class ScaledRows(Rows):
    """Some rows of a mapped array, scaled as they are read: of data that may be larger than memory.

    Parameters
    ----------
    x : memmap of shape (rows, features)
    numbers : array of int
        Which rows, in order.
    scaling : Scaling
    dtype : numpy.dtype
    """

    def __init__(self, x: HostArray, numbers: HostArray, scaling: Scaling, dtype: Any) -> None:
        super().__init__(x)
        self.numbers, self.scaling, self.dtype = numbers, scaling, np.dtype(dtype)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def blocks(self) -> tuple[int, ...]:
        """All rows: a shuffle mixes them."""
        return (len(self),)

    @property
    def kept(self) -> np.dtype[Any]:
        """The type of the scaled values."""
        return self.dtype

    def astype(self, dtype: Any) -> Rows:
        """The same rows, whose values are of another type."""
        return ScaledRows(self.parts[0], self.numbers, self.scaling, dtype)

    def __getitem__(self, index: Any) -> Any:
        """As for `Rows`."""
        if isinstance(index, slice):
            return ScaledRows(self.parts[0], self.numbers[index], self.scaling, self.dtype)
        return self.values(self.read(self._numbers(index)))

    def read(self, indices: HostArray, out: HostArray | None = None) -> HostArray:
        """See `Rows.read`."""
        return super().read(self.numbers[indices], out)

    def bring(self, indices: HostArray, out: HostArray) -> HostArray:
        """See `Rows.bring`."""
        out[...] = self.values(self.read(indices))
        return out

    def values(self, stored: HostArray) -> HostArray:
        """The scaled values."""
        return self.scaling.apply(stored, self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        array: HostArray = np.array(self[np.arange(len(self))], dtype, copy=copy)
        return array

    def made_of(self) -> list[HostArray]:
        """See `Rows.made_of`."""
        return [*self.parts, self.numbers, self.scaling.shift, self.scaling.scale]


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows of the user's files become a network's inputs, and its outputs their answers.

    Attributes
    ----------
    task : str
    layout : Layout
    inputs : Scaling
    outputs : Scaling or None
        Of the targets of a regression.
    classes, targets : tuple of str
        Names of the outputs.
    """

    task: str
    layout: Layout
    inputs: Scaling
    outputs: Scaling | None = None
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def predict(self, network: Network, x: HostArray, rows: HostArray | None = None) -> HostArray:
        """What a network (or a part of it, as an encoder) makes of rows of x, read block by block.

        Of the whole network it is in the units of the targets; codes and probabilities stay what they are.

        Raises
        ------
        DataError
            If a value is not finite, or the rows do not fit the network.
        """
        count = len(x) if rows is None else len(rows)
        result = np.empty((count, network.outputs), network.dtype)
        for part in parts(count, x.shape[1]):
            block = x[part] if rows is None else x[rows[part]]
            z = self.inputs.apply(block, network.dtype)
            check_finite(z, "the data", range(part.start, part.stop))
            result[part] = network.predict(z)
        scaling = self.inputs if self.task == "autoencoding" else self.outputs
        if scaling is None or (self.task == "autoencoding" and network.code is None):
            return result
        return scaling.undo(result)

    def within(self, network: Network) -> Network:
        """A copy of the network that scales by itself, its scaling being frozen layers at its ends.

        For programs that read the network from a file and know nothing of this: raw rows go in. The layers
        are `BatchNorm`, whose (x − μ) γ + β it is with σ = 1. They compute in the network's type, `predict`
        in float64.
        """
        last = self.inputs if self.task == "autoencoding" else self.outputs
        config = network.config()
        frozen = {"kind": "BatchNorm", "config": {"epsilon": 0.5}, "trainable": False}
        config["layers"] = [frozen, *config["layers"], *([] if last is None else [frozen])]
        config["code"] = None if network.code is None else network.code + 1
        whole = Network.from_config(config, device=network.backend)
        middle = whole[1 : 1 + len(network)]
        middle.set_weights(dict(zip(middle.weights(), network.weights().values(), strict=True)))
        _set(whole[:1], mean=self.inputs.shift, gamma=1.0 / self.inputs.scale, beta=np.zeros(1))
        if last is not None:
            _set(whole[-1:], mean=np.zeros(1), gamma=last.scale, beta=last.shift)
        return whole

    def names(self, outputs: int) -> list[str] | None:
        """The names of so many outputs; None where they have none, as codes."""
        if self.task == "autoencoding":
            known: tuple[str, ...] = self.layout.columns or ()
        else:
            known = self.classes or self.targets
        return list(known) if len(known) == outputs else None

    def to_metadata(self) -> dict[str, Any]:
        """What a model file keeps of it."""

        def kept(scaling: Scaling | None) -> Any:
            return scaling and {"shift": scaling.shift.tolist(), "scale": scaling.scale.tolist()}

        return {
            "task": self.task,
            "layout": asdict(self.layout),
            "inputs": kept(self.inputs),
            "outputs": kept(self.outputs),
            "classes": list(self.classes),
            "targets": list(self.targets),
        }

    @classmethod
    def of_model(cls, path: Path, metadata: dict[str, Any], network: Network) -> Preparation | None:
        """What a model file says of its data; None for a model that ``nnx train`` did not write.

        Raises
        ------
        FileFormatError
            As for `from_metadata`; the text names the file.
        """
        kept = metadata.get("preparation")
        try:
            return None if kept is None else cls.from_metadata(kept, network.outputs)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def from_metadata(cls, kept: Any, outputs: int) -> Preparation:
        """Read back what `to_metadata` gave, for a network of so many outputs; nothing of it is believed.

        Raises
        ------
        FileFormatError
            If it is not what a preparation is, or does not fit the network.
        """
        try:
            layout = _layout(kept["layout"])
            made = cls(
                task=_one_of(kept["task"], TASKS),
                layout=layout,
                inputs=_scaling(kept["inputs"], layout.features),
                outputs=None if kept["outputs"] is None else _scaling(kept["outputs"], outputs),
                classes=_texts(kept["classes"], outputs),
                targets=_texts(kept["targets"], outputs),
            )
            if made.task == "classification" and not made.classes:
                raise ValueError("classes without names")
            if made.task == "autoencoding" and outputs != layout.features:
                raise ValueError(f"{outputs} outputs for {layout.features} features")
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FileFormatError(f"what the model says of its data is damaged ({error!r:.200})") from error
        return made


def _set(norm: Network, *, mean: HostArray, gamma: HostArray, beta: HostArray) -> None:
    """The values of a `BatchNorm` whose ε is ½, so that σ = 1."""
    half = np.full(1, 0.5)
    values = {"gamma": gamma, "beta": beta, "running_mean": mean, "running_variance": half}
    norm.set_weights(
        {name: np.broadcast_to(values[name.partition(".")[2]], v.shape) for name, v in norm.weights().items()}
    )


def parts(rows: int, columns: int) -> Iterator[slice]:
    """So many rows, in parts of no more numbers than are looked at together."""
    step = max(1, _BLOCK // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _blocks(x: HostArray, rows: HostArray | None) -> Iterator[HostArray]:
    for part in parts(len(x) if rows is None else len(rows), x.shape[1]):
        yield np.asarray(x[part] if rows is None else x[rows[part]], np.float64)


def _moments(x: HostArray, rows: HostArray | None) -> tuple[HostArray, HostArray]:
    """Mean and standard deviation, merged block by block (Chan, Golub and LeVeque, 1979, eq. 2.1)."""
    count, mean, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):
        for block in _blocks(x, rows):
            new = len(block)
            its_mean = block.mean(axis=0)
            apart = its_mean - mean
            squares += np.square(block - its_mean).sum(axis=0) + apart**2 * (count * new / (count + new))
            mean += apart * (new / (count + new))
            count += new
        variance = squares / count
        # what rounding alone makes of a column that is constant (the bound of scikit-learn's StandardScaler)
        rounding = count * EPSILON * variance + (count * EPSILON * mean) ** 2
        constant = np.isfinite(variance) & (variance <= rounding)
        return mean, np.where(constant, 0.0, np.sqrt(variance))


def _range(x: HostArray, rows: HostArray | None) -> tuple[HostArray, HostArray]:
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        for block in _blocks(x, rows):
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
        return low, high - low


# ----------------------------------------------------------------------------- what a file says of itself


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"task {value!r:.40}")
    return str(value)


def _texts(value: Any, count: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) not in (0, count):
        raise ValueError("as many names as outputs are expected")
    if not all(isinstance(name, str) for name in value):
        raise TypeError("a name that is no text")
    return tuple(value)


def _scaling(value: Any, columns: int) -> Scaling:
    shift, scale = (np.array(value[name], np.float64) for name in ("shift", "scale"))
    for array in (shift, scale):
        if array.shape not in ((1,), (columns,)) or not np.isfinite(array).all():
            raise ValueError("a scaling that does not fit")
    if not (scale > 0.0).all():
        raise ValueError("a scale that is not positive")
    return Scaling(shift, scale)


def _layout(value: Any) -> Layout:
    def whole(number: Any, low: int = 0) -> int:
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number < 2**40:
            raise ValueError(f"a number expected, not {number!r:.40}")
        return number

    features = whole(value["features"], 1)
    columns, chosen, image = value["columns"], value["chosen"], value["image"]
    layout = Layout(
        features,
        None if columns is None else _texts(columns, features),
        None if chosen is None else tuple(whole(place) for place in chosen),
        None if value["width"] is None else whole(value["width"], 1),
        None if image is None else (whole(image[0], 1), whole(image[1], 1), whole(image[2], 1)),
        value["scaled_bytes"] is True,
    )
    if layout.image is not None and (math.prod(layout.image) != features or layout.image[2] not in (1, 3)):
        raise ValueError("an image of another size")
    if layout.chosen is not None and not (
        len(layout.chosen) == features and max(layout.chosen) < (layout.width or 0)
    ):
        raise ValueError("columns that the table has not")
    return layout
