"""The command in different terminals and systems: completion, examples, suggestions for wrong names."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import command, environment
from support.report_runs import keep

import nnx
from nnx.cli.execute import CHECKPOINTS, LIVE, default_folder
from nnx.cli.main import cli
from nnx.cli.options import Existing
from nnx.experiments import xor

ROOT = Path(nnx.__file__).parent


def commands(group=cli, words=()):
    """Every command with the words that call it."""
    yield words, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            yield from commands(group.get_command(context, name), (*words, name))


# -------------------------------------------------------------------------------- completion


def completed(tmp_path, line):
    """What a real bash offers behind a line, its last word being completed."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    there = tmp_path / "bin" / "nnx"
    there.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m nnx "$@"\n')
    there.chmod(0o755)
    words = line.split(" ")
    script = f"""
set -e
eval "$(_NNX_COMPLETE=bash_source nnx)"
complete -p nnx
COMP_WORDS=({shlex.join(words)})
COMP_CWORD={len(words) - 1}
_nnx_completion nnx
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=environment(tmp_path, PATH=f"{there.parent}:/usr/bin:/bin"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    registered, *offered = done.stdout.splitlines()
    assert registered.endswith("nnx")
    return offered


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nnx re", {"reconstruct", "report"}),
        ("nnx run ", {"all", "autoencoder", "compare", "svm", "xor"}),
        ("nnx run autoencoder --preset ", {"best", "deep", "shallow"}),
        ("nnx run autoencoder --data", {"--dataset"}),
        ("nnx run xor --log t", {"tensorboard"}),
        ("nnx run xor --device nu", {"numba", "numpy"}),
    ],
)
def test_bash_completes(tmp_path, line, expected):
    assert set(completed(tmp_path, line)) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_given_their_script(tmp_path, shell):
    done = command(tmp_path, _NNX_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert f"_NNX_COMPLETE={shell}_complete" in done.stdout


# ---------------------------------------------------------------------- examples in the help


@pytest.mark.parametrize(("words", "one"), list(commands()), ids=lambda value: str(value))
def test_the_help_ends_with_examples_that_can_be_parsed(monkeypatch, words, one):
    """Paths in them need not exist; everything else must."""
    for kind in (click.Path, Existing):
        monkeypatch.setattr(kind, "convert", lambda self, value, param, ctx: Path(value))
    paragraphs = (one.help or "").strip().split("\n\n")
    assert re.match(r"\W*Examples?:\n", paragraphs[-1]), words
    examples = [line.strip() for line in paragraphs[-1].splitlines() if " nnx " in f" {line.strip()} "]
    assert examples, words
    for example in examples:
        before, line = f" {example}".split(" nnx ", 1)
        assert before.strip() in ("", "mpiexec -n 4"), example
        arguments = shlex.split(re.split(r" {3,}", line)[0])  # what stands behind is said of it
        ctx = cli.make_context("nnx", list(arguments))
        while isinstance(ctx.command, click.Group):
            name, below, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
            ctx = below.make_context(name, rest, parent=ctx)


# ------------------------------------------------------------------------------ nearest names


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("report runs/bset", "did you mean 'runs/best'?"),
        ("run svm --model runs/bestt", "did you mean 'runs/best'?"),
        ("predict runs/best dat.csv --out x.csv", "did you mean 'data.csv'?"),
        ("train data.cvs", "did you mean 'data.csv'?"),
        ("export runs/bes --out x.onnx", "did you mean 'runs/best'?"),
        ("reprot runs/best", "'report'"),
        ("run xor --prest deep", "'--preset'"),
        ("run xor --log json", "did you mean 'jsonl'?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(tmp_path, answer, line, near):
    (tmp_path / "runs" / "best").mkdir(parents=True)
    (tmp_path / "data.csv").write_text("1,2\n", encoding="utf-8")
    done = answer(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert near in done.stderr.replace("\\", "/")
    assert len(done.stderr.splitlines()) == 1


# --------------------------------------------------------------------- other systems than this


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "utf-8"])
def test_an_old_code_page_gets_question_marks_and_no_error(tmp_path, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "nnx", "run", "xor", "--help"], cwd=tmp_path, capture_output=True, timeout=60,
        env=environment(tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("→" in done.stdout.decode(encoding)) is (encoding == "utf-8")
    assert "Learn XOR" in done.stdout.decode(encoding)


RESERVED = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10)),
}


def test_every_name_that_nnx_gives_is_one_that_every_system_takes(run_folders):
    given = {CHECKPOINTS, *LIVE.values()}
    for name in ("xor", "autoencoder", "svm", "compare", "all", "train"):
        given |= set(default_folder(name).parts)
    for folder in run_folders.values():
        given |= {part for path in folder.rglob("*") for part in path.relative_to(folder).parts}
    assert "report.html" in given
    for name in given:
        assert re.fullmatch(r"[a-z0-9._-]+", name), name  # no colon, no capital that another system folds
        assert not name.endswith("."), name
        assert name.split(".")[0].upper() not in RESERVED, name


def test_a_folder_whose_name_has_spaces_and_other_scripts_works(tmp_path):
    folder = tmp_path / "läufe and ラン" / "ünïcode run"
    keep(xor.run(xor.Config("deep", 3, device="cpu")), folder)
    done = command(tmp_path, "report", folder, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert "ünïcode run" in (folder / "report.html").read_text(encoding="utf-8")


def without_encoding(path):
    """Where a file opens text without saying in which encoding: Windows would take its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func).rpartition(".")[0]
        if called in ("read_text", "write_text"):
            yield node.lineno
        if called == "open" and owner not in ("os", "Image") and not owner.endswith(("archive", "gate")):
            mode = node.args[0] if owner and node.args else node.args[1] if len(node.args) > 1 else None
            if not (isinstance(mode, ast.Constant) and "b" in str(mode.value)):
                yield node.lineno


def test_text_is_read_and_written_in_utf_8(tmp_path):
    wrong = [f"{path}:{line}" for path in sorted(ROOT.rglob("*.py")) for line in without_encoding(path)]
    assert not wrong, "\n".join(wrong)
    bad = tmp_path / "bad.py"
    bad.write_text("p.open()\np.open('w')\np.open('rb')\np.read_text()\nopen(p)\nopen(p, 'wb')\n")
    assert list(without_encoding(bad)) == [1, 2, 4, 5]
