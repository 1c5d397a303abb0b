"""Make networks, losses and optimizers from a configuration."""

from __future__ import annotations

import inspect
from typing import Any

from nnx import optimizers
from nnx.errors import ConfigurationError
from nnx.experiments.train.config import LOSSES, Config
from nnx.experiments.train.layer_presets import layers_of
from nnx.layers import Conv2D, Dense, Layer, stack
from nnx.layers.activations import make as activation
from nnx.layers.assembly import assembled, needs_places, reversed_layers
from nnx.layers.shortcuts import shortcuts_of_decoder, with_shortcuts
from nnx.layers.words import activated, read_layers
from nnx.losses import Loss
from nnx.network import Network
from nnx.network.endings import last_layers
from nnx.optimizers import Optimizer
from nnx.schedules import TRAININGS


def build(config: Config, task: str, shape: tuple[int, ...], outputs: int, loss: str) -> Network:
    """Build the network for a task: the hidden layers, and the last layers for the task.

    Classification ends in a softmax over the classes, regression in a linear layer. Of an autoencoder the
    layers are the encoder, whose last width is the code; the decoder has its widths and activations in
    reverse order, and ends in a sigmoid if its loss is the binary cross-entropy.

    Rows of several axes are flattened first, or after the convolutions, unless the layers say where
    (``flatten``). An autoencoder returns rows of the same shape.

    Raises
    ------
    ConfigurationError
        If the layers do not fit the rows or the task.
    """
    coder = task == "autoencoding"
    words = activated(read_layers(layers_of(config, task, shape)), coder)
    placed = next(filter(needs_places, words), None)
    if placed and len(shape) == 1:
        raise ConfigurationError(
            f"layers: {placed.layer()!r} is for images and sequences, but a row of this data has the shape "
            f"{shape}: leave it out, or give an array of shape (rows, height, width, channels) or (rows, "
            "length, channels)"
        )
    if coder and not any(word.width for word in words):
        raise ConfigurationError("layers: an autoencoder needs a width, which is that of its code")
    hidden = assembled(words, shape)
    chosen = make_loss(loss, config)
    ending: list[Layer] = reversed_layers(words, shape) if coder else last_layers(chosen, outputs)
    if config.residual:
        hidden, ending = _residual(hidden, ending, shape, coder)
    coded = sum(len(layer.expand()) for layer in hidden)
    if coder and chosen.activation:
        ending.append(activation(chosen.activation))
    network = Network([*hidden, *ending], device=config.device, precision=config.precision, seed=config.seed)
    network.build(shape)
    network.encoder_length = coded if coder else None
    return network


def _residual(
    hidden: list[Layer], ending: list[Layer], shape: tuple[int, ...], coder: bool
) -> tuple[list[Layer], list[Layer]]:
    """Return the hidden layers as residual blocks; the code and the outputs are not in a block."""
    if not coder:
        return with_shortcuts(hidden, shape, "residual"), ending
    place = max(place for place, layer in enumerate(hidden) if isinstance(layer, Dense))
    code = hidden[place:]
    hidden = [*with_shortcuts(hidden[:place], shape, "residual"), *code]
    return hidden, shortcuts_of_decoder(ending, stack.connect(hidden, shape))


def channels_note(network: Network) -> list[str]:
    """Return a note if rows look like images with the channels first, but are read with the channels last."""
    first = next((layer for layer in network.layers if isinstance(layer, Conv2D)), None)
    shape = (first and first.input_shape) or ()
    if not (len(shape) == 3 == len(network.input_shape or ()) and shape[0] in (1, 3) and min(shape[1:]) > 4):
        return []
    return [
        f"rows of shape {shape} are read as images of height {shape[0]} with {shape[2]} channels; if the "
        "first axis has the channels, as in PyTorch, make it the last: np.moveaxis(x, 1, -1)"
    ]


def chosen_loss(config: Config, task: str, images: bool) -> str:
    """Return the name of the loss.

    Raises
    ------
    ConfigurationError
        If it is none for the task.
    """
    if config.loss == "auto":
        usual = {"classification": "cross_entropy", "regression": "mse"}
        return usual.get(task, "binary_cross_entropy" if images else "mse")
    fitting = [name for name, kind in LOSSES.items() if task in kind.record.tasks]
    if config.loss not in fitting:
        raise ConfigurationError(f"loss {config.loss} is not for {task}: choose {', '.join(fitting)}")
    return config.loss


