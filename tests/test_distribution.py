"""What is published: the wheel and the source archive, built, checked, installed where nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnx

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = ("build", "twine", "check_wheel_contents", "uv")
pytestmark = pytest.mark.skipif(
    any(find_spec(tool) is None for tool in TOOLS),
    reason="build, twine, check-wheel-contents and uv are not installed: nox -s package runs this",
)

# What an extra brings, by the module that says it is there. CuPy's own CUDA libraries are gigabytes: of those
# two extras only the resolution is tried; the ladder's environment imports CuPy itself.
BROUGHT = {
    "fast": ("numba", "nnx.backends.numba_kernels"),
    "compare": ("keras", "nnx.experiments.compare.keras_worker"),
    "onnx": ("onnx", "nnx.interop.onnx"),
    "mpi": ("mpi4py", "nnx.distributed.mpi"),
    "mlflow": ("mlflow, sqlalchemy, alembic", "nnx.live"),
    "tensorboard": ("tensorboardX, tensorboard", "nnx.live"),
    "svm": ("sklearnex", "nnx.experiments.svm_engines"),
}
RESOLVED_ONLY = {"cuda12", "cuda13", "test"}


def call(*command: object, cwd: Path | None = None, **variables: str) -> str:
    """Standard output of a command that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=540,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel built from it."""
    place = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--outdir", place, ROOT)
    (source,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    return source, wheel


@pytest.fixture
def installed(archives: tuple[Path, Path], tmp_path: Path):
    """Installs the wheel, with extras, into a fresh environment; gives the environment's Python."""

    def install(extra: str = "", python: str = sys.executable) -> Path:
        environment = tmp_path / "environment"
        call(sys.executable, "-m", "uv", "venv", "--python", python, environment)
        there = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        wanted = f"nnx-arrays{extra} @ {archives[1].as_uri()}"
        call(sys.executable, "-m", "uv", "pip", "install", "--python", there, wanted)
        return there

    return install


def test_the_citation_names_this_version():
    assert f"\nversion: {nnx.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_archives_pass_the_index_s_checks(archives):
    call(sys.executable, "-m", "twine", "check", "--strict", *archives)


def test_the_wheel_s_contents_are_sound(archives):
    call(sys.executable, "-m", "check_wheel_contents", archives[1])


def test_the_wheel_holds_the_package_and_nothing_else(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "nnx"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if kept.returncode:
        pytest.skip("there is no git checkout to compare with")
    assert names == {name for name in kept.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_source_archive_holds_what_its_tests_need(archives):
    with tarfile.open(archives[0]) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    for needed in (
        *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "zensical.toml"),
        *("tests/conftest.py", "docs/index.md", "examples/xor.py", "benchmarks/step.py"),
    ):
        assert needed in names, needed


def pythons() -> list[str]:
    return [found[1] for line in PROJECT["classifiers"] if (found := re.search(r":: (3\.\d+)$", line))]


@pytest.mark.parametrize("version", pythons())
def test_the_wheel_works_in_a_fresh_environment(installed, tmp_path: Path, version: str):
    found = subprocess.run(
        [sys.executable, "-m", "uv", "python", "find", version], capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip(f"Python {version} is not on this machine")
    python = installed(python=found.stdout.strip())
    assert call(python, "-c", "import nnx; print(nnx.__version__)").strip() == nnx.__version__
    command = python.parent / "nnx"
    call(command, "run", "xor", "--epochs", "50", "--out", tmp_path / "xor", NNX_OFFLINE="1")
    call(command, "run", "autoencoder", "--dataset", "digits", "--epochs", "1", "--out", tmp_path / "digits")
    call(command, "report", tmp_path / "xor", tmp_path / "digits", "--out", tmp_path / "both.html")
    assert (tmp_path / "digits" / "model.safetensors").is_file()
    for module in ("datasets", "reports", "experiments", "gradcheck"):
        call(python, "-W", "error", "-c", f"import nnx.{module}")


def test_every_extra_is_tried():
    assert set(PROJECT["optional-dependencies"]) == set(BROUGHT) | RESOLVED_ONLY


@pytest.mark.parametrize("extra", sorted(BROUGHT))
def test_an_extra_brings_what_it_is_for(installed, extra: str):
    library, module = BROUGHT[extra]
    call(installed(f"[{extra}]"), "-c", f"import {library}, {module}", TF_CPP_MIN_LOG_LEVEL="3")


@pytest.mark.parametrize("extra", sorted(RESOLVED_ONLY))
def test_an_extra_can_be_resolved(archives, tmp_path: Path, extra: str):
    wanted = tmp_path / "requirements.in"
    wanted.write_text(f"nnx-arrays[{extra}] @ {archives[1].as_uri()}\n")
    resolved = call(sys.executable, "-m", "uv", "pip", "compile", "--quiet", wanted)
    assert len(resolved.splitlines()) > len(PROJECT["dependencies"])
