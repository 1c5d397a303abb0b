"""The command ``nnx``: its groups, and what an error looks like."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import click

import nnx
from nnx.cli.apply import encode, predict, reconstruct
from nnx.cli.data import data
from nnx.cli.devices import devices, gradcheck
from nnx.cli.run import run
from nnx.errors import ConfigurationError, NnxError

INTERRUPTED, TERMINATED = 130, 143


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that files being written are cleaned up."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(nnx.__version__, prog_name="nnx")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Neural networks with explicit forward and backward passes, on NumPy or CuPy.

    \b
    Examples:
      nnx run autoencoder                 train, measure, draw
      nnx run svm --model runs/NAME       classify its codes
      nnx run compare                     beside Keras, same weights, same batches
    """
    if debug:
        os.environ["NNX_DEBUG"] = "1"


for command in (run, devices, gradcheck, data, encode, reconstruct, predict):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed, 2 wrong usage, 130 and 143 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_status(arguments))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _status(arguments: Sequence[str] | None) -> int:
    try:
        status = cli.main(args=arguments, prog_name="nnx", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("nnx: interrupted", err=True)
        return INTERRUPTED
    except _Terminated:
        click.echo("nnx: terminated", err=True)
        return TERMINATED
    except BrokenPipeError:  # the reader of a pipe has gone: nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except NnxError as error:
        _show(error)
        return 2 if isinstance(error, ConfigurationError) else 1
    except MemoryError as error:
        _show(NnxError(f"out of memory ({error}): choose a smaller --batch-size"))
        return 1


def _show(error: NnxError) -> None:
    if os.environ.get("NNX_DEBUG"):
        traceback.print_exc()
    text = " ".join(str(error).split())
    click.echo(f"nnx: {text}", err=True)
