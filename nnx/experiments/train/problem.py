"""The data of a training, split and scaled, with the loss and the weights of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx import initializers
from nnx.data.weights import balanced
from nnx.errors import ConfigurationError, DataError, nearest
from nnx.experiments.result import HostArray
from nnx.experiments.train import tabular
from nnx.experiments.train.config import Config
from nnx.experiments.train.features import learnt
from nnx.experiments.train.labelled import Labelled, Layout, load_labelled
from nnx.experiments.train.networks import chosen_loss, make_loss
from nnx.experiments.train.preparation import MEAN_AND_SPREAD, Preparation
from nnx.experiments.train.ranges import Range
from nnx.experiments.train.scaling import Scaling, outside
from nnx.losses import GaussianNLL, Loss, Pinball, Poisson
from nnx.losses.base import ROUNDING
from nnx.model_files import described


@dataclass(frozen=True)
class Side:
    """Some rows of the data, ready for the network.

    Attributes
    ----------
    rows : array of int
        Which rows.
    x, y : array or Rows
    weights : array or None
        How much each row counts in the loss.
    """

    rows: HostArray
    x: Any
    y: Any
    weights: HostArray | None


@dataclass(frozen=True)
class Problem:
    """The data, split and scaled, and the loss.

    Attributes
    ----------
    data : Labelled
    prepared : Preparation
    loss : str
    train, held_out : Side
    description : dict
        What the model's file says of its data.
    notes : list of str
    """

    data: Labelled
    prepared: Preparation
    loss: str
    train: Side
    held_out: Side
    description: dict[str, Any]
    notes: list[str]


def posed(config: Config) -> Problem:
    """Read the data, split it, and scale both sides by the rows to train on.

    Raises
    ------
    DataError
        If the data cannot be read, or do not fit the task.
    ConfigurationError
        If options and data make no sense together.
    """
    data = load_labelled(
        config.data, config.task, config.target, config.ignore, config.image_size, weights=config.weights,
        how=config.reading(), kinds=config.kinds if tabular.is_chosen(config) else None,
    )  # fmt: skip
    loss = chosen_loss(config, data.task, data.layout.image is not None)
    train, held_out = split(data, config.validation, config.seed)
    data = learnt(data, train) if data.frame is None else tabular.learnt(data, train)
    scale = config.scale if data.layout.table is None else "none"
    try:
        prepared = prepare(data, train, scale, make_loss(loss, config))
        trained_on = Range.of(data.x, train, _some(data.weights, train))
    except DataError as error:
        raise DataError(f"{data.name}: {error}") from None
    description = {"preparation": prepared.to_metadata()}
    if data.layout.table is None:  # the record of the columns has their ranges itself
        description |= {"range": trained_on.to_metadata()}
    described(description)  # refuses what a model file cannot store, before training
    factors = class_factors(config.class_weight, data, train)
    weights = [_weights(data, rows, factors) for rows in (train, held_out)]
    notes = list(data.notes)
    if data.task == "autoencoding" and config.task == "auto" and data.layout.chosen:
        notes.insert(0, _without_target(data.name, data.layout))
    clip = False
    if loss == "binary_cross_entropy":
        _refuse_outside(prepared.inputs, trained_on, config.scale)
        clip = _note_outside(data, prepared, held_out, notes)
    sides = [
        Side(rows, *_part(data, prepared, rows, config.dtype, clipped), counts)
        for rows, clipped, counts in zip((train, held_out), (False, clip), weights, strict=True)
    ]
    return Problem(data, prepared, loss, sides[0], sides[1], description, notes)


def _without_target(name: str, layout: Layout) -> str:
    """Return a note that no column of a table is a target; its example is the last column."""
    assert layout.chosen is not None
    column = layout.columns[-1] if layout.columns else ""
    return (
        f"{name}: no --target is given, so this is an autoencoder; to learn a column, name it, for example "
        f"--target {column if column.isidentifier() else layout.chosen[-1] + 1}"
    )


def split(data: Labelled, share: float, seed: int) -> tuple[HostArray, HostArray]:
    """Return the rows to train on and to hold out: given by the data, or drawn in each class.

    Rows of weight 0 are on neither side.

    Raises
    ------
    DataError
        If a side would be empty.
    """
    if data.held_out is not None:
        return np.setdiff1d(np.arange(len(data.x)), data.held_out), data.held_out
    rows = np.arange(len(data.x)) if data.weights is None else np.flatnonzero(data.weights)
    order = initializers.generator(seed, "validation").permutation(rows)
    if data.task == "classification":
        assert data.y is not None
        # mixed so that each part of the order has the same share of each class
        by_class = order[np.argsort(data.y[order], kind="stable")]
        counts = np.bincount(data.y[rows])
        place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        order = by_class[np.argsort(place, kind="stable")]
    kept = len(order) - round(len(order) * share)
    if not 0 < kept < len(order):
        raise DataError(
            f"{data.name}: of {len(order)} rows, validation={share:g} leaves none on one side: give more rows"
        )
    return np.sort(order[:kept]), np.sort(order[kept:])


def prepare(data: Labelled, train: HostArray, scale: str, loss: Loss) -> Preparation:
    """Fit the scaling of features, and of a regression's targets, on the rows to train on.

    Targets of a Poisson loss are counts, and stay as they are.

    Raises
    ------
    ConfigurationError
        If the network for columns of any kind cannot have the loss.
    """
    if loss.width > 1 and data.layout.table is not None:
        raise ConfigurationError(
            f"loss {loss!r} has {loss.width} outputs for each target, which the ensemble for columns of any "
            "kind cannot have: choose another loss, or give --layers"
        )
    values, weights = data.y if data.task == "regression" else None, _some(data.weights, train)
    targets = None
    if values is not None:
        how = "none" if isinstance(loss, Poisson) else "standard"
        targets = Scaling.fitted(how, values, train, weights, names=data.targets)
    return Preparation(
        task=data.task,
        layout=data.layout,
        inputs=Scaling.fitted(scale, data.x, train, weights, _are_pixels(data), data.layout.names()),
        outputs=targets,
        classes=data.classes,
        targets=data.targets,
        several=_several(loss),
        decides=loss.decides,
    )


def _several(loss: Loss) -> tuple[str, ...]:
    """Return the names of the numbers that a loss has for each target."""
    if isinstance(loss, GaussianNLL):
        return MEAN_AND_SPREAD
    return tuple(map(str, loss.quantiles)) if isinstance(loss, Pinball) and loss.width > 1 else ()


def _are_pixels(data: Labelled) -> bool:
    """Return whether x has pixels from 0 to 255: bytes, or images of 16 bits as floats."""
    return data.layout.scaled_bytes or data.layout.image is not None


def _part(data: Labelled, prepared: Preparation, rows: HostArray, dtype: str, clip: bool) -> tuple[Any, Any]:
    """Return inputs and targets of some rows; `clip` limits an autoencoder's targets to [0, 1]."""
    x = prepared.inputs.rows(data.x, rows, dtype)
    if data.y is None:
        return x, prepared.inputs.rows(data.x, rows, dtype, clip=True) if clip else x
    y = data.y[rows] if prepared.outputs is None else prepared.outputs.apply(data.y[rows], dtype)
    return x, y if data.layout.table is None else tabular.targets(data, y)


