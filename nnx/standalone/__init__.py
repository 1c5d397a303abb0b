"""Networks as one file of plain code, which runs without nnx.

`export` writes the network with its scaling as C99, Python or JavaScript. The file has a function that
computes answers, and checks itself on stored rows. `nnx.interop` writes models for other libraries.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, nearest
from nnx.files import replacing
from nnx.network import Network
from nnx.standalone import c, javascript, python
from nnx.standalone.c_text import prefix
from nnx.standalone.lowering import lower
from nnx.standalone.program import Examples, Meaning, Program

__all__ = ["Examples", "Meaning", "export"]

ENDINGS = {"c": (".c", ".h"), "python": (".py",), "javascript": (".mjs", ".js")}
WRITERS: dict[str, Callable[..., tuple[str, str]]] = {
    "c": c.write,
    "python": python.write,
    "javascript": javascript.write,
}
OPTIONS = {"c": ("type",), "python": ("numpy",), "javascript": ()}
EXAMPLES = 8
MOST_EXAMPLES = 2**14  # numbers: images have fewer examples
IN_FLOAT32 = "the network rounds the factors of its products to bfloat16, but the file computes in float32"


def export(
    network: Network,
    path: str | os.PathLike[str],
    to: str | None = None,
    *,
    meaning: Meaning | None = None,
    examples: Examples | None = None,
    **options: Any,
) -> str:
    """Write a network as one file of code, whole or not at all, and return a sentence on its size.

    Parameters
    ----------
    network : Network
        The network, or a slice: ``export(network[:7], "encoder.c")``.
    path : path
        The names in the file begin with its name, without the ending.
    to : {"c", "python", "javascript"}, optional
        The language; by default the ending of `path` says it.
    meaning : Meaning, optional
        A scaling before and after the network, and names. With a scaling, `examples` are needed.
    examples : Examples, optional
        Rows with which the file can check itself; by default `examples_for`.
    **options
        Options of the language. C: ``type="float"`` or ``"double"``, the type of weights and arithmetic; by
        default that of the network. Python: ``numpy=True`` computes with NumPy, all rows at once.

    Raises
    ------
    ConfigurationError
        If a layer is your own, a weight is not finite or too large for the type, the network is not built, or
        an argument is invalid.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import nnx
    >>> import nnx.standalone
    >>> network = nnx.Network([nnx.Dense(8, activation="relu"), nnx.Dense(3)], seed=0).build(4)
    >>> nnx.standalone.export(network, "model.c")  # doctest: +SKIP
    'C99 with float: weights 268 bytes, memory 32 bytes'
    """
    path = Path(path)
    language = language_of(path, to)
    for option in options:
        if option not in OPTIONS[language]:
            known = ", ".join(OPTIONS[language]) or "no options"
            raise ConfigurationError(f"{language} has no option {option!r}: it has {known}")
    program = prepared(network, meaning, examples)
    name = prefix(path.stem) if language == "c" else path.stem
    text, sentence = WRITERS[language](program, name, **options)
    with replacing(path) as file:
        file.write(text.encode())
    return sentence


def language_of(path: Path, to: str | None = None) -> str:
    """Return the language to write, by its name or by the ending of a path.

    Raises
    ------
    ConfigurationError
        If it is not known.
    """
    if to is not None and to not in WRITERS:
        raise ConfigurationError(
            f"to must be one of {', '.join(WRITERS)}, not {to!r:.40}{nearest(to, WRITERS)}"
        )
    found = to or next((name for name, known in ENDINGS.items() if path.suffix.lower() in known), None)
    if found is None:
        known = " or ".join(ending for endings in ENDINGS.values() for ending in endings)
        raise ConfigurationError(f"{path}: the name must end in {known}, or give the language with to=")
    return found


def prepared(network: Network, meaning: Meaning | None = None, examples: Examples | None = None) -> Program:
    """Return the program of a network; arguments and errors as for `export`."""
    if network.input_shape is None:
        raise ConfigurationError("the network is not built: call build(inputs) first")
    if network.precision == "bfloat16":
        warnings.warn(IN_FLOAT32, UserWarning, stacklevel=3)
        network = in_precision(network, "float32")
    scaled = meaning is not None and (meaning.inputs is not None or meaning.outputs is not None)
    if examples is None and scaled:
        raise ConfigurationError(
            "a meaning with a scaling needs examples: rows, and the answers in your units"
        )
    return lower(network, meaning, examples or examples_for(network))


def in_precision(network: Network, precision: str) -> Network:
    """Return a copy of a network with another precision, on the CPU."""
    config = network.config() | {"dtype": precision}
    copy = type(network).from_config(config, network.backend, draw=False)
    copy.set_weights(network.weights())
    return copy


def examples_for(network: Network) -> Examples:
    """Return a few rows drawn at random, and what the network predicts for them."""
    limits, generator = network.limits, np.random.default_rng(0)
    shape = (examples_of(network), *(network.input_shape or ()))
    x: Any = generator.standard_normal(shape).astype(network.dtype)
    if limits is not None:
        x = generator.integers(0, limits.limit or 2, shape)
    return Examples(x, np.asarray(network.predict(x)))


def examples_of(network: Network) -> int:
    """Return how many examples a file gets."""
    size = int(np.prod(network.input_shape or 1)) + int(np.prod(network.output_shape))
    return max(1, min(EXAMPLES, MOST_EXAMPLES // size))
