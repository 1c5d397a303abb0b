"""Run the command line in a separate process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import nnx
from nnx.cli.main import cli, main

COMMAND = [sys.executable, "-m", "nnx"]
KEYS = {"experiment", "preset", "dataset", "device", "backend", "dtype", "precision", "seed", "metrics",
        "timing", "artifacts", "versions"}  # fmt: skip
TIMING = {"import_seconds", "data_seconds", "first_step_seconds", "train_seconds", "steps",
          "microseconds_per_step", "total_seconds"}  # fmt: skip


def environment(tmp_path, **variables):
    """No MNIST and no network, unless a test says otherwise."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NNX_") and k != "NO_COLOR"}
    nowhere = {"NNX_OFFLINE": "1", "NNX_CACHE_DIR": str(tmp_path / "no-cache")}
    path = os.pathsep.join(filter(None, [str(Path(nnx.__file__).parents[1]), kept.get("PYTHONPATH")]))
    return kept | nowhere | {"PYTHONPATH": path} | variables


def command(tmp_path, *arguments, limit=None, stdout=subprocess.PIPE, **variables):
    def limited():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    if limit:
        variables["PYTHONDONTWRITEBYTECODE"] = "1"  # Python would leave the compiled modules cut
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=tmp_path,
        env=environment(tmp_path, **variables),
        text=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
        preexec_fn=limited if limit else None,
    )


def in_process(tmp_path, monkeypatch, capsys, *arguments, **variables):
    """The whole command, its exit status included, in this process: seconds faster than `command`."""
    before = signal.getsignal(signal.SIGTERM)
    wanted = environment(tmp_path, **variables)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        for name in os.environ.keys() - wanted.keys():
            patch.delenv(name)
        for name, value in wanted.items():
            patch.setenv(name, value)
        try:
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        finally:
            signal.signal(signal.SIGTERM, before)
    printed = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, ended.value.code, printed.out, printed.err)


def visible(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def without_note_on_a_busy_machine(stderr: str) -> str:
    """Standard error without the line that a machine with other work brings."""
    return "".join(
        line for line in stderr.splitlines(keepends=True) if "other programs use the processors" not in line
    )


def invoke(*arguments):
    """The command in this process; an error is raised."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done