def _some(weights: HostArray | None, rows: HostArray) -> HostArray | None:
    return None if weights is None else weights[rows]


def class_factors(given: Sequence[str], data: Labelled, train: HostArray) -> HostArray | None:
    """Return the factor of each class in the loss; None if all count the same.

    ``balanced``: W / (classes · W_k), with W the weight of all rows to train on, and W_k that of the class's.

    Raises
    ------
    ConfigurationError
        If a text is neither ``balanced`` nor ``NAME=FACTOR``, names no class, or has a negative factor.
    """
    if not given:
        return None
    if data.task != "classification":
        raise ConfigurationError(f"class_weight is for classification, and this is {data.task}")
    assert data.y is not None
    classes, factors = data.classes, np.ones(len(data.classes))
    if tuple(given) == ("balanced",):
        counts = np.bincount(data.y[train], _some(data.weights, train), len(classes))
        return balanced(counts, len(classes))
    for text in given:
        name, equals, number = (part.strip() for part in text.rpartition("="))
        if not equals:
            raise ConfigurationError(f"class_weight: {text[:60]!r} is neither 'balanced' nor NAME=FACTOR")
        if name not in classes:
            raise ConfigurationError(f"class_weight: there is no class {name[:60]!r}{nearest(name, classes)}")
        try:
            factor = float(number)
        except ValueError:
            factor = -1.0
        if not 0.0 <= factor < np.inf:
            raise ConfigurationError(
                f"class_weight: the factor of {name[:60]!r} must be a number of at least 0, not {number[:40]}"
            )
        factors[classes.index(name)] = factor
    return factors


def _weights(data: Labelled, rows: HostArray, factors: HostArray | None) -> HostArray | None:
    """Return the weights of rows in the loss: their own, times the factors of their classes.

    The largest is 1: a loss is the same for weights all n times as large, but float32 ends at 1e38.

    Raises
    ------
    DataError
        If none of them counts.
    """
    weights = _some(data.weights, rows)
    if factors is not None and data.y is not None:
        weights = factors[data.y[rows]] * (1.0 if weights is None else weights)
    if weights is not None and not weights.any():
        raise DataError(
            f"{data.name}: all {len(rows):,} rows on one side of the split have the weight 0: give more rows "
            "a weight, or choose another share for validation or another seed"
        )
    return None if weights is None else weights / weights.max()


def _refuse_outside(scaling: Scaling, trained_on: Range, scale: str) -> None:
    """Refuse scaled data outside [0, 1], which the binary cross-entropy cannot take."""
    low, high = ((limit - scaling.shift) / scaling.scale for limit in (trained_on.low, trained_on.high))
    if low.min() < -ROUNDING or high.max() > 1.0 + ROUNDING:
        raise ConfigurationError(
            f"loss binary_cross_entropy needs data in [0, 1], and with scale {scale} it goes from "
            f"{low.min():.6g} to {high.max():.6g}: choose scale minmax, or another loss"
        )


def _note_outside(data: Labelled, prepared: Preparation, rows: HostArray, notes: list[str]) -> bool:
    """Return whether rows held out leave [0, 1], which the loss needs, and add a note if so."""
    count = outside(prepared.inputs, data.x, rows, ROUNDING)
    if count:
        notes.append(
            f"{count:,} of {len(rows):,} rows held out leave the range of those trained on, [0, 1] when "
            "scaled: the validation loss takes the nearest value in it, other metrics take them as they are"
        )
    return count > 0
