"""The pages in docs/ are right: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from support.compiled_c import gcc
from support.pages import BLOCK, END, WITH_COMMANDS, as_program, blocks, commands, with_commands
from support.places import ROOT

import nnx
from nnx.cli.main import cli

PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
NEEDS = {
    "coming-from.md": "keras",
    "onnx.md": "onnx",
    "serving.md": "fastapi",
}  # pages whose Python needs more than nnx itself


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_no_placeholder_was_left(page: Path):
    lines = page.read_text(encoding="utf-8").splitlines()
    left = [f"{page.name}:{number}: {line}" for number, line in enumerate(lines, 1) if "@@" in line]
    assert not left, "\n".join(left)


def test_there_are_pages():
    assert {"index.md", "backpropagation.md", "how-to.md"} <= {page.name for page in PAGES}


def run_page(page: Path, folder: Path, **settings: str) -> list[str]:
    """Run a page in a separate process, because its layers and losses register by class name.

    Return what each block of Python prints; nothing for a page in `WITH_COMMANDS`.
    """
    source = with_commands(page) if page.name in WITH_COMMANDS else as_program(page)
    program = f"exec(compile({source!r}, {page.name!r}, 'exec'))"
    environment = {name: value for name, value in os.environ.items() if name != "NNX_DATA_DIR"}
    environment |= {"NNX_OFFLINE": "1", "NNX_CACHE_DIR": str(folder / "cache"), "NNX_DEVICE": "cpu"}
    environment |= {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), **settings}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split(END)[:-1]


def with_python() -> list[object]:
    """Pages with Python in them, marked where that needs Keras."""
    return [
        pytest.param(page, marks=[pytest.mark.keras] if NEEDS.get(page.name) == "keras" else [])
        for page in PAGES
        if blocks(page, {"python"}) and page.name != "convolution.md"  # its outputs are compared, below
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", with_python(), ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path):
    needed = NEEDS.get(page.name)
    if needed and find_spec(needed) is None:
        pytest.skip(f"{page.name} needs {needed}, which is not installed")
    run_page(page, tmp_path)
    if page.name == "own-data.md":
        assert (tmp_path / "predicted.csv").read_text().startswith("species\n")
        assert (tmp_path / "named.csv").read_text().startswith("file,class\n")
        assert np.load(tmp_path / "again.npy").shape == (1797, 8, 8)


OUTPUT = re.compile(r"^```python\n.*?^```$|^```text\n(?P<shown>.*?)^```$", re.DOTALL | re.MULTILINE)


def shown(page: Path) -> list[list[str]]:
    """For each block of Python: the outputs that the page shows for it."""
    found: list[list[str]] = []
    for block in OUTPUT.finditer(page.read_text(encoding="utf-8")):
        if block["shown"] is None:
            found.append([])
        else:
            found[-1].append(block["shown"])
    return found


DECIMAL = re.compile(r"-?\d+\.\d*")


def alike(printed: str, shown: str) -> bool:
    """Whether words agree, and numbers with a decimal point within a tenth: training amplifies rounding."""
    words, expected = (re.split(r"[\s\[\](),]+", text.strip()) for text in (printed, shown))
    return len(words) == len(expected) and all(
        math.isclose(float(word), float(other), rel_tol=0.1)
        if DECIMAL.fullmatch(word) and DECIMAL.fullmatch(other)
        else word == other
        for word, other in zip(words, expected, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("data", [pytest.param("mnist", marks=pytest.mark.mnist), "digits"])
def test_the_tutorial_prints_what_it_shows(data: str, tmp_path: Path, request: pytest.FixtureRequest):
    settings = {}
    if data == "mnist":
        if os.environ.get("NNX_LONG") != "1":
            pytest.skip("the tutorial on MNIST takes a minute or two: NNX_LONG=1 runs it")
        settings["NNX_DATA_DIR"] = str(request.getfixturevalue("mnist_directory"))
    page = ROOT / "docs" / "tutorial.md"
    for number, (printed, choices) in enumerate(
        zip(run_page(page, tmp_path, **settings), shown(page), strict=True), 1
    ):
        assert bool(printed) == bool(choices), f"block {number} prints {printed!r}"
        if choices:
            wanted = choices[0 if data == "mnist" else -1]
            last = "".join(printed.splitlines(keepends=True)[-len(wanted.splitlines()) :])
            assert alike(last, wanted), f"block {number} prints {last!r}, and the page shows {wanted!r}"


@pytest.mark.slow
def test_the_second_part_of_the_tutorial_prints_what_it_shows(tmp_path: Path):
    page = ROOT / "docs" / "convolution.md"
    for number, (printed, wanted) in enumerate(zip(run_page(page, tmp_path), shown(page), strict=True), 1):
        assert alike(printed, "".join(wanted)), f"block {number} prints {printed!r}, not {wanted!r}"


def test_a_training_step_runs_through_the_files_and_lines_that_the_page_says(tmp_path: Path):
    page = ROOT / "docs" / "backpropagation.md"
    code = as_program(page).replace(f"print({END!r}, end='')", "")
    code += "\nprint(*sorted(fit_files), len(fit_lines))\nprint(*sorted(files), len(lines[0]))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env=os.environ | {"NNX_DEVICE": "numpy", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8").split("### One step of `fit`")[1]
    ways = text.split("### One step by hand")
    counts = ((20, "twenty", 240), (16, "sixteen", 220))
    for said, printed, (count, word, about) in zip(ways, done.stdout.splitlines()[-2:], counts, strict=True):
        *files, lines = printed.split()
        assert set(files) == set(re.findall(r"\]\(\.\./nnx/([\w./]+)\)", said))
        assert len(files) == count
        assert abs(int(lines) - about) < 10
        words = " ".join(said.split())
        assert f"about {about} lines" in words
        assert f"in {word} files" in words
    path_to_read = re.findall(r"\]\(\.\./nnx/([\w./]+)\)", ways[0].partition("You can skip")[0])
    assert len(path_to_read) == len(set(path_to_read)) == 8
    others = [
        path.read_text(encoding="utf-8") for path in (ROOT / "README.md", page.with_name("architecture.md"))
    ]
    for said in others:
        words = " ".join(said.split())
        assert "about 240 lines" in words
        assert "in twenty files" in words
    for said in (ways[0], *others):
        assert "in eight of them" in " ".join(said.split())


def test_names_of_nnx_in_a_table_exist():
    page = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    names = set(re.findall(r"\bnnx\.(\w+)", rows))
    assert len(names) > 25
    assert names <= set(nnx.__all__)


def dotted_name_exists(name: str) -> bool:
    """Whether an attribute or a module of nnx has this dotted name."""
    words = name.split(".")
    found = importlib.import_module(words[0])
    for number, word in enumerate(words[1:], 2):
        try:
            found = getattr(found, word)
        except AttributeError:
            try:
                found = importlib.import_module(".".join(words[:number]))
            except ModuleNotFoundError:
                return False
    return True


NOT_NAMES = {"nnx.code"}  # a key in the metadata of an ONNX file
NAME = re.compile(r"(?<![\w./-])nnx(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"(?<![\w/.-])(?:[\w.-]+/)+[\w-]+\.py\b")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
CODE = re.compile(r"`([^`\n]+)`")


def attributes(text: str) -> list[tuple[str, str]]:
    """Each ``Class.attribute`` in code in a line of text whose class is one that nnx exports."""
    pairs = re.findall(r"(?<![\w.])([A-Z]\w*)\.([A-Za-z_]\w*)", " ".join(CODE.findall(text)))
    return [(owner, attribute) for owner, attribute in pairs if owner in nnx.__all__]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_names_of_nnx_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    missing = {name for name in NAME.findall(text) if name not in NOT_NAMES and not dotted_name_exists(name)}
    missing |= {
        f"{owner}.{attribute}"
        for owner, attribute in attributes(text)
        if not hasattr(getattr(nnx, owner), attribute)
    }
    assert not missing, f"{page.name} names what nnx does not have: {sorted(missing)}"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_files_of_python_exist(page: Path):
    """Paths start at the repository, at `nnx`, or at the page; a name in capitals is a placeholder."""
    text = page.read_text(encoding="utf-8")
    starts = (ROOT, ROOT / "nnx", page.parent)
    missing = {
        path
        for path in FILE.findall(text)
        if not Path(path).stem.isupper() and not any((start / path).exists() for start in starts)
    }
    missing |= {
        f"{path}::{name}"
        for path, name in TEST.findall(text)
        if not re.search(rf"(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"))
    }
    assert not missing, f"{page.name} names files that do not exist: {sorted(missing)}"


def test_the_table_of_operations_names_methods_of_a_backend():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| for | operations |")[1].split("\n\n")[0]
    operations = {name for code in CODE.findall(table) for name in code.split()}
    assert len(operations) > 30
    backend = nnx.Network([nnx.Dense(1, 1)], device="numpy").backend
    assert not {name for name in operations if not hasattr(backend, name)}


def test_the_table_of_errors_names_every_class():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| class | for |")[1].split("\n\n")[0]
    classes = {name for name, kind in vars(nnx.errors).items() if isinstance(kind, type)}
    assert set(CODE.findall(table)) == {name for name in classes if name.endswith("Error")} - {"NnxError"}


GLOSSED = ("arena", "plan", "workspace", "shard", "span", "fused", "encoder", "run", "rank", "segment")


def test_the_glossary_defines_each_word_once():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word for word in re.findall(r"^\| ([\w, ]+) \|", page, re.MULTILINE) if word != "word"]
    assert set(GLOSSED) <= set(words)
    assert len(words) == len(set(words))


@pytest.mark.mnist
def test_python_of_the_readme_runs_on_mnist(mnist_directory: Path, tmp_path: Path):
    run_page(ROOT / "README.md", tmp_path, NNX_DATA_DIR=str(mnist_directory))


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: page.name)
def test_commands_exist_and_take_these_options(page: Path):
    for arguments in commands(page):
        shown = CliRunner().invoke(cli, [*arguments, "--help"])
        assert shown.exit_code == 0, f"nnx {shlex.join(arguments)}: {shown.output}"


INDENTED = re.compile(r"^    nnx (.+?)(?:  .*)?$", re.MULTILINE)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_commands_in_the_text_exist_and_have_these_options(page: Path):
    """Commands in a sentence or an indented block; their arguments may be placeholders."""
    text = page.read_text(encoding="utf-8")
    inline = [code.removeprefix("nnx ") for code in CODE.findall(text) if re.match(r"nnx [a-z]", code)]
    for given in inline + INDENTED.findall(text):
        command, context = cli, click.Context(cli)
        words = given.split()
        while words and isinstance(command, click.Group) and not words[0].isupper():
            found = command.get_command(context, words[0])
            assert found is not None, f"{page.name}: nnx {given}: there is no {words[0]!r}"
            command, context = found, click.Context(found)
            del words[0]
        options = {option for parameter in command.get_params(context) for option in parameter.opts}
        missing = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)} - options
        assert not missing, f"{page.name}: nnx {given}: there is no option {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path):
    for found in LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = found["target"].partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Headings as a forge turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", re.sub(BLOCK, "", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.slow
def test_every_key_of_a_result_is_described(tmp_path: Path):
    """What `nnx run` prints as JSON, and keeps in its folder, stands on the page about the command line."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for arguments in (
        ["xor", "--epochs", "2"],
        ["autoencoder", "--dataset", "digits", "--epochs", "1"],
        ["svm", "--dataset", "digits", "--model", str(tmp_path / "autoencoder")],
    ):
        folder = tmp_path / arguments[0]
        done = subprocess.run(
            [sys.executable, "-m", "nnx", "run", *arguments, "-q", "--json", "--out", str(folder)],
            cwd=tmp_path, env=os.environ | {"NNX_DEVICE": "cpu", "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        for key in (*result, *result["metrics"], *result["timing"]):
            assert f"`{key}`" in page, f"{key} of nnx run {arguments[0]} is not described"
        for path in folder.rglob("*"):
            assert path.name in page, f"{path.name} in the folder of nnx run {arguments[0]} is not described"


def test_the_c_program_of_the_page_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = ROOT / "docs" / "standalone.md"
    ((_, program),) = blocks(page, {"c"})
    run_page(page, tmp_path)
    (tmp_path / "program.c").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    strict = [gcc(), "-std=c99", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*strict, "-c", "digits.c"], check=True)
    subprocess.run([*strict, "program.c", "digits.o", "-lm"], check=True)
    assert subprocess.run(["./a.out"], capture_output=True, text=True, check=True).stdout.strip().isdigit()
