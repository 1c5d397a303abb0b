"""What an experiment says of itself: its command, its options, and how its result is shown.

The command line and the reports read these declarations and know no experiment by name. To add one, write a
module of this folder that holds `EXPERIMENT`, and add its name to ``nnx.experiments.NAMES``.
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


def _always(config: Any) -> bool:
    """Return True: every run trains a network."""
    return True


def _never(result: Result) -> bool:
    """Return False: a run that has a result has not failed."""
    return False


def _nothing_to_say(*of: Any) -> str:
    """Return nothing."""
    return ""


def _nothing_to_draw(result: Result, reports: Any) -> dict[str, Any]:
    """Return no figures."""
    return {}


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
        ``run(config, callbacks)`` gives the `Result`; where it `trains`, it takes ``checkpoint=`` too, where
        `distributed`, ``communicator=``.
    tables : callable
        The tables of a result, and lines between them, as the command prints them.
    options : mapping of str to Rule
        The entries of `config` that are options of the command, by name.
    figures : callable
        ``figures(result, reports)`` draws what there is to see besides the learning curve, by name.
        `reports` is the module `nnx.reports`, which has the functions that draw.
    libraries : tuple of str
        Modules of other libraries that it needs, besides those of reports: loaded and timed before it runs.
    metrics, timing : mapping of str to str
        Names for people of entries of the result's metrics and timing.
    verdict : callable
        What a result reached, in one sentence; empty where there is nothing to compare it with.
    check : callable
        ``check(config, given)`` is called before anything is done; `given` names the options that the user
        gave. It refuses options that do not go together, and returns a note for the user, or "".
    failed : callable
        Whether the command of a result ends with exit status 1.
    trains : callable or None
        ``trains(config)`` tells whether a network is trained, so that the run can be resumed; None for an
        experiment that never trains one: its command has no options for checkpoints and logs.
    distributed : bool
        Whether several processes can train together (``--distributed``).
    log_scale : bool
        Whether the loss is drawn on a logarithmic axis.
    command, argument : str
        The command, where it is not ``run NAME``, and the option that is given without its name.
    unused : callable
        Options in a result's configuration that its command must not be given again.
    """

    name: str
    summary: str
    text: str
    config: type[Any]
    run: Callable[..., Result]
    tables: Callable[[Result], Iterable[Table | str]]
    options: Mapping[str, Rule] = field(default_factory=dict)
    figures: Callable[[Result, Any], dict[str, Any]] = _nothing_to_draw
    libraries: tuple[str, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    timing: Mapping[str, str] = field(default_factory=dict)
    verdict: Callable[[Result], str] = _nothing_to_say
    check: Callable[[Any, Collection[str]], str] = _nothing_to_say
    failed: Callable[[Result], bool] = _never
    trains: Callable[[Any], bool] | None = _always
    distributed: bool = False
    log_scale: bool = False
    command: str = ""
    argument: str = ""
    unused: Callable[[Mapping[str, Any]], Collection[str]] = _nothing_to_say

    def named(self, metric: str) -> str:
        """The name of a metric for people; one without an entry is written in words."""
        if metric.startswith("scaled."):
            return f"{self.named(metric.removeprefix('scaled.'))} of scaled data"
        return self.metrics.get(metric, words(metric))


def words(name: str) -> str:
    """A key of a result as words."""
    return str(name).replace("_", " ").replace(".", ": ")
