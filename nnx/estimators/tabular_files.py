"""Write a fitted estimator for tables to one file, and read it: network, columns, and what targets mean."""

from __future__ import annotations

import os
from typing import Any

import nnx
from nnx import model_files
from nnx.errors import FileFormatError
from nnx.tables import TableEncoder

VERSION = 1


def save(estimator: Any, path: str | os.PathLike[str], learnt: dict[str, Any]) -> None:
    """Write the network's file, with the other facts in its metadata."""
    names = getattr(estimator, "feature_names_in_", None)
    described = {
        "version": VERSION,
        "kind": type(estimator).__name__,
        "columns": estimator.encoder_.to_record(),
        "names": None if names is None else [str(name) for name in names],
        **learnt,
    }
    estimator.network_.save(path, {model_files.ESTIMATOR: described})


def load(kind: Any, path: str | os.PathLike[str], device: str | None) -> Any:
    """Return a fitted estimator of the class `kind`.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds another kind of model.
    """
    described = model_files.read_metadata(path).get(model_files.ESTIMATOR)
    if not isinstance(described, dict):
        raise FileFormatError(f"{path} holds a network, but not a {kind.__name__}: use nnx.load")
    if described.get("version") != VERSION:
        raise FileFormatError(
            f"{path}: its {model_files.ESTIMATOR} has version {described.get('version')!r:.20}, not {VERSION}"
        )
    if described.get("kind") != kind.__name__:
        found = str(described.get("kind"))[:40]
        raise FileFormatError(f"{path} holds a {found}, not a {kind.__name__}: use {found}.load")
    network = nnx.load(path, device=device)
    estimator = kind(device=device)
    try:
        estimator.encoder_ = TableEncoder.from_record(described["columns"])
        estimator.n_features_in_ = estimator.encoder_.n_features_in_
        _set_names(estimator, described["names"])
        estimator._set_learnt(described)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{path} is damaged: its description of a {kind.__name__}: {error}") from error
    columns = len(estimator.encoder_.number_names_) + len(estimator.encoder_.cardinalities_)
    if network.input_shape != (columns,):
        raise FileFormatError(
            f"{path} is damaged: its network takes rows of shape {network.input_shape}, but its columns give "
            f"{columns} numbers"
        )
    estimator.network_ = network
    return estimator


def _set_names(estimator: Any, names: Any) -> None:
    import numpy as np

    if names is not None:
        if len(names) != estimator.n_features_in_ or not all(isinstance(name, str) for name in names):
            raise ValueError("names of features that do not fit the columns")
        estimator.feature_names_in_ = np.array(names, dtype=object)
