"""The step between the user's files and a network: scaling, and the meaning of the outputs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.samples import check_finite
from nnx.errors import ConfigurationError, FileFormatError
from nnx.experiments.result import HostArray
from nnx.experiments.train.labelled import TASKS, Layout
from nnx.experiments.train.ranges import Watch
from nnx.experiments.train.scaling import Scaling, parts, width
from nnx.losses import GaussianNLL, Pinball
from nnx.model_files import ESTIMATOR
from nnx.network import Network

MEAN_AND_SPREAD = ("mean", "spread")


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows of the user's files become inputs of a network, and its outputs become results.

    Attributes
    ----------
    task : str
    layout : Layout
    inputs : Scaling
    outputs : Scaling or None
        Of the targets of a regression.
    classes, targets : tuple of str
        Names of the outputs.
    several : tuple of str
        Names of the numbers that a regression has for each target: the levels of quantiles, or
        `MEAN_AND_SPREAD`. Empty if there is one.
    decides : bool
        Whether a classification has decision values in place of probabilities.
    """

    task: str
    layout: Layout
    inputs: Scaling
    outputs: Scaling | None = None
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    decides: bool = False

    def predict(
        self,
        network: Network,
        x: HostArray,
        rows: HostArray | None = None,
        watch: Watch | None = None,
        whole: bool = False,
    ) -> HostArray:
        """Apply a network, or a part of it as an encoder, to rows of x, block by block.

        The inputs are scaled in float64. Outputs that were scaled for training are returned in the units of
        the data, in float64; codes and probabilities have the network's type. `watch` sees the rows before
        they are scaled. If there are several numbers for each target, the answer is the mean, or the quantile
        nearest to the median; with `whole` it has all of them, one after the other for each target, and
        standard deviations for the spread.

        Raises
        ------
        DataError
            If a value is not finite, or the rows do not fit the network.
        """
        count = len(x) if rows is None else len(rows)
        undone = self._undone_by(network)
        shape = network.output_shape if self.layout.table is None else network.output_shape[1:]
        if self.several and undone is not None:
            count_of_targets = math.prod(shape) // len(self.several)
            shape = (count_of_targets * (len(self.several) if whole else 1),)
        result = np.empty((count, *shape), network.dtype if undone is None else np.float64)
        for part in parts(count, width(x)):
            block = x[part] if rows is None else x[rows[part]]
            if watch is not None:
                watch.see(block)
            z = self.inputs.apply(block, network.dtype)
            check_finite(z, "the data", range(part.start, part.stop))
            y = network.predict(z)
            if self.layout.table is not None:  # (rows, members, outputs): the answer is the members' mean
                y = y.mean(axis=1, dtype=np.float64)
            if self.several and undone is not None:
                result[part] = self._of_targets(y, undone, whole)
            else:
                result[part] = y if undone is None else undone.undo(y)
        return result

    def _of_targets(self, y: HostArray, scaling: Scaling, whole: bool) -> HostArray:
        """Return all numbers of each target in the units of the data, or the one that predicts it."""
        y = np.asarray(y, np.float64).reshape(len(y), -1, len(self.several))
        if self.several == MEAN_AND_SPREAD:
            middle, spread = 0, GaussianNLL().spread(np, y) * scaling.scale
            found = np.stack([scaling.undo(y[:, :, 0]), spread], axis=2)
        else:
            middle = Pinball([float(level) for level in self.several]).middle()
            found = np.stack([scaling.undo(y[:, :, place]) for place in range(len(self.several))], axis=2)
        return found.reshape(len(y), -1) if whole else found[:, :, middle]

    def _undone_by(self, network: Network) -> Scaling | None:
        """Return the scaling of a network's outputs; None for an encoder, which has no `encoder_length`."""
        if self.task == "autoencoding":
            return None if network.encoder_length is None else self.inputs
        return self.outputs

    def names(self, outputs: int) -> list[str] | None:
        """Return the names of this many outputs; None if they have no names, such as codes."""
        # all classes together are one target
        known = self.layout.names() if self.task == "autoencoding" else self.classes or self.targets
        if self.several and outputs > len(known):
            known = tuple(f"{name} {one}" for name in known for one in self.several)
        return list(known) if len(known) == outputs else None

    def to_metadata(self) -> dict[str, Any]:
        """Return what a model file stores."""

        def kept(scaling: Scaling | None) -> Any:
            return scaling and {"shift": scaling.shift.tolist(), "scale": scaling.scale.tolist()}

        layout = asdict(self.layout)
        for name in ("shape", "table"):
            if layout[name] is None:  # as in version 0.1, which can then read the file
                del layout[name]
        more = {"several": list(self.several), "decides": self.decides}
        return {name: value for name, value in more.items() if value} | {
            "task": self.task,
            "layout": layout,
            "inputs": kept(self.inputs),
            "outputs": kept(self.outputs),
            "classes": list(self.classes),
            "targets": list(self.targets),
        }

    @classmethod
    def of_model(cls, path: Path, metadata: dict[str, Any], network: Network) -> Preparation | None:
        """Read the preparation from a model file; None for a model that ``nnx train`` did not write.

        Raises
        ------
        FileFormatError
            As for `from_metadata`; the text names the file.
        ConfigurationError
            If an estimator for tables wrote the file: only that estimator encodes its columns.
        """
        estimator = metadata.get(ESTIMATOR)
        if estimator is not None:
            kind = estimator.get("kind") if isinstance(estimator, dict) else None
            raise ConfigurationError(
                f"{path} was written by an estimator, whose columns only it can encode: "
                f"nnx.estimators.{str(kind)[:40]}.load(path).predict(X)"
            )
        kept = metadata.get("preparation")
        try:
            return (
                None if kept is None else cls.from_metadata(kept, network.input_shape, network.output_shape)
            )
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error

    @classmethod
    def from_metadata(cls, kept: Any, taken: tuple[int, ...] | None, given: tuple[int, ...]) -> Preparation:
        """Read back what `to_metadata` returned, and check all of it.

        Parameters
        ----------
        kept : object
        taken, given : tuple of int
            The shapes of a row that the network takes, and that it returns.

        Raises
        ------
        FileFormatError
            If it is not what a preparation is, or does not fit the network.
        """
        try:
            layout = _layout(kept["layout"])
            if layout.table is not None:  # of each member of the ensemble
                given = given[1:]
            several = tuple(str(name) for name in kept.get("several", ()))
            if several:
                if given[-1:] != (len(several),):
                    raise ValueError(f"outputs of shape {given} for {len(several)} numbers of each target")
                if several != MEAN_AND_SPREAD:
                    Pinball([float(name) for name in several])
                given = given[:-1] or (1,)
            outputs = math.prod(given)
            made = cls(
                task=_one_of(kept["task"], TASKS),
                layout=layout,
                inputs=_scaling(kept["inputs"], layout.row_shape),
                outputs=None if kept["outputs"] is None else _scaling(kept["outputs"], given),
                classes=_texts(kept["classes"], outputs),
                targets=_texts(kept["targets"], 1 if kept["classes"] else outputs),
                several=several,
                decides=kept.get("decides", False) is True,
            )
            if made.task == "classification" and not made.classes:
                raise ValueError("classes without names")
            if made.task == "autoencoding" and given != layout.row_shape:
                raise ValueError(f"outputs of shape {given} for rows of shape {layout.row_shape}")
            if taken != layout.row_shape:
                raise ValueError(f"rows of shape {layout.row_shape} for a network that takes {taken}")
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FileFormatError(f"what the model says of its data is damaged ({error!r:.200})") from error
        return made


