"""Make networks, losses and optimizers from a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nnx import layers, optimizers
from nnx.errors import ConfigurationError, nearest
from nnx.experiments.train.config import LOSSES, Config
from nnx.layers import ACTIVATIONS, Dense, Flatten, Layer, Reshape
from nnx.layers.activations import make as activation
from nnx.losses import Loss
from nnx.network import Network
from nnx.optimizers import Optimizer
from nnx.schedules import Cosine

MAX_WIDTH = 2**16
DEFAULT_ACTIVATION = "relu"
LISTED = {name: kind for name, kind in layers.NAMES.items() if kind.record.listed}


@dataclass(frozen=True)
class Words:
    """One layer as it was written: ``"64 relu"``, ``"64"``, ``"dropout 0.2"``, ``"batch_norm"``, ``"relu"``.

    Attributes
    ----------
    width : int or None
        Of a dense layer.
    name : str
        Of its activation, or of another layer.
    numbers : tuple of int or float
        That layer's arguments.
    later : str
        The activation that is written as a layer after a dense one.
    """

    width: int | None
    name: str
    numbers: tuple[float, ...] = ()
    later: str = ""

    def layers(self) -> list[Layer]:
        """Make the layers that the words describe."""
        if self.width is not None:
            name = self.name or self.later or "linear"
            drawn = ACTIVATIONS[name].record.initializer
            return [Dense(self.width, activation=self.name or None, initializer=drawn)]
        return [LISTED[self.name](*self.numbers)]


def read_layers(texts: Sequence[str]) -> list[Words]:
    """Read the layers that texts describe.

    Raises
    ------
    ConfigurationError
        If one describes none; the text says what does.
    """
    return [_read(text) for text in texts]


def _read(text: str) -> Words:
    first, *rest = text.split() or [""]
    if first.lstrip("-").isdigit():
        if not (len(first) < 9 and 1 <= int(first) <= MAX_WIDTH):
            raise ConfigurationError(f"layers: a width is from 1 to {MAX_WIDTH:,}, not {first[:40]}")
        if len(rest) > 1 or (rest and rest[0] not in ACTIVATIONS):
            wrong = " ".join(rest)
            hint = nearest(wrong, ACTIVATIONS).replace("mean '", f"mean '{first} ")
            raise ConfigurationError(f"layers: {wrong[:60]!r} is not an activation{hint}")
        return Words(int(first), rest[0] if rest else "")
    if first not in LISTED:
        raise ConfigurationError(
            f"layers: {text[:60]!r} is neither a width with an activation, as '64 relu', nor another layer"
            f"{nearest(first, LISTED)}"
        )
    required = [
        one.name for one in inspect.signature(LISTED[first]).parameters.values() if one.default is one.empty
    ]
    if rest and not required:
        raise ConfigurationError(f"layers: {first} stands alone, not {text[:60]!r}")
    try:
        numbers = tuple(int(word) if word.isdigit() else float(word) for word in rest)
        LISTED[first](*numbers)
    except (TypeError, ValueError) as error:
        why = f": {error}" if isinstance(error, ConfigurationError) else ""
        form = " ".join([first, *required]).upper().replace(first.upper(), first, 1)
        raise ConfigurationError(f"layers: write {form!r}, not {text[:60]!r}{why}") from None
    return Words(None, first, numbers)


def activated(words: Sequence[Words], task: str) -> list[Words]:
    """Give each width the activation that is written after it; ReLU where none is.

    An autoencoder's code, the last width, stays linear unless it names an activation. A hidden layer that
    should be linear says so: ``"64 linear"``.
    """
    found = list(words)
    later, code = "", task == "autoencoding"
    for place in reversed(range(len(found))):
        word = found[place]
        if word.width is None:
            later = word.name if word.name in ACTIVATIONS else later
            continue
        if not word.name and (later or not code):
            found[place] = replace(word, name="" if later else DEFAULT_ACTIVATION, later=later)
        later, code = "", False
    return found


def build(config: Config, task: str, shape: tuple[int, ...], outputs: int, loss: str) -> Network:
    """Build the network for a task: the hidden layers, and the last layers for the task.

    Classification ends in a softmax over the classes, regression in a linear layer. Of an autoencoder the
    layers are the encoder, whose last width is the code; the decoder has its widths and activations in
    reverse order, and ends in a sigmoid if its loss is the binary cross-entropy.

    Rows of several axes are flattened first, unless the layers say where (``flatten``). An autoencoder
    returns rows of the same shape.
    """
    words = activated(read_layers(config.layers), task)
    hidden = [layer for word in words for layer in word.layers()]
    several = len(shape) > 1
    if several and not any(isinstance(layer, Flatten) for layer in hidden):
        hidden.insert(0, Flatten())
    coded = 0
    if task == "autoencoding":
        widths = [word for word in words if word.width is not None]
        if not widths:
            raise ConfigurationError("layers: an autoencoder needs a width, which is that of its code")
        coded = sum(len(layer.expand()) for layer in hidden)
        mirrored = [replace(word, name=word.name or word.later) for word in reversed(widths[:-1])]
        hidden += [layer for word in mirrored for layer in word.layers()]
    last = LOSSES[loss].activation
    # before the activation, so that a loss can still be fused with it
    shaped: list[Layer] = [Reshape(shape)] if several and task == "autoencoding" else []
    ending: list[Layer] = [Dense(outputs), *shaped, *([activation(last)] if last else [])]
    network = Network([*hidden, *ending], device=config.device, precision=config.precision, seed=config.seed)
    network.build(shape)
    network.encoder_length = coded or None
    return network


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


def make_loss(name: str) -> Loss:
    """Make the loss with this name."""
    return LOSSES[name]()


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
    if config.group:
        options["groups"] = groups_of(config, steps)
    if "momentum" in options and not _has_momentum(kind):
        those = [name for name, other in optimizers.NAMES.items() if _has_momentum(other)]
        raise ConfigurationError(
            f"{config.optimizer} has no momentum: leave it out, or choose {' or '.join(those)}"
        )
    if config.schedule == "cosine":
        options["learning_rate"] = Cosine(kind(**options).schedule(0), steps)
    made: Optimizer = kind(**options)
    return made


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
        if config.schedule == "cosine" and "learning_rate" in found:
            found["learning_rate"] = Cosine(found["learning_rate"], steps)
    return groups


def _has_momentum(kind: type) -> bool:
    return "momentum" in inspect.signature(kind).parameters
