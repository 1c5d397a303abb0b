"""Read layers that are written as texts: ``"64 relu"``, ``"conv2d 32 3 strides=2 relu"``, ``"dropout 0.2"``.

``nnx train --layers`` and the estimators' ``hidden_layer_sizes`` take such texts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from nnx.errors import ConfigurationError, nearest
from nnx.layers import ACTIVATIONS, NAMES
from nnx.layers.base import Layer
from nnx.layers.dense import Dense
from nnx.ops.windows import PADDINGS

MAX_WIDTH = 2**16
DEFAULT_ACTIVATION = "relu"
LISTED = {name: kind for name, kind in NAMES.items() if kind.record.listed}
_SWITCHES = {"yes": True, "true": True, "no": False, "false": False}
_NOT_WRITTEN = ("activation", "initializer", "seed")  # the activation is written without its name


@dataclass(frozen=True)
class Words:
    """One layer as it was written.

    Attributes
    ----------
    kind : type
        The class of the layer.
    arguments : dict
        The arguments of its constructor.
    activation : str
        The activation that is written with it; only for layers that have an activation, such as `Dense`.
    later : str
        The activation that is written as a layer after it.
    initializer : str
        The initial weights of a layer with an activation; "" for those of the activation's record.
    """

    kind: type[Layer]
    arguments: dict[str, Any] = field(default_factory=dict)
    activation: str = ""
    later: str = ""
    initializer: str = ""

    @property
    def activated(self) -> bool:
        """Return whether the layer has an activation: it is dense, or a convolution."""
        return "activation" in _parameters(self.kind)

    @property
    def width(self) -> int | None:
        """Return the width of a dense layer; None for other layers."""
        return self.arguments["units"] if self.kind is Dense else None

    @property
    def function(self) -> str:
        """Return the name of the activation that is applied to the layer's output; "" for none."""
        return self.activation or self.later

    def layer(self) -> Layer:
        """Make the layer."""
        if not self.activated:
            return self.kind(**self.arguments)
        drawn = with_activation(self.function, self.initializer)
        return self.kind(**self.arguments, **drawn | {"activation": self.activation or None})


def with_activation(name: str, initializer: str = "") -> dict[str, Any]:
    """Return the arguments of a layer for its activation ("" for none) and its initial weights."""
    usual = ACTIVATIONS[name or "linear"].record.initializer
    return {"activation": name or None, "initializer": initializer if name and initializer else usual}


def read_layers(texts: Sequence[str | int], option: str = "layers") -> list[Words]:
    """Read the layers that texts describe; a whole number is the width of a dense layer.

    A text is one of these:

    - the width of a dense layer, and its activation: ``"64"``, ``"64 relu"``;
    - the name of another layer and its first arguments; further arguments are written as NAME=VALUE:
      ``"dropout 0.2"``, ``"batch_norm"``, ``"conv2d 32 3 padding=same"``, ``"conv2d 32 3x5 relu"``.

    Parameters
    ----------
    texts : sequence of str or int
    option : str
        The name of what the user wrote, for errors.

    Raises
    ------
    ConfigurationError
        If a text describes no layer; the error says what does.
    """
    written = [str(text) for text in texts]
    for text, following in pairwise(written):
        if re.fullmatch(r"\w*dropout\w* 0", text) and following.isdigit():
            rate = f"{text}.{following[:9]}"
            raise ConfigurationError(
                f"{option}: {text!r}, then {following[:9]!r}: write a rate with a point, {rate!r}; for none, "
                f"leave out {text!r}"
            )
    return [_read(text, option) for text in written]


def _read(text: str, option: str) -> Words:
    first, *rest = text.split() or [""]
    if first.lstrip("-").isdigit():
        return _dense(first, rest, option)
    if first not in LISTED:
        raise ConfigurationError(
            f"{option}: {text[:60]!r} is neither a width with an activation, as '64 relu', nor another layer"
            f"{nearest(first, LISTED)}"
        )
    kind, activation = LISTED[first], ""
    if rest and "activation" in _parameters(kind) and _is_name(rest[-1]):
        activation = _activation(rest.pop(), text.rpartition(" ")[0], option)
    try:
        words = Words(kind, _arguments(kind, rest), activation)
        words.layer()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{option}: {_form(first, kind, text, error)}") from None
    return words


