"""One batch from the user's files: inputs as a network takes them, and targets for its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnx.datasets import load_xor
from nnx.errors import ConfigurationError, DataError
from nnx.experiments.result import HostArray
from nnx.experiments.train.applying import Model
from nnx.experiments.train.labelled import Labelled, Layout, load_labelled
from nnx.experiments.train.preparation import MEAN_AND_SPREAD, Preparation
from nnx.experiments.train.scaling import BYTES
from nnx.layers import Softmax
from nnx.losses import KINDS, GaussianNLL, Hinge, Loss, MeanSquaredError, Pinball
from nnx.network import Network
from nnx.readers.arrays import as_rows
from nnx.readers.form import Reading, find_form
from nnx.readers.opening import reading


def usual_loss(network: Network, prepared: Preparation | None = None) -> Loss:
    """Return the loss that fits a network: that of its last activation, or what its outputs were trained for.

    A network with several numbers for each target has the loss of its quantiles, or the Gaussian one. One
    whose largest output decides has the hinge loss. Others have the squared error.
    """
    if prepared is not None and prepared.several:
        levels = prepared.several
        return GaussianNLL() if levels == MEAN_AND_SPREAD else Pinball([float(level) for level in levels])
    if prepared is not None and prepared.decides:
        return Hinge()
    name = network.layers[-1].fused_kind
    for kind in KINDS:
        if name and kind.activation == name:
            return kind()
    return MeanSquaredError()


def of_model(
    model: Model, data: str | Path | None, target: Sequence[str], rows: int
) -> tuple[HostArray, HostArray]:
    """Return the first rows of a file and their targets, scaled as in training.

    Parameters
    ----------
    model : Model
    data : path or None
        None takes the four cases of XOR, for a network with two inputs and one output.
    target : sequence of str
        The columns of a table with the targets; without them, those of the training. If there are none, the
        targets are the inputs.
    rows : int
        How many rows to take.

    Raises
    ------
    ConfigurationError
        If there are no data, or data and network make no sense together.
    DataError
        If the data cannot be read, or do not fit the network.
    """
    network, prepared = model.network, model.prepared
    if data is None:
        if network.input_shape != (2,) or network.output_shape != (1,) or prepared is not None:
            raise ConfigurationError("name the rows to trace: --data FILE")
        cases = load_xor()
        return cases.x_train[:rows], cases.y_train[:rows]
    if prepared is not None and prepared.layout.table is not None:
        raise ConfigurationError(
            "a model of --preset tabular cannot be traced: its rows are encoded before they reach the network"
        )
    if prepared is None:
        found = load_labelled(data, _task(network, target, Path(data)), target)
        x = _plain(network, found, str(data))[:rows]
    else:
        given, _ = model.read(data)
        x = prepared.inputs.apply(np.asarray(given[:rows]), network.dtype)
        if prepared.task == "autoencoding":
            return x, x
        target = tuple(target) or prepared.targets
        others = _others(data, prepared.layout, target)
        # the inputs are known: gaps and texts in their columns are no errors here
        how = replace(model.how, missing="mean", categories="onehot")
        found = load_labelled(data, prepared.task, target, others, how=how)
        if found.y is not None and len(found.y) != len(given):
            raise DataError(f"{data}: rows without a target ({len(given) - len(found.y)}): remove them")
    if found.y is not None:
        return x, _targets(model, found, rows)
    if network.output_shape != network.input_shape:
        raise ConfigurationError(f"{data}: has no targets: name their column by --target")
    return x, x


def _task(network: Network, target: Sequence[str], data: Path) -> str:
    """Return what the targets of a network are that ``nnx train`` did not make."""
    if not target and data.suffix.lower() != ".npz":
        return "auto"
    return "classification" if isinstance(network.layers[-1], Softmax) else "regression"


def _others(data: str | Path, layout: Layout, target: Sequence[str]) -> list[str]:
    """Return the columns of a table with names that are neither features nor targets."""
    path = Path(data)
    if layout.columns is None or path.is_dir():
        return []
    with reading(path) as file:
        names = find_form(file, str(path), Reading()).head.columns or ()
    return [name for name in names if name not in (*layout.columns, *target)]


def _plain(network: Network, found: Labelled, name: str) -> HostArray:
    """Return rows as a network that ``nnx train`` did not make takes them: bytes are divided by 255."""
    x = np.asarray(found.x) if network.input_shape is None else as_rows(found.x, network.input_shape, name)
    if network.takes_integers:
        return x.astype(np.int64)
    return np.divide(x, BYTES, dtype=network.dtype) if x.dtype == np.uint8 else x.astype(network.dtype)


def _targets(model: Model, found: Labelled, rows: int) -> HostArray:
    """Return the targets of the first rows as the network's loss takes them."""
    network, prepared = model.network, model.prepared
    assert found.y is not None
    y: HostArray = found.y[:rows]
    if found.task != "classification":
        return y if prepared is None or prepared.outputs is None else prepared.outputs.apply(y, network.dtype)
    classes = prepared.classes if prepared is not None else ()
    if classes:
        unknown = sorted(set(found.classes) - set(classes))
        if unknown:
            raise DataError(f"{found.name}: class {unknown[0]!r} did not occur in training")
        y = np.array([classes.index(name) for name in found.classes])[y]
    return y if network.outputs > 1 else y.reshape(-1, 1).astype(network.dtype)
