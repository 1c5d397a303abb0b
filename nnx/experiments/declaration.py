"""The declaration of an experiment: its command, its options, and how its result is shown.

The command line and the reports read these declarations and know no experiment by name. To add one, write a
module in this folder that defines `EXPERIMENT`, and add its name to ``nnx.experiments.NAMES``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx.experiments.options import Rule
from nnx.experiments.result import Result


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    title : str
    header : tuple of str
    rows : sequence of tuple of str
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def _no_text(*_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Experiment:
    """The declaration of an experiment.

    Attributes
    ----------
    name : str
        Its module, its command and the ``experiment`` of its results.
    summary, text : str
        The help of its command: one line, and the whole.
    config : type
        The frozen dataclass of its options; it has ``device``, ``dtype`` and ``seed``.
    run : callable
        ``run(config, callbacks)`` returns the `Result`. It also takes ``checkpoint=`` if it `trains`, and
        ``communicator=`` if it is `distributed`.
    tables : callable
        The tables of a result, and lines between them, as the command prints them.
    options : mapping of str to Rule
        The entries of `config` that are options of the command, by name.
    figures : callable
        ``figures(result, reports)`` returns figures besides the learning curve, by name. `reports` is the
        module `nnx.reports`, which has the functions that draw.
    libraries : tuple of str
        Modules of other libraries that it needs, besides those of reports: loaded and timed before it runs.
    metrics, timing : mapping of str to str
        Readable names of entries of the result's metrics and timing.
    verdict : callable
        Says in one sentence what a result reached; empty if there is nothing to compare it with.
    check : callable
        ``check(config, given)`` is called first; `given` names the options that the user gave. It refuses
        options that do not fit together, and returns a note for the user, or "".
    failed : callable
        Whether the command ends with exit status 1 after this result.
    trains : callable or None
        ``trains(config)`` returns whether a network is trained, so that the run can be resumed. None for an
        experiment that never trains: its command has no options for checkpoints and logs.
    distributed : bool
        Whether several processes can train together (``--distributed``).
    log_scale : bool
        Whether the loss is drawn on a logarithmic axis.
    command, argument : str
        The command, if it is not ``run NAME``, and the option that is given without its name.
    unused : callable
        Options in a result's configuration that must not be given to its command again.
    """

    name: str
    summary: str
    text: str
    config: type[Any]
    run: Callable[..., Result]
    tables: Callable[[Result], Iterable[Table | str]]
    options: Mapping[str, Rule] = field(default_factory=dict)
    figures: Callable[[Result, Any], dict[str, Any]] = lambda result, reports: {}
    libraries: tuple[str, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    timing: Mapping[str, str] = field(default_factory=dict)
    verdict: Callable[[Result], str] = _no_text
    check: Callable[[Any, Collection[str]], str] = _no_text
    failed: Callable[[Result], bool] = lambda result: False
    trains: Callable[[Any], bool] | None = lambda config: True
    distributed: bool = False
    log_scale: bool = False
    command: str = ""
    argument: str = ""
    unused: Callable[[Mapping[str, Any]], Collection[str]] = _no_text

    def named(self, metric: str) -> str:
        """Return the readable name of a metric; without an entry, its key in words."""
        if metric.startswith("scaled."):
            return f"{self.named(metric.removeprefix('scaled.'))} of scaled data"
        return self.metrics.get(metric, words(metric))


def words(name: str) -> str:
    """Return a key of a result as words."""
    return str(name).replace("_", " ").replace(".", ": ")