# ----------------------------------------------------------------------------- read a description from a file


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


def _scaling(value: Any, row: tuple[int, ...]) -> Scaling:
    shift, scale = (np.array(value[name], np.float64) for name in ("shift", "scale"))
    for array in (shift, scale):
        if array.shape not in ((1,), row) or not np.isfinite(array).all():
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
    chosen, image = value["chosen"], value["image"]
    count = features if chosen is None else len(chosen)
    fills, categories, shape = value.get("fills"), value.get("categories"), value.get("shape")
    layout = Layout(
        features,
        None if value["columns"] is None else _texts(value["columns"], count),
        None if chosen is None else tuple(whole(place) for place in chosen),
        None if value["width"] is None else whole(value["width"], 1),
        None if image is None else (whole(image[0], 1), whole(image[1], 1), whole(image[2], 1)),
        value["scaled_bytes"] is True,
        None if fills is None else tuple(None if fill is None else _finite(fill) for fill in fills),
        None if categories is None else tuple(_texts(texts, len(texts)) for texts in categories),
        "black" if value.get("background") == "black" else "white",
        None if shape is None else tuple(whole(size, 1) for size in shape),
        value.get("table"),
    )
    if layout.table is not None:
        return _of_columns(layout)
    if layout.shape is not None and (math.prod(layout.shape) != features or len(layout.shape) < 2):
        raise ValueError("a shape of another size")
    if layout.image is not None and (math.prod(layout.image) != features or layout.image[2] not in (1, 3)):
        raise ValueError("an image of another size")
    for of_columns in (layout.fills, layout.categories):
        if of_columns is not None and len(of_columns) != count:
            raise ValueError("as many entries as columns are expected")
    numbers = sum(len(texts) or 1 for texts in layout.categories or ((),) * count)
    if layout.chosen is not None and not (numbers == features and max(layout.chosen) < (layout.width or 0)):
        raise ValueError("columns that the table has not")
    return layout


def _of_columns(layout: Layout) -> Layout:
    """Check the layout of a table with columns of any kind against its record."""
    from nnx.tables import TableEncoder  # which needs scikit-learn

    encoder = TableEncoder.from_record(layout.table)
    used = [info for info in encoder.columns_ if info.kind != "ignore"]
    if layout.chosen is None or len(used) != len(layout.chosen):
        raise ValueError("as many places as columns are expected")
    if layout.features != len(encoder.number_names_) + len(encoder.code_names_):
        raise ValueError("another number of features than the columns have")
    if max(layout.chosen) >= (layout.width or 0):
        raise ValueError("columns that the table has not")
    return layout


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"a number expected, not {value!r:.40}")
    return float(value)
