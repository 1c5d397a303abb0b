"""Define ``nnx learn``: the exercises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnx.cli import options
from nnx.cli.console import print_json, print_table, say
from nnx.errors import NnxError, printable

if TYPE_CHECKING:
    from nnx.course.checking import Report
    from nnx.course.comparing import Check

MOST_LINES = 20  # of data and of what a file prints
_number = click.argument("number", type=options.Whole(min=1), metavar="N")
_seed = "Seed of the data; for files of a class set, the seed of its export."


@click.group(
    invoke_without_command=True, short_help="Exercises: write a network's parts, and have them checked."
)
@click.pass_context
def learn(ctx: click.Context) -> None:
    """Exercises: write the parts of a neural network with NumPy, and have them checked.

    Without a command, list the tasks and your progress in this folder.

    \b
    Examples:
      nnx learn                list the tasks
      nnx learn start 1        write the file of task 1, then open and complete it
      nnx learn check 1        check it; a wrong number gets a hint
    """
    if ctx.invoked_subcommand is None:
        _list()


def _list() -> None:
    from nnx.course.files import progress
    from nnx.course.task import tasks

    done = progress(Path())
    print_table("Tasks", ("", "task", "in this folder"),
                [(str(one.number), one.title, done.get(one.number, "")) for one in tasks()])  # fmt: skip
    _say_next(done)


def _say_next(done: dict[int, str]) -> None:
    """Name the command for the first task that is not done in this folder."""
    from nnx.course.task import tasks

    following = next((one for one in tasks() if done.get(one.number) != "done"), None)
    if following:
        started = following.number in done or Path(following.file).exists()
        say(f"next: nnx learn {'check' if started else 'start'} {following.number}")


@learn.command(short_help="Write the file of a task.")
@_number
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The file.  [default: the task's name]"
)
def start(number: int, out: Path | None) -> None:
    """Write the file of task N: the text, the formulas, the functions to write, and tests to read.

    The command never overwrites a file.

    \b
    Examples:
      nnx learn start 3
      nnx learn start 3 --out second-try.py
    """
    from nnx.course import files
    from nnx.course.task import task

    one = task(number)
    path = out or Path(one.file)
    files.start(one, path)
    click.echo(f"{path}: {one.title}")
    named = "" if out is None else f" {path}"
    say(f"write {', '.join(one.returns)}, then run: nnx learn check {number}{named}")


@learn.command(short_help="Check a file, and give hints.")
@_number
@click.argument("file", type=options.Existing(dir_okay=False), required=False)
@click.option("--seed", type=options.Whole(min=0), default=0, show_default=True, help=_seed)
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=10, show_default=True,
              help="How long the file may run.")  # fmt: skip
@options.json_flag
def check(number: int, file: Path | None, seed: int, seconds: float, as_json: bool) -> int:
    """Check FILE, your solution of task N, in a separate process with limits of time and memory.

    It compares values and gradients with the right ones, shows the first wrong number, and gives a hint if it
    can. The exit status is 0 if everything is right, else 1. This is not a sandbox: check files of other
    people where they can do no harm.

    \b
    Examples:
      nnx learn check 3
      nnx learn check 3 second-try.py
      nnx learn check 3 submission.py --seed 7 --json    for a grader
    """
    from nnx.course import checking, files
    from nnx.course.task import task

    one = task(number)
    path = file or Path(one.file)
    if not path.exists():
        raise click.UsageError(
            f"there is no {path} here: nnx learn start {number} writes it, or name your file"
        )
    report = checking.check(one, path, seed, seconds)
    if as_json:
        print_json(report.as_json())
    else:
        _show(report, path, seed)
        try:
            files.note(path.parent, report)
            if report.passed and file is None:
                _say_next(files.progress(Path()))
        except NnxError as error:  # the check itself has its result
            say(f"note: the progress was not stored: {error}")
    return 0 if report.passed else 1


def _show(report: Report, path: Path, seed: int) -> None:
    """Print what a check found."""
    from nnx.course.files import written

    click.echo(f"Task {report.task.number}: {report.task.title}")
    if report.problem:
        where = f", line {report.line}" if report.line else ""
        click.echo(f"  {path.name}{where}: {printable(report.problem)}")
    wrong = _show_checks(report.checks)
    if wrong is not None and wrong.begins and not wrong.line:
        cases = report.task.cases(seed)
        (case,) = [one for one in cases if (one.function, one.label) == (wrong.function, wrong.case)]
        click.echo(f"The data of {wrong.function}, {wrong.case}:")
        for line in written(case)[:MOST_LINES]:
            click.echo(f"  {line}")
    if report.printed.strip():
        say("printed by your file:")
        for line in report.printed.strip().splitlines()[:MOST_LINES]:
            say(f"  {line}")
    if report.passed:
        click.echo("Everything is right.")


def _show_checks(checks: list[Check]) -> Check | None:
    """Print the checks, each error and each hint of a function once; return the first that failed."""
    from nnx.course.comparing import ARGUMENTS

    first: Check | None = None
    said: dict[tuple[str, str], str] = {}
    for one in checks:
        if one.passed:
            if one.result != ARGUMENTS:
                click.echo(f"  {one.function}, {one.result}: right")
            continue
        first = first or one
        error, hint = (one.function, one.message), (one.function, one.hint)
        again = error in said  # an error is the same for all results
        if not again:
            where = f"line {one.line}, {one.case}" if one.line else one.case
            click.echo(f"  {one.function}, {one.result}: wrong ({where}): {printable(one.message)}")
        if one.hint and hint not in said:
            click.echo(f"    hint{f' for {one.result}' if again else ''}: {one.hint}")
        elif one.hint and not again:
            click.echo(f"    hint: as for {said[hint]}")
        said = {error: one.result, hint: one.result} | said
    return first


@learn.command(short_help="Write a class set, without solutions.")
@click.argument("folder", type=options.Folder(), metavar="DIR")
@click.option(
    "--seed", type=options.Whole(min=0), default=None, help="Seed of the examples.  [default: a new one]"
)
def export(folder: Path, seed: int | None) -> None:
    """Write the files of all tasks to the folder DIR, for a class, without solutions.

    The numbers in the examples come from another seed than those of nnx learn start.

    The command prints the seed: use the same seed to check what students hand in.

    \b
    Examples:
      nnx learn export class-2027
      nnx learn export class-2027 --seed 7
    """
    import secrets

    from nnx.course import files

    seed = 1 + secrets.randbelow(10**6) if seed is None else seed
    for path in files.export(folder, seed):
        click.echo(path)
    say(f"seed {seed}; to check what students hand in: nnx learn check N FILE --seed {seed} --json")
