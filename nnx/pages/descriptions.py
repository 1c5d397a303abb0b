"""Networks as the pages' engine describes them, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnx import initializers, losses, optimizers
from nnx.errors import ConfigurationError, nearest
from nnx.layers.base import Layer
from nnx.losses import Loss
from nnx.network import Network
from nnx.optimizers import Optimizer
from nnx.records import record_of

# What the engine can compute, by nnx's names; tests compare them with the engine itself.
LAYERS = frozenset((
    *("Dense", "Dropout", "MaskNoise", "GaussianNoise", "BatchNorm", "LayerNorm", "Identity", "ReLU"),
    *("LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Tanh", "Sigmoid", "HardSigmoid"),
    *("Softplus", "Exp", "Softmax", "PReLU"),
))  # fmt: skip
LOSSES = frozenset((
    *("mean_squared_error", "mean_absolute_error", "huber", "binary_cross_entropy"),
    *("categorical_cross_entropy", "poisson", "hinge", "squared_hinge"),
))  # fmt: skip
OPTIMIZERS = frozenset(("sgd", "adam", "adamw", "rmsprop", "adagrad"))
INITIALIZERS = frozenset((
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"),
    *("uniform", "zeros"),
))  # fmt: skip
EXACT = 2**53  # JavaScript's numbers hold whole numbers below it exactly


def describe(
    network: Network,
    loss: Loss | str | dict[str, Any] | None = None,
    optimizer: Optimizer | str | dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a network as ``nnxEngine.network`` takes it: values that JSON can hold.

    Weights are included, and the state of a training: the number of steps, which decides the masks of
    dropout, and the optimizer's moments.

    Parameters
    ----------
    network : Network
        A network that is built, of layers of nnx that take rows of features.
    loss : Loss, str or dict, optional
        As for `Network.fit`.
    optimizer : Optimizer, str or dict, optional
        As for `Network.fit`. An optimizer object that trained the network continues with its moments.

    Raises
    ------
    ConfigurationError
        If the network is not built, or the engine does not have a layer, the loss or the optimizer.
    """
    if len(network.input_shape or ()) > 1:
        raise ConfigurationError(f"a page takes rows of features, not rows of shape {network.input_shape}")
    weights = {name: value.ravel().tolist() for name, value in network.weights().items()}
    described: dict[str, Any] = {
        "inputs": network.inputs,
        "seed": _exact(network.seed),
        "fuse": network.fuse,
        "layers": [_entry(layer) for layer in network.layers],
        "weights": weights,
        "state": {"steps": network.arena.step},
    }
    if loss is not None:
        described["loss"] = _named("loss", losses.get(loss), LOSSES)
    if optimizer is not None:
        made = optimizers.get(optimizer)
        described["optimizer"] = _optimizer(made)
        described["state"] |= _moments(network, made)
    return described


def build(description: dict[str, Any]) -> Network:
    """Return the network of a description, in float64, with its weights if it has any.

    The loss and the optimizer are ``nnx.losses.get(description["loss"])`` and
    ``nnx.optimizers.get(description["optimizer"])``.

    Raises
    ------
    ConfigurationError
        If a layer or one of its settings is invalid.
    """
    network = Network(
        [_layer(dict(entry)) for entry in description["layers"]], precision="float64",
        seed=int(description.get("seed", 0)), fuse=description.get("fuse", True),
    ).build(description["inputs"])  # fmt: skip
    if "weights" in description:
        shapes = {name: value.shape for name, value in network.weights().items()}
        given = description["weights"]
        network.set_weights({name: _shaped(given[name], shapes.get(name)) for name in given})
    network.arena.step = description.get("state", {}).get("steps", 0)
    return network


def _entry(layer: Layer) -> dict[str, Any]:
    """Return a layer with its settings, as the engine knows them."""
    kind = type(layer).__name__
    if kind not in LAYERS or type(layer) is not Layer.registry[kind]:
        raise ConfigurationError(f"the pages' engine has no layer {kind}: it has {', '.join(sorted(LAYERS))}")
    settings = layer.config()
    settings.pop("inputs", None)
    if settings.pop("sparse", False):
        raise ConfigurationError(f"{layer!r}: a page takes dense rows: use sparse=False")
    chosen = settings.pop("initializer", "glorot_uniform")
    if chosen == initializers.describe(initializers.Uniform()):
        chosen = "uniform"
    if (
        kind == "Dense" and isinstance(chosen, str) and chosen in INITIALIZERS
    ):  # with another, the page cannot draw the weights again
        settings["initializer"] = chosen
    if "seed" in settings:
        settings["seed"] = _exact(settings["seed"])
    return {"kind": kind, **settings, "trainable": layer.trainable}


def _exact(seed: int) -> int | str:
    """Return a seed as JSON in a browser can hold it: its digits as a text, if a number would lose some."""
    return seed if seed < EXACT else str(seed)


def _named(what: str, made: Any, offered: frozenset[str]) -> dict[str, Any]:
    """Return a loss or an optimizer as its name with its settings."""
    record = record_of(type(made))
    name = record.names[0] if record else type(made).__name__
    if name not in offered:
        raise ConfigurationError(
            f"the pages' engine has no {what} {name!r}: it has {', '.join(sorted(offered))}"
        )
    return {"name": name, **made.config()}


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer with its settings."""
    described = _named("optimizer", optimizer, OPTIMIZERS)
    if described.pop("groups", None) or not isinstance(described["learning_rate"], float):
        raise ConfigurationError(
            f"{optimizer!r}: a page takes one learning rate for all steps and parameters, without a schedule "
            "and without groups"
        )
    return described


def _moments(network: Network, optimizer: Optimizer) -> dict[str, Any]:
    """Return the moments that an optimizer has for a network, in the order of the parameters."""
    kept = network.arena.states.get(optimizer)
    if kept is None:
        return {}
    arena, to_numpy = network.arena, network.arena.backend.to_numpy
    spans = [(arena.place(value), value.size) for _, value, _ in network.parameters()]
    slots = {
        name: [number for begin, size in spans for number in to_numpy(slot[begin : begin + size]).tolist()]
        for name, slot in kept.slots.items()
    }
    return {"optimizerSteps": kept.step, "slots": slots}


def _layer(entry: dict[str, Any]) -> Layer:
    """Return the layer of a description."""
    kind, trainable = entry.pop("kind"), entry.pop("trainable", True)
    if kind not in LAYERS:
        raise ConfigurationError(f"a page has no layer {kind!r}{nearest(str(kind), LAYERS)}")
    if "seed" in entry:
        entry["seed"] = int(entry["seed"])
    try:
        layer = Layer.registry[kind](**entry)
    except TypeError as error:
        raise ConfigurationError(f"layer {kind} of a page: {error}") from error
    layer.trainable = trainable
    return layer


def _shaped(numbers: Any, shape: tuple[int, ...] | None) -> Any:
    """Return numbers in a parameter's shape; `set_weights` explains it if they do not fit."""
    values = np.asarray(numbers, np.float64)
    return values.reshape(shape) if shape is not None and values.size == math.prod(shape) else values
