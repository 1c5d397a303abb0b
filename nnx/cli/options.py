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

Function = TypeVar("Function", bound=Callable[..., Any])


class Name(click.Choice[str]):
    """One of some names; an unknown one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        if value not in self.choices:
            self.fail(f"{value!r}{nearest(str(value), self.choices)}", param, ctx)
        return str(value)


class Names(click.ParamType[tuple[str, ...]]):
    """Some names with commas between; an unknown one is answered with the nearest."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self.one = Name(known)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, each once."""
        given = value.split(",") if isinstance(value, str) else value
        return tuple(dict.fromkeys(self.one.convert(name.strip(), param, ctx) for name in given))


class Existing(click.Path):
    """The path of what is there; another one is answered with the nearest name in its folder."""

    def __init__(self, path_type: type[Any] = Path, **limits: Any) -> None:
        super().__init__(exists=True, path_type=path_type, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path itself."""
        path = Path(value)
        if not os.path.lexists(path):
            others = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            near = [name for name in difflib.get_close_matches(path.name, others) if _alike(path, name)]
            hint = f": did you mean {str(path.with_name(near[0]))!r}?" if near else ""
            self.fail(f"{str(value)!r} does not exist{hint}", param, ctx)
        return super().convert(value, param, ctx)


def _alike(path: Path, name: str) -> bool:
    """Whether two files may be taken for each other, whatever their suffixes."""
    return difflib.SequenceMatcher(None, path.stem, Path(name).stem).ratio() > 0.7


class Whole(click.IntRange):
    """A whole number that is not too small."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number itself."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"must be a whole number of at least {self.min}, not {value!r}", param, ctx)


class Folder(click.Path):
    """The path of a folder, which need not exist."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path itself."""
        if os.path.lexists(value) and not Path(value).is_dir():
            self.fail(f"{str(value)!r} is a file: name a folder", param, ctx)
        return super().convert(value, param, ctx)


class Every(click.ParamType[str]):
    """A number of steps, or a time."""

    name = "every"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, as `nnx.Checkpoint` takes it."""
        from nnx.checkpoints import Checkpoint
        from nnx.errors import ConfigurationError

        try:
            Checkpoint(".", value)
        except ConfigurationError:
            self.fail(f"must be a number of steps or a time such as 30s, not {value!r}", param, ctx)
        return str(value)


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ["NNX_DEBUG"] = "1"  # the environment: processes that a command starts read it too


DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_debug,
    help="Show the traceback of an error.",
)


def everywhere(command: click.Command, option: click.Option) -> None:
    """Give a command, and all below it, an option."""
    command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            everywhere(below, option)


def _devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """What a shell may complete."""
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
    help="Train with the other processes of an mpiexec job, by MPI or between GPUs by NCCL.",
)
_rank_timeout = click.option(
    "--rank-timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long processes wait for one that does not come, before they end the job.",
)


def distributed(function: Function) -> Function:
    """``--distributed`` and ``--rank-timeout``."""
    return _distributed(_rank_timeout(function))


_checkpoint_every = click.option(
    "--checkpoint-every",
    type=Every(),
    default=None,
    metavar="N|TIME",
    help="Keep the state of training every N steps, or every 30s, 5m, 1h, so that a stopped run can be "
    "resumed.  [default: every minute, until the run has finished]",
)
resume = click.option(
    "--resume",
    is_flag=True,
    help="Resume the run in --out from its newest intact checkpoint; give the same options again.",
)


def checkpoints(function: Function) -> Function:
    """``--checkpoint-every`` and ``--resume``; see `nnx.cli.execute.Options`."""
    return _checkpoint_every(resume(function))


def _tf32(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value:
        os.environ["CUPY_TF32"] = "1"  # CuPy reads it at its first product, also in processes of a comparison
    return value


def _threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None:
        threads.use(value)


live = click.option(
    "--log",
    "logs",
    type=Name(["jsonl", "tensorboard", "mlflow"]),
    multiple=True,
    help="Record each epoch as soon as it ends, in a file, TensorBoard or MLflow; may be repeated.",
)


def of_rule(name: str, rule: Rule, default: Any = None) -> Callable[[Function], Function]:
    """The option that a rule of an experiment describes."""
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
open_report = click.option("--open", "open_", is_flag=True, help="Open the report in a browser at the end.")


def of_every_run(function: Function) -> Function:
    """The options of every ``nnx run``."""
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
            help="For the initial weights, the order of batches and dropout.",
        ),
        click.option(
            "--tf32",
            is_flag=True,
            callback=_tf32,
            help="Let a GPU round the factors of float32 products to TF32: faster, 10 bits instead of 23.",
        ),
        click.option(
            "--threads",
            type=Whole(min=1),
            metavar="N",
            expose_value=False,
            callback=_threads,
            help="Threads of the CPU; default: as many as the cores that this process may use.",
        ),
        click.option(
            "--dtype",
            type=Name(["float32", "float64"]),
            default="float32",
            show_default=True,
            help="Type of the numbers that are computed with.",
        ),
        device,
    ):
        function = option(function)
    return function
