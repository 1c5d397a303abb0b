"""Records: the names and counterparts of each activation, loss, optimizer and layer, in one place.

A class of nnx has its record as the class attribute ``record``. All tables of names are read from these:
`get`, the estimators, the command line, Keras, ONNX, gradient checks and tests. A record holds names and
simple arguments; code that converts is in `nnx.interop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


@dataclass(frozen=True)
class Counterpart:
    """The class, function or operator of another library that does the same as a class of nnx.

    Attributes
    ----------
    name : str
        Its name there.
    arguments : mapping
        Names of its arguments, each with the attribute of nnx's object that has the value.
    fixed : mapping
        Its arguments that always have the same value.
    arrays : tuple of str
        The layer's arrays that are inputs after the data, in this order (ONNX).
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()

    def values(self, ours: Any) -> dict[str, Any]:
        """Return the arguments of the other library for an object of nnx."""
        return {theirs: getattr(ours, name) for theirs, name in self.arguments.items()} | dict(self.fixed)


@dataclass(frozen=True)
class Case:
    """One gradient check of a class.

    Attributes
    ----------
    arguments : mapping, or callable that returns one
        Arguments of the constructor. A callable makes new ones for each check: layers, for example, can
        belong to only one network.
    note : str
        Words that distinguish this check from others of the class.
    options : mapping
        Options of `nnx.gradcheck.check`.
    """

    arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def made(self, kind: Callable[..., Any]) -> Any:
        """Return an object of a class."""
        arguments = self.arguments
        return kind(**(arguments() if callable(arguments) else arguments))


@dataclass(frozen=True)
class Record:
    """Base of the records.

    Attributes
    ----------
    names : tuple of str
        The names that `get` accepts; the first is the main one.
    keras, onnx : Counterpart or str
        The counterpart in Keras and ONNX, or the reason why there is none.
    """

    names: tuple[str, ...]
    keras: Counterpart | str
    onnx: Counterpart | str = "an ONNX file holds a network and not its training"


@dataclass(frozen=True)
class LossRecord(Record):
    """The record of a loss.

    Attributes
    ----------
    estimators : str
        Its name in `nnx.estimators`; empty for a loss that they choose themselves.
    command : str
        Its name in ``nnx train``.
    tasks : tuple of str
        The tasks of ``nnx train`` that can use it.
    cases : tuple of Case
    """

    estimators: str = ""
    command: str = ""
    tasks: tuple[str, ...] = ()
    cases: tuple[Case, ...] = (Case(),)


@dataclass(frozen=True)
class OptimizerRecord(Record):
    """The record of an optimizer; the estimators and ``nnx train`` use its first name."""


@dataclass(frozen=True)
class LayerRecord(Record):
    """The record of a layer or an activation; the estimators and ``nnx train`` use its names.

    Attributes
    ----------
    cases : tuple of Case
    listed : bool
        Whether ``nnx train --layers`` accepts its name, followed by its required arguments.
    activation : bool
        Whether its name is accepted for an activation: ``Dense(8, activation=…)``, in the estimators, and in
        ``--layers "64 relu"``.
    elementwise : bool
        Whether each number of the output depends on only one number of the input.
    initializer : str
        The initial weights of a layer before this activation, if the layer is written as a text.
    """

    cases: tuple[Case, ...] = (Case(),)
    listed: bool = True
    activation: bool = False
    elementwise: bool = False
    initializer: str = "glorot_uniform"


def record_of(kind: type) -> Any:
    """Return the record of a class of nnx; None for a class of yours, also where its base has one."""
    return vars(kind).get("record")


def by_name(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """Return classes by the names in their records.

    Raises
    ------
    ValueError
        If two have the same name.
    """
    found: dict[str, Kind] = {}
    for kind in kinds:
        for name in vars(kind)["record"].names:
            if name in found:
                raise ValueError(f"{kind.__name__} and {found[name].__name__} are both called {name!r}")
            found[name] = kind
    return found
