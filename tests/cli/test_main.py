"""The command ``nnx``: help, completion, exit status, and errors in one line, on every system."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import command, environment, visible

import nnx
from nnx.cli.main import cli
from nnx.cli.options import Existing

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
        ("nnx run ", {"all", "autoencoder", "classifier", "compare", "svm", "xor"}),
        (
            "nnx run autoencoder --preset ",
            {"best", "conv", "contractive", "deep", "denoising", "shallow", "sparse", "tied", "variational"},
        ),
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
        while isinstance(ctx.command, click.Group) and (ctx._protected_args or ctx.args):
            name, below, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
            ctx = below.make_context(name, rest, parent=ctx)


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


# ------------------------------------------------- help, mistakes, outputs that take nothing

COMMANDS = [
    (), ("run",), ("run", "xor"), ("run", "autoencoder"), ("run", "svm"), ("run", "compare"), ("run", "all"),
    ("devices",), ("gradcheck",), ("data",), ("data", "fetch"), ("data", "list"), ("data", "verify"),
    ("report",), ("encode",), ("reconstruct",), ("predict",), ("train",), ("export",),
    ("learn",), ("learn", "start"), ("learn", "check"), ("learn", "export"),
    ("play",), ("trace",),
]  # fmt: skip


HEAVY = ("sklearn", "scipy", "matplotlib", "rich", "pooch", "cupy", "keras", "tensorflow", "numba", "joblib",
         "safetensors", "jinja2", "PIL")  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_printed_with_an_example_and_loads_nothing_heavy(tmp_path, words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nnx", *words, "--help"],
        cwd=tmp_path, env=environment(tmp_path, COLUMNS="80"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Example" in done.stdout
    assert f"nnx {' '.join(words)}".strip() in done.stdout
    assert "--debug" in done.stdout
    assert "..." not in re.sub(r"(COMMAND\]? \[ARGS\]|INPUT)\.\.\.", "", done.stdout)  # none was cut off
    assert max(map(len, done.stdout.splitlines())) <= 80
    loaded = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line
    }
    assert loaded.isdisjoint(HEAVY)


WRONG = [
    ("rn", 2, "'run'"),
    ("run xorr", 2, "'xor'"),
    ("run xor --presett deep", 2, "'--preset'"),
    ("run xor --preset dep", 2, "did you mean 'deep'"),
    ("run autoencoder --preset bets", 2, "did you mean 'best'"),
    ("run xor --preset best", 2, "choose from deep, shallow"),
    ("run autoencoder --dataset digitz", 2, "did you mean 'digits'"),
    ("run autoencoder --dataset xor", 2, "choose from auto, mnist, digits"),
    ("run xor --dtype float3", 2, "did you mean 'float32'"),
    ("run xor --precision bfloat", 2, "did you mean 'bfloat16'"),
    ("run xor --precision bfloat16 --dtype float64 --out new", 2, "--dtype float64 contradict each other"),
    ("run xor --tf32 --precision bfloat16 --out new", 2, "--tf32 needs float32, but --precision is bfloat16"),
    ("run xor --epochs 0", 2, "--epochs"),
    ("run xor --epochs many", 2, "'many'"),
    ("run xor --seed -1", 2, "--seed"),
    ("run autoencoder --batch-size 1.5", 2, "--batch-size"),
    ("run autoencoder --dataset digits --batch-size 100000 --out new", 2, "larger than the 1437 rows"),
    ("run xor --device gpv", 2, "did you mean 'gpu'"),
    ("run xor --device cpu:1", 2, "unknown device"),
    ("run xor --tf32 --device cpu --out new", 2, "add --device gpu, or remove --tf32"),
    ("run xor --tf32 --dtype float64 --out new", 2, "--tf32 needs float32"),
    ("run xor extra", 2, "extra"),
    ("run xor --out taken", 2, "taken"),
    ("run xor --out taken/below", 1, "taken/below"),
    ("run xor --out deep/er/new --device gpu", 1, "or choose device cpu"),
    ("run xor --device cupy", 1, "or choose device cpu"),
    ("run autoencoder --dataset mnist --out new", 1, "NNX_DATA_DIR"),
    ("run svm --model nowhere", 2, "nowhere"),
    ("run svm --model taken --epochs 3", 2, "--epochs"),
    ("run svm --svm-engine sklearnx", 2, "did you mean 'sklearnex'"),
    ("run svm --model taken --dataset digits --out new", 1, "taken"),
    ("run compare --minutes 0", 2, "--minutes"),
    ("run compare --with kears", 2, "did you mean 'keras'"),
    ("run xor --epochs two", 2, "'--epochs': must be a whole number of at least 1, not 'two'"),
    ("run xor --epochs -3", 2, "'--epochs': must be a whole number of at least 1, not '-3'"),
    ("run xor --out ./taken", 2, "'./taken' is a file: name a folder"),
    ("run xor --checkpoint-every 0", 2, "'--checkpoint-every': must be a number of steps or a time"),
    ("data verify --directory nowhere", 2, "--directory nowhere "),
    ("report empty", 1, "no result.json in empty: give the folder of a finished run"),
    ("rn xor", 2, "did you mean 'run'"),
    ("run xor --epoch 3", 2, "did you mean '--epochs'"),
    ("run compare --threads 0", 2, "--threads"),
    ("gradcheck --device tpu", 2, "did you mean 'gpu'"),
    ("encode", 2, "MODEL"),
    ("encode taken", 2, "INPUT"),
    ("encode taken taken", 1, "not a readable safetensors file: name a model that nnx saved"),
    ("encode taken taken --out codes.txt", 2, ".npz or .csv"),
    ("encode nowhere taken --out codes.npy", 2, "nowhere"),
    ("encode empty taken --out codes.npy", 1, "no model in empty"),
    ("data fetch --directory here", 1, "NNX_OFFLINE"),
    ("data fetch --directory taken", 2, "taken"),
]


@pytest.mark.parametrize(("line", "status", "text"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_mistake_is_one_line_with_the_right_status_and_leaves_nothing(tmp_path, answer, line, status, text):
    if "or choose device cpu" in text and any(
        found.usable for found in nnx.available() if found.name == "cupy"
    ):
        pytest.skip("a GPU is here, so asking for it is no mistake")
    (tmp_path / "taken").write_text("not a model")
    (tmp_path / "empty").mkdir()
    done = answer(*line.split())
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("nnx: ")
    assert text in done.stderr
    assert visible(tmp_path) == ["empty", "taken"]


def test_without_a_command_the_help_is_shown(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 2
    assert (done.stdout, "Commands:" in done.stderr) == ("", True)


GROUPS = ["", "run", "data", "devices", "gradcheck", "run xor", "run autoencoder", "run svm", "run compare",
          "run all", "report", "play", "trace", "data fetch", "data list", "data verify"]  # fmt: skip


@pytest.mark.parametrize("line", GROUPS)
def test_examples_are_on_separate_lines(line, tmp_path):
    text = command(tmp_path, *line.split(), "--help").stdout
    assert "\\b" not in text
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index("Examples:" if "Examples:" in lines else "Example:")
    assert lines[start + 1].startswith("nnx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json"), ("--version",)])
def test_a_full_standard_output_is_a_failure(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        done = command(tmp_path, *arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "nnx: the system reports an error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json")])
def test_a_reader_that_has_gone_is_no_traceback(tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = command(tmp_path, *arguments, stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")
