"""Records: what an activation, a loss, an optimizer or a layer says about itself, in one place.

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
    """What another library has for a class of nnx.

    Attributes
    ----------
    name : str
        Of their class, function or operator.
    arguments : mapping
        Their arguments, by name, and the attribute of nnx's object that has the value.
    fixed : mapping
        Their arguments that always have the same value.
    arrays : tuple of str
        The layer's arrays that follow the data, in their order (ONNX).
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()

    def values(self, ours: Any) -> dict[str, Any]:
        """Return their arguments for an object of nnx."""
        return {theirs: getattr(ours, name) for theirs, name in self.arguments.items()} | dict(self.fixed)


@dataclass(frozen=True)
class Case:
    """One gradient check: how the object is made, and options of `nnx.gradcheck.check`.

    `arguments` is a function where they are objects that belong to one network only.
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
    """What all records have.

    Attributes
    ----------
    names : tuple of str
        What `get` knows it by; the first is the usual one.
    keras, onnx : Counterpart or str
        Their form of it, or the reason why there is none.
    """

    names: tuple[str, ...]
    keras: Counterpart | str
    onnx: Counterpart | str = "an ONNX file holds a network and not its training"


@dataclass(frozen=True)
class LossRecord(Record):
    """Of a loss.

    Attributes
    ----------
    estimators : str
        Its name in `nnx.estimators`; empty for a loss that they choose themselves.
    command : str
        Its name in ``nnx train``.
    tasks : tuple of str
        The tasks of ``nnx train`` that it is for.
    cases : tuple of Case
    """

    estimators: str = ""
    command: str = ""
    tasks: tuple[str, ...] = ()
    cases: tuple[Case, ...] = (Case(),)


@dataclass(frozen=True)
class OptimizerRecord(Record):
    """Of an optimizer; the estimators and ``nnx train`` call it by its first name."""


@dataclass(frozen=True)
class LayerRecord(Record):
    """Of a layer or an activation; the estimators and ``nnx train`` call it by its names.

    Attributes
    ----------
    cases : tuple of Case
    listed : bool
        Whether ``nnx train --layers`` takes it by its name, followed by its required arguments.
    activation : bool
        Whether it can be named as an activation: ``Dense(8, activation=…)``, the estimators, ``64 relu``.
    elementwise : bool
        Whether each number of the output depends on one number of the input only.
    initializer : str
        The initial weights that suit a `Dense` layer in front of this activation.
    """

    cases: tuple[Case, ...] = (Case(),)
    listed: bool = True
    activation: bool = False
    elementwise: bool = False
    initializer: str = "he_normal"


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
