"""Things made from their names: losses, optimizers, layers, schedules and initializers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from nnx.errors import ConfigurationError, nearest


def make(
    what: str, known: Mapping[str, type], given: Any, arguments: Mapping[str, Any], base: type | None = None
) -> Any:
    """Make the thing that `given` describes.

    Parameters
    ----------
    what : str
        Its kind, for messages: ``"loss"``.
    known : mapping of names to classes
    given : str or dict
        A name, or ``{"name": …}`` with arguments of the constructor. An object of class `base` is returned as
        it is.
    arguments : mapping
        More arguments of the constructor.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text names the nearest), or an argument does not fit.
    """
    if base is not None and isinstance(given, base):
        if arguments:
            late = next(iter(arguments))
            raise ConfigurationError(
                f"{given!r} is a finished {what}, so {late} cannot be set here: give the {what} by its name"
            )
        return given
    found = dict(given) if isinstance(given, Mapping) else {"name": given}
    name = found.pop("name", None)
    if not isinstance(name, str) or name not in known:
        raise ConfigurationError(f"unknown {what} {name!r}{nearest(str(name), known)}")
    takes = inspect.signature(known[name]).parameters
    for argument in (*found, *arguments):
        if argument in found and argument in arguments:
            raise ConfigurationError(f"{what} {name!r}: {argument} is given twice")
        if argument not in takes and not any(one.kind is one.VAR_KEYWORD for one in takes.values()):
            hint = nearest(str(argument), takes) if takes else ""
            raise ConfigurationError(f"{what} {name!r} has no argument {argument!r}{hint}")
    try:
        return known[name](**found, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"{what} {name!r}: {error}") from error