def make_loss(name: str, config: Config | None = None) -> Loss:
    """Make the loss with this name, with the quantiles and the label smoothing of a configuration.

    Raises
    ------
    ConfigurationError
        If the loss has no such option, or a quantile is none.
    """
    kind = LOSSES[name]
    options: dict[str, Any] = {}
    if config is not None and config.quantiles:
        options["quantiles"] = _levels(config.quantiles)
    if config is not None and config.label_smoothing:
        options["label_smoothing"] = config.label_smoothing
    for option in options:
        if option not in inspect.signature(kind).parameters:
            those = [one for one, other in LOSSES.items() if option in inspect.signature(other).parameters]
            raise ConfigurationError(
                f"loss {name} has no {option}: leave it out, or choose {', '.join(those)}"
            )
    made: Loss = kind(**options)
    return made


def _levels(texts: tuple[str, ...]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        raise ConfigurationError(
            f"quantiles: write numbers between 0 and 1, as 0.05,0.5,0.95, not {','.join(texts)[:60]!r}"
        ) from None


def make_optimizer(config: Config, steps: int) -> Optimizer:
    """Make the optimizer; its schedule covers the given number of steps.

    Raises
    ------
    ConfigurationError
        If it has no momentum, but one is given.
    """
    options: dict[str, Any] = {}
    for name in ("learning_rate", "weight_decay", "clip_norm", "momentum"):
        if getattr(config, name) is not None:
            options[name] = getattr(config, name)
    kind = optimizers.NAMES[config.optimizer]
    if kind is optimizers.LBFGS:
        return _lbfgs(config, options)
    if config.group:
        options["groups"] = groups_of(config, steps)
    if "momentum" in options and not _has_momentum(kind):
        those = [name for name, other in optimizers.NAMES.items() if _has_momentum(other)]
        raise ConfigurationError(
            f"{config.optimizer} has no momentum: leave it out, or choose {' or '.join(those)}"
        )
    if config.schedule in TRAININGS:
        options["learning_rate"] = TRAININGS[config.schedule](kind(**options).schedule(0), steps)
    made: Optimizer = kind(**options)
    return made


def _lbfgs(config: Config, options: dict[str, Any]) -> Optimizer:
    """Return the L-BFGS optimizer, which has no learning rate.

    Raises
    ------
    ConfigurationError
        If options are given that it does not have.
    """
    wrong = [*options, *(["group"] if config.group else []), *(["find_lr"] if config.find_lr else [])]
    wrong += ["schedule"] if config.schedule != "constant" else []
    if wrong:
        raise ConfigurationError(
            f"lbfgs has no {wrong[0]}, as each step searches how far to go: leave it out, or choose another "
            "optimizer"
        )
    return optimizers.LBFGS()


def groups_of(config: Config, steps: int) -> dict[str, dict[str, Any]]:
    """Return the parameter groups for an optimizer, from texts such as ``"*.b weight_decay=0"``.

    A schedule applies to the learning rates of groups too.

    Raises
    ------
    ConfigurationError
        If a text is not a pattern with settings, or a pattern occurs twice. The optimizer checks settings.
    """
    groups: dict[str, dict[str, Any]] = {}
    for text in config.group:
        pattern, *settings = text.split()
        pairs = [setting.partition("=") for setting in settings]
        if not pairs or not all(name and equals for name, equals, _ in pairs):
            raise ConfigurationError(
                f"group: write a pattern and its settings, as '*.b weight_decay=0', not {text[:60]!r}"
            )
        if pattern in groups:
            raise ConfigurationError(
                f"group: the pattern {pattern[:60]!r} is given twice: write all its settings in one group"
            )
        found: dict[str, Any] = {}
        groups[pattern] = found
        for name, _, number in pairs:
            if name in found:
                raise ConfigurationError(f"group {pattern[:60]!r}: {name[:40]} is given twice: remove one")
            try:
                found[name] = float(number)
            except ValueError:
                raise ConfigurationError(
                    f"group {pattern[:60]!r}: {name[:40]} must be a number, not {number[:40]!r}"
                ) from None
        if config.schedule in TRAININGS and "learning_rate" in found:
            found["learning_rate"] = TRAININGS[config.schedule](found["learning_rate"], steps)
    return groups


def _has_momentum(kind: type) -> bool:
    return "momentum" in inspect.signature(kind).parameters