def _dense(first: str, rest: list[str], option: str) -> Words:
    if not (len(first) < 9 and 1 <= int(first) <= MAX_WIDTH):
        raise ConfigurationError(f"{option}: a width is from 1 to {MAX_WIDTH:,}, not {first[:40]}")
    name = _activation(" ".join(rest), first, option) if rest else ""
    return Words(Dense, {"units": int(first)}, name)


def _activation(name: str, before: str, option: str) -> str:
    """Return the name of an activation; the error for another name repeats what is written before it."""
    if name not in ACTIVATIONS:
        hint = nearest(name, ACTIVATIONS).replace("mean '", f"mean '{before} ")
        if name in PADDINGS and "conv" in before:
            hint = f": write 'padding={name}'"
        raise ConfigurationError(f"{option}: {name[:60]!r} is not an activation{hint}")
    return name


def _is_name(word: str) -> bool:
    return bool(re.fullmatch(r"[a-z_]+", word))


def _arguments(kind: type[Layer], words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that words give; a TypeError or ValueError says what is wrong."""
    places, names = _places(kind), _written(kind)
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, equals, text = word.partition("=")
        if "activation" in _parameters(kind) and (name == "activation" or word in ACTIVATIONS):
            raise ConfigurationError("write one activation, as the last word and without its name")
        if not equals:
            if place >= len(places):
                raise ConfigurationError(f"{word[:40]!r} is one word too many") if places else TypeError
            name, text = places[place], word
        elif name not in names:
            raise ConfigurationError(f"it has no argument {name!r:.40}{nearest(name, names)}")
        if name in found:
            raise ConfigurationError(f"{name} is given twice")
        found[name] = _value(name, text, named=bool(equals))
    return found


def _value(name: str, text: str, named: bool) -> Any:
    """Return the value that a text stands for: a number, a size such as 3x5, yes or no, or a name."""
    if re.fullmatch(r"\d+(x\d+)+", text):
        return tuple(map(int, text.split("x")))
    if named and _is_name(text.lower()):
        return _SWITCHES.get(text.lower(), text)
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ConfigurationError(
            f"{name}: {text[:40]!r} is neither a number nor a size such as 3x5"
        ) from None


def _form(first: str, kind: type[Layer], text: str, error: Exception) -> str:
    """Return how a layer is written, and what is wrong with a text."""
    required = [name for name, one in _parameters(kind).items() if one.default is one.empty]
    others = [name for name in _written(kind) if name not in required]
    more = f"; further arguments are written as NAME=VALUE: {', '.join(others)}" if others else ""
    why = f" ({error})" if isinstance(error, ConfigurationError) else ""
    if not _places(kind) and not why:
        return f"{first} stands alone, not {text[:60]!r}{more}"
    form = " ".join([first, *map(str.upper, required)])
    return f"write {form!r}, not {text[:60]!r}{why}{more}"


def _parameters(kind: type[Layer]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(kind).parameters)


def _written(kind: type[Layer]) -> list[str]:
    """Return the names of the arguments that can be written."""
    return [name for name in _parameters(kind) if name not in _NOT_WRITTEN]


def _places(kind: type[Layer]) -> list[str]:
    """Return the arguments that are written without their names: required ones, then whole numbers."""
    found = []
    for name, one in _parameters(kind).items():
        if one.kind is one.KEYWORD_ONLY or not (one.default is one.empty or type(one.default) is int):
            break
        found.append(name)
    return found


def activated(
    words: Sequence[Words], code: bool = False, usual: str = DEFAULT_ACTIVATION, initializer: str = ""
) -> list[Words]:
    """Give each dense layer and convolution the activation that is written after it, or the usual one.

    If `code` is set, the last dense layer is the code of an autoencoder, which stays linear unless it names
    an activation. A hidden layer that should be linear says so: ``"64 linear"``. `initializer` names the
    initial weights of layers with an activation; "" takes those of the activation's record.
    """
    found = [replace(word, initializer=initializer) for word in words]
    later = ""
    for place in reversed(range(len(found))):
        word = found[place]
        if not word.activated:
            later = next((name for name, kind in ACTIVATIONS.items() if kind is word.kind), later)
            continue
        linear, code = code and word.kind is Dense, code and word.kind is not Dense
        if not word.activation and (later or not linear):
            found[place] = replace(word, activation="" if later else usual, later=later)
        later = ""
    return found
