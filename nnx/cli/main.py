"""The command ``nnx``: its subcommands, its exit status, and how it shows errors."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

import nnx
from nnx.cli.apply import encode, predict, reconstruct
from nnx.cli.data import data
from nnx.cli.devices import devices, gradcheck
from nnx.cli.export import export
from nnx.cli.learn import learn
from nnx.cli.options import DEBUG, everywhere
from nnx.cli.play import play
from nnx.cli.report import report
from nnx.cli.run import run
from nnx.cli.trace import trace
from nnx.cli.train import train
from nnx.distributed import connect, joined
from nnx.distributed.supervisor import launched_rank
from nnx.errors import ConfigurationError, NnxError, RankError, printable

INTERRUPTED, TERMINATED = 130, 143


class _Terminated(BaseException):
    """SIGTERM as an exception, so that unfinished files are removed."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(nnx.__version__, prog_name="nnx")
def cli() -> None:
    """Neural networks with explicit forward and backward passes, on NumPy or CuPy.

    \b
    Exit status:
      0    done
      1    failed: a file, a device or the training, or a check found an error
      2    wrong usage: an invalid command, option, argument or setting
      130  interrupted (Ctrl-C); 143 terminated (SIGTERM)

    \b
    Examples:
      nnx run autoencoder             train it, evaluate it, draw figures
      nnx run svm --model runs/NAME   classify the autoencoder's codes
      nnx run compare                 compare with Keras, PyTorch, JAX, sklearn
      nnx train flowers.csv --target species    train on your own data
      nnx report runs/A runs/B        write a web page that compares two runs
    """


for command in (
    *(run, train, report, devices, gradcheck, data, encode, reconstruct, predict, export),
    *(learn, play, trace),
):
    cli.add_command(command)
everywhere(cli, DEBUG)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 wrong usage, 130 and 143 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # print ? for a character that the terminal does not have
            stream.reconfigure(errors="replace")
    status = _status(sys.argv[1:] if arguments is None else arguments)
    if status:
        joined().abort(status)
    sys.exit(status)


def _open_closed_streams() -> None:
    """Open standard streams that are closed (``>&-``, a daemon) as the null device.

    Otherwise the next file that is opened would take the place of such a stream, and libraries would print
    into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _status(arguments: Sequence[str]) -> int:
    try:
        status = cli.main(args=arguments, prog_name="nnx", standalone_mode=False)
        sys.stdout.flush()  # while an error (a closed pipe, a full disk) can still be reported
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        _join_to_report(arguments)
        command = error.ctx.command_path if error.ctx else "nnx"
        text = error.format_message().rstrip(".").replace(". Did you mean", ": did you mean")
        _show(_of_rank(f"{text}; see {command} --help"))
        return error.exit_code
    except click.ClickException as error:
        _join_to_report(arguments)
        _show(_of_rank(error.format_message()))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _show("interrupted")
        return INTERRUPTED
    except _Terminated:
        _show("terminated")
        return TERMINATED
    except BrokenPipeError:  # the program that read the output has ended: print nothing more
        _drop_output()
        return 1
    except Exception as error:
        _drop_output()
        _join_to_report(arguments)
        _show(_explained(error))
        return 2 if isinstance(error, ConfigurationError) else 1


def _join_to_report(arguments: Sequence[str]) -> None:
    """Join the job if this rank failed before it joined, so that the others do not wait for it."""
    asked = any(argument.partition("=")[0] == "--distributed" for argument in arguments)
    if asked and joined().size == 1 and launched_rank() is not None:
        with suppress(Exception):  # without MPI, the others notice that this rank is missing
            connect("mpi")


def _drop_output() -> None:
    """Discard buffered output that cannot be written: Python would try again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: Exception) -> str:
    """Return the line that explains an error."""
    if isinstance(error, NnxError):
        return str(error) if isinstance(error, RankError) else _of_rank(str(error))
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): choose a smaller --batch-size"
    if isinstance(error, OSError):
        return f"the system reports an error: {error}"
    return f"this is a bug in nnx, {type(error).__name__}: {error}; --debug shows where"


def _of_rank(text: str) -> str:
    """Return an error's text, with the rank in front if it is not rank 0."""
    return f"rank {joined().rank}: {text}" if joined().rank else text


def _show(text: str) -> None:
    joined().take_turn()
    if os.environ.get("NNX_DEBUG"):
        traceback.print_exc()
    click.echo(f"nnx: {printable(' '.join(text.split()))}", err=True)
