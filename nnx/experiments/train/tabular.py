"""The preset ``tabular`` of ``nnx train``: the network of the estimators for tables, and its training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError
from nnx.experiments.train.config import LOSSES, Config, defaults
from nnx.experiments.train.layout import Labelled
from nnx.layers.activations import make as activation
from nnx.network import Network
from nnx.optimizers import Optimizer

ALLOWED = ("auto", "cross_entropy", "mse", "mae", "huber")
CHOSEN = (
    *("layers", "optimizer", "schedule", "momentum", "clip_norm", "group", "scale", "categories"),
    *("image_size", "find_lr"),
)


def is_chosen(config: Config) -> bool:
    """Return whether a configuration has this preset."""
    return config.preset == "tabular"


def check(config: Config) -> None:
    """Refuse options that do not fit the preset, or fit only the preset.

    Raises
    ------
    ConfigurationError
        If there are any.
    """
    if not is_chosen(config):
        if config.kinds:
            raise ConfigurationError("--kinds is for --preset tabular: add that, or leave it out")
        return
    usual = defaults()
    for name in CHOSEN:
        if getattr(config, name) != usual[name]:
            option = "--" + name.replace("_", "-")
            raise ConfigurationError(f"--preset tabular does not take {option}: leave it out, or --preset")
    if config.missing not in ("error", "drop"):
        raise ConfigurationError(
            f"--preset tabular learns from empty cells itself: leave out --missing {config.missing}, or drop "
            "the rows by --missing drop"
        )
    if config.loss not in ALLOWED:
        raise ConfigurationError(
            f"--preset tabular does not take the loss {config.loss}: choose {', '.join(ALLOWED)}"
        )


def recipe_settings() -> dict[str, Any]:
    """Return the parameters of the estimators for tables at their defaults."""
    from nnx.estimators.tabular_base import TabularEstimator  # which needs scikit-learn

    found: dict[str, Any] = TabularEstimator().get_params()
    return found


def layers() -> tuple[str, ...]:
    """Return the hidden layers in words, for the result."""
    how = recipe_settings()
    dropout = [f"dropout {how['dropout']:g}"] if how["dropout"] else []
    each = ((f"{width} {how['activation']}", *dropout) for width in how["hidden_layer_sizes"])
    return tuple(text for texts in each for text in texts)


def learnt(data: Labelled, train: HostArray) -> Labelled:
    """See `nnx.experiments.train.from_columns.learnt_columns`."""
    from nnx.experiments.train.from_columns import learnt_columns  # which needs scikit-learn

    return learnt_columns(data, train)


def settled(config: Config, rows: int) -> Config:
    """Return the configuration with the number of epochs that fits the rows to train on."""
    if not is_chosen(config) or config.epochs:
        return config
    from nnx.estimators.tabular_recipe import epochs_for  # which needs scikit-learn

    return replace(config, epochs=epochs_for(rows, min(config.batch_size, rows)))


def build(config: Config, data: Labelled, train: HostArray, outputs: int, loss: str) -> Network:
    """Build the network: embeddings of numbers and categories, and a packed ensemble.

    Its output has the shape (rows, members, outputs).
    """
    from nnx.estimators import tabular_recipe as recipe
    from nnx.tables import TableEncoder

    encoder, how = TableEncoder.from_record(data.layout.table), recipe_settings()
    numbers = data.x[train, : len(encoder.number_names_)]
    last = LOSSES[loss].activation
    layers = [
        *recipe.embedding_layers(
            numbers, encoder.cardinalities_, how["numeric_embedding"], how["embedding_size"]
        ),
        *recipe.member_layers(
            how["hidden_layer_sizes"], outputs, [activation(last)] if last else [], members=how["members"],
            activation=how["activation"], dropout=how["dropout"], embedded=True,
        ),
    ]  # fmt: skip
    network = Network(layers, device=config.device, precision=config.precision, seed=config.seed)
    return network.build(data.layout.row_shape)


def make_optimizer(config: Config, network: Network, steps: int) -> Optimizer:
    """Make the optimizer of the recipe for this number of steps."""
    from nnx.estimators.tabular_recipe import optimizer_of

    how = recipe_settings()
    given = {name: getattr(config, name) for name in ("learning_rate", "weight_decay")}
    rate, decay = (how[name] if value is None else value for name, value in given.items())
    return optimizer_of(network, rate, decay, steps)


def targets(data: Labelled, y: Any) -> HostArray:
    """Return targets for each member: one column for each class, or scaled values."""
    from nnx.estimators.tabular_recipe import repeated

    rows = np.eye(len(data.classes), dtype=np.float32)[y] if data.task == "classification" else np.asarray(y)
    return repeated(rows, recipe_settings()["members"])


def accuracy(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """Return the share of rows whose class has the largest mean probability of the members."""
    right = y_true[:, 0].argmax(axis=1) == y_pred.mean(axis=1, dtype=np.float64).argmax(axis=1)
    return float(np.average(right, weights=sample_weight))
