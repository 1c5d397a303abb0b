"""The public names resolve, docstrings follow numpydoc, and there is one version."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import nnx
from nnx import libraries

ROOT = Path(nnx.__file__).parent.parent
SOURCE = (ROOT / "pyproject.toml").is_file()
ROOMS = [name for name in nnx.__all__ if inspect.ismodule(getattr(nnx, name))]
NAMES = [name for name in nnx.__all__ if name not in ROOMS]


def fields_of(cls: type) -> set[str]:
    """Attributes that the docstring of a dataclass describes; some hold functions."""
    return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def public_members(cls: type) -> list[tuple[str, object]]:
    """Its own, and those of bases that have no public name, as a network's are in several files."""
    public = {getattr(nnx, name) for name in NAMES}
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("nnx.") and base not in public]
    members = {name: member for base in [*reversed(bases), cls] for name, member in vars(base).items()}
    return [
        (f"{cls.__name__}.{name}", member)
        for name, member in members.items()
        if not name.startswith("_")
        and name not in fields_of(cls)
        and (inspect.isfunction(member) or isinstance(member, (property, classmethod)))
    ]


def documented() -> dict[str, object]:
    """Every public class and function of nnx, and of the modules it names, with their public members."""
    found: dict[str, object] = {name: getattr(nnx, name) for name in NAMES}
    for room in ROOMS:
        module = getattr(nnx, room)
        for name, member in vars(module).items():
            here = getattr(member, "__module__", "").startswith(f"nnx.{room}")
            if not name.startswith("_") and here and (inspect.isclass(member) or inspect.isfunction(member)):
                found[f"{room}.{name}"] = member
    for member in list(found.values()):
        if inspect.isclass(member):
            found.update(public_members(member))
    return found


def imported_by_nnx() -> set[str]:
    """Top-level names that nnx's modules import, wherever the import stands, beyond the standard library."""
    names: set[str] = set()
    for path in Path(nnx.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"nnx"}


@pytest.mark.skipif(not SOURCE, reason="there is no pyproject.toml beside an installed nnx")
def test_what_is_imported_is_declared_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    of_experiments = [*extras["estimators"], *extras["reports"], *extras["datasets"], *extras["experiments"]]
    declared = {re.split(r"[\[>=<; ]", entry)[0] for entry in [*project["dependencies"], *of_experiments]}
    # of the extras cuda12, cuda13, compare, fast, mpi and onnx (those of loggers.py are imported by name)
    optional = {"cupy", "cupyx", "keras", "tensorflow", "numba", "llvmlite", "mpi4py", "onnx", "onnxruntime"}
    optional |= {"torch", "jax"}  # nnx is only compared with them
    optional |= {"polars", "pyarrow"}  # imported only for tables of theirs
    imported = {libraries.PACKAGES.get(name, name) for name in imported_by_nnx() - optional}
    assert imported == declared - {"nnx-arrays"}


def test_all_is_sorted_and_holds_each_name_once():
    assert len(set(nnx.__all__)) == len(nnx.__all__)
    assert not [name for name in nnx.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", sorted(set(nnx.__all__)))
def test_a_public_name_resolves(name):
    assert getattr(nnx, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = nnx.nothing


@pytest.mark.parametrize(("name", "member"), documented().items(), ids=documented())
def test_a_public_thing_is_documented(name, member):
    text = inspect.getdoc(member)
    assert text, f"{name} has no docstring"
    summary = text.split("\n\n")[0].strip()
    assert summary, name
    assert summary.endswith((".", "…", ":", "?", "!")) or ";" in summary or "=" in summary, (name, summary)


def test_a_dataclass_describes_its_fields():
    for name, member in documented().items():
        if inspect.isclass(member):
            text = inspect.getdoc(member) or ""
            missing = [field for field in fields_of(member) if not re.search(rf"\b{field}\b", text)]
            assert not missing, (name, missing)


SECTIONS = (
    "Parameters",
    "Returns",
    "Raises",
    "Attributes",
    "References",
    "Examples",
    "Yields",
    "Notes",
    "See Also",
)


@pytest.mark.parametrize(("name", "member"), documented().items(), ids=documented())
def test_sections_of_a_docstring_are_numpydocs(name, member):
    lines = (inspect.getdoc(member) or "").splitlines()
    for title, rule in itertools.pairwise(lines):
        if re.fullmatch(r"-{3,}", rule.strip()):
            assert title.strip() in SECTIONS, (name, title)
            assert len(rule.strip()) == len(title.strip()), (name, title)


def test_functions_that_take_arguments_name_none_that_they_lack():
    """A parameter that a docstring describes is one that exists."""
    for name, member in documented().items():
        text = inspect.getdoc(member) or ""
        if "Parameters\n----------\n" not in text or isinstance(member, property):
            continue
        target = member.__init__ if inspect.isclass(member) else member
        target = getattr(target, "__func__", target)
        known = set(inspect.signature(target).parameters)
        section = re.split(r"\n\n(?=[A-Z][A-Za-z ]+\n-{3,})", text.split("Parameters\n----------\n")[1])[0]
        for line in section.splitlines():
            if line and not line.startswith(" ") and re.match(r"[\w*, ]+( : |$)", line):
                described = {part.strip(" *") for part in line.split(" : ")[0].split(",")}
                assert described <= known, (name, described - known)


@pytest.mark.skipif(not SOURCE, reason="not run from a source tree")
def test_the_version_is_said_once_and_everywhere_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project.get("dynamic", []), "the version is read from nnx/__init__.py"
    assert metadata.version(project["name"]) == nnx.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", nnx.__version__)


@pytest.mark.skipif(not (ROOT / "CHANGELOG.md").is_file(), reason="there is no changelog here")
def test_the_changelog_tells_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(nnx.__version__)}\b", text, re.MULTILINE)


@pytest.mark.skipif(not SOURCE, reason="not run from a source tree")
def test_the_command_exists():
    script = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["nnx"]
    module, name = script.split(":")
    if not (ROOT / "nnx" / "cli" / "__init__.py").is_file():
        pytest.skip("the command line is not there yet")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.skipif(not SOURCE, reason="not run from a source tree")
@pytest.mark.parametrize(
    "command",
    [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[experiments]' && .venv/bin/nnx run autoencoder",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
    ],
)
def test_the_readme_gives_the_two_commands(command):
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (ROOT / ".ci" / "run").is_file(), reason="not run from a source tree")
def test_continuous_integration_runs_the_command_of_the_readme():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(
        r"python3 -m venv \.venv && \.venv/bin/pip install (--quiet )?-e '\.\[test\]' && \.venv/bin/pytest",
        text,
    )


def test_the_package_is_marked_as_typed():
    assert (ROOT / "nnx" / "py.typed").is_file()


@pytest.mark.parametrize(
    "module", ["nnx.layers", "nnx.losses", "nnx.backends.base", "nnx.schedules", "nnx.network"]
)
def test_a_module_can_be_the_first_to_be_imported(module):
    """No order of imports is needed."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["Network", "Layer", "use"])
def test_examples_in_docstrings_run(name):
    import doctest

    member = getattr(nnx, name)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    tests = finder.find(member, name, globs={})
    assert sum(len(test.examples) for test in tests) > 0
    try:
        for test in tests:
            runner.run(test)
    finally:
        for kind in [name for name in nnx.Layer.registry if name.rpartition(".")[2] == "Scale"]:
            del nnx.Layer.registry[kind]
    assert runner.failures == 0
