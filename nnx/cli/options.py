"""Options that several commands share."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from nnx.backends import DEVICES, threads
from nnx.distributed import KINDS, TIMEOUT
from nnx.errors import nearest
from nnx.experiments.options import DATASET, Rule, option_name
from nnx.experiments.precision import DTYPE, PRECISION

Function = TypeVar("Function", bound=Callable[..., Any])


class Name(click.Choice[str]):
    """One of several names; for an unknown name, the error suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if value not in self.choices:
            self.fail(f"{value!r}{nearest(str(value), self.choices)}", param, ctx)
        return str(value)


class Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas; for an unknown name, the error suggests the nearest."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self.one = Name(known)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names without duplicates."""
        given = value.split(",") if isinstance(value, str) else value
        return tuple(dict.fromkeys(self.one.convert(name.strip(), param, ctx) for name in given))


class Existing(click.Path):
    """An existing path; for another one, the error suggests the nearest name in its folder."""

    def __init__(self, path_type: type[Any] = Path, **limits: Any) -> None:
        super().__init__(exists=True, path_type=path_type, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(value)
        if not os.path.lexists(path):
            others = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            near = [name for name in difflib.get_close_matches(path.name, others) if _alike(path, name)]
            hint = f": did you mean {str(path.with_name(near[0]))!r}?" if near else ""
            self.fail(f"{str(value)!r} does not exist{hint}", param, ctx)
        return super().convert(value, param, ctx)


def _alike(path: Path, name: str) -> bool:
    """Return whether two file names are similar without their suffixes."""
    return difflib.SequenceMatcher(None, path.stem, Path(name).stem).ratio() > 0.7


class Whole(click.IntRange):
    """A whole number with a minimum."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"must be a whole number of at least {self.min}, not {value!r}", param, ctx)


class Folder(click.Path):
    """The path of a folder that may or may not exist."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if os.path.lexists(value) and not Path(value).is_dir():
            self.fail(f"{str(value)!r} is a file: name a folder", param, ctx)
        return super().convert(value, param, ctx)


class Every(click.ParamType[str]):
    """A number of steps, or a time."""

    name = "every"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, which `nnx.Checkpoint` accepts."""
        from nnx.checkpoints import Checkpoint
        from nnx.errors import ConfigurationError

        try:
            Checkpoint(".", value)
        except ConfigurationError:
            self.fail(f"must be a number of steps or a time such as 30s, not {value!r}", param, ctx)
        return str(value)


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ["NNX_DEBUG"] = "1"  # so that processes that a command starts see it, too


DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_debug,
    help="Show the traceback of an error.",
)


def everywhere(command: click.Command, option: click.Option) -> None:
    """Add an option to a command and all its subcommands."""
    command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            everywhere(below, option)


def _devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names that a shell can complete."""
    return [name for name in DEVICES if name.startswith(incomplete)]


device = click.option(
    "--device",
    default=None,
    metavar="DEVICE",
    shell_complete=_devices,
    help=f"{', '.join(DEVICES)} or gpu:N.  [default: NNX_DEVICE, else auto]",
)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_distributed = click.option(
    "--distributed",
    type=Name(KINDS),
    default=None,
    help="Train together with the other processes of an mpiexec job; nccl sums gradients between GPUs.",
)
_rank_timeout = click.option(
    "--rank-timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="End the job if a process does not respond for this long.",
)


def distributed(function: Function) -> Function:
    """Add ``--distributed`` and ``--rank-timeout``."""
    return _distributed(_rank_timeout(function))


_checkpoint_every = click.option(
    "--checkpoint-every",
    type=Every(),
    default=None,
    metavar="N|TIME",
    help="Save a checkpoint every N steps, or every 30s, 5m or 1h, so that a stopped run can be resumed. "
    "Without this option, one is saved every minute, and removed when the run finishes.",
)
resume = click.option(
    "--resume",
    is_flag=True,
    help="Resume the run in --out from its newest intact checkpoint; give the same options again.",
)


_statistics = click.option(
    "--statistics",
    is_flag=True,
    help="Record norms of gradients, weights and updates of each layer, for the history and the report.",
)


def checkpoints(function: Function) -> Function:
    """Add ``--checkpoint-every``, ``--resume`` and ``--statistics``; see `nnx.cli.execute.Options`."""
    return _checkpoint_every(resume(_statistics(function)))


def _tf32(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value:
        os.environ["CUPY_TF32"] = "1"  # CuPy reads it at its first product, also in a comparison's processes
    return value


def _threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None:
        threads.use(value)


thread_count = click.option(
    "--threads",
    type=Whole(min=1),
    metavar="N",
    expose_value=False,
    callback=_threads,
    help="Threads to use on the CPU.  [default: one for each core that this process may use]",
)
live = click.option(
    "--log",
    "logs",
    type=Name(["jsonl", "tensorboard", "mlflow"]),
    multiple=True,
    help="Record each epoch when it ends: in a file of JSON lines, in TensorBoard or in MLflow. Can be given "
    "several times.",
)


def of_rule(name: str, rule: Rule, default: Any = None) -> Callable[[Function], Function]:
    """Return the option that an experiment's rule describes."""
    kind: Any = str
    if rule.known:
        kind = Name(rule.known)
    elif rule.kind == "whole":
        kind = Whole(min=int(rule.low))
    elif rule.kind == "number":
        kind = click.FloatRange(min=rule.low)
    elif rule.kind == "path":
        kind = Existing(str)
    if rule.kind == "names":
        kind, default = Names(rule.known), ",".join(default)
    return click.option(
        option_name(name, rule),
        name,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar=rule.metavar or None,
        help=rule.help,
    )


dataset = of_rule("dataset", DATASET, "auto")
open_report = click.option("--open", "open_", is_flag=True, help="At the end, open the report in a browser.")


def of_every_run(function: Function) -> Function:
    """Add the options of every ``nnx run``."""
    for option in (
        open_report,
        click.option("-v", "--verbose", is_flag=True, help="Say which device was chosen, and why."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
        json_flag,
        click.option(
            "--out",
            type=Folder(),
            default=None,
            metavar="FOLDER",
            help="The run's folder.  [default: runs/<experiment>-<time>]",
        ),
        click.option(
            "--seed",
            type=Whole(min=0),
            default=0,
            show_default=True,
            metavar="N",
            help="Seed for the initial weights, the order of batches and dropout.",
        ),
        click.option(
            "--tf32",
            is_flag=True,
            callback=_tf32,
            help="Let a GPU round the factors of float32 products to TF32 (10 bits instead of 23): faster.",
        ),
        thread_count,
        click.option("--dtype", type=Name(DTYPE.known), help=DTYPE.help),
        click.option("--precision", type=Name(PRECISION.known), help=PRECISION.help),
        device,
    ):
        function = option(function)
    return function
