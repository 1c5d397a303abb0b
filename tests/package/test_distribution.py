"""The wheel and the source archive: built, checked, and installed in an empty environment."""

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
from support.places import ROOT

import nnx
from nnx import libraries

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = ("build", "twine", "check_wheel_contents", "uv")
pytestmark = pytest.mark.skipif(
    any(find_spec(tool) is None for tool in TOOLS),
    reason="build, twine, check-wheel-contents and uv are not installed: nox -s package runs this",
)

# What an extra brings, by the module that says it is there. CuPy's own CUDA libraries and MKL are gigabytes:
# only the resolution of these extras is tried. `nox -s ladder` imports CuPy itself, `nox -s mkl` uses MKL.
BROUGHT = {
    "estimators": ("sklearn, scipy", "nnx.estimators"),
    "reports": ("matplotlib, jinja2, PIL", "nnx.reports"),
    "datasets": ("pooch, requests, PIL, sklearn", "nnx.datasets"),
    "experiments": (", ".join(libraries.EXPERIMENTS), "nnx.experiments.svm"),
    "all": (", ".join((*libraries.EXPERIMENTS, "numba", "onnx")), "nnx.reports"),
    "fast": ("numba", "nnx.backends.numba_backend"),
    "compare": ("keras", "nnx.experiments.compare.workers.keras_worker"),
    "onnx": ("onnx", "nnx.interop.onnx"),
    "mpi": ("mpi4py", "nnx.distributed.mpi"),
    "mlflow": ("mlflow, sqlalchemy, alembic", "nnx.training.loggers"),
    "tensorboard": ("tensorboardX, tensorboard", "nnx.training.loggers"),
    "svm": ("sklearnex", "nnx.experiments.svm_engines"),
}
RESOLVED_ONLY = {"cuda12", "cuda13", "mkl", "test"}


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
    python = installed("[experiments]", python=found.stdout.strip())
    assert call(python, "-c", "import nnx; print(nnx.__version__)").strip() == nnx.__version__
    command = python.parent / "nnx"
    call(command, "run", "xor", "--epochs", "50", "--out", tmp_path / "xor", NNX_OFFLINE="1")
    call(command, "run", "autoencoder", "--dataset", "digits", "--epochs", "1", "--out", tmp_path / "digits")
    call(command, "report", tmp_path / "xor", tmp_path / "digits", "--out", tmp_path / "both.html")
    assert (tmp_path / "digits" / "model.safetensors").is_file()
    for module in ("datasets", "reports", "experiments", "gradcheck"):
        call(python, "-W", "error", "-c", f"import nnx.{module}")


CORE = """
import numpy as np, nnx
x = np.random.default_rng(0).normal(size=(64, 4)).astype("f4")
layers = [nnx.Dense(4, 8), nnx.GELU(), nnx.Dense(8), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()]
network = nnx.Network(layers, seed=0)
history = network.fit(x, (x[:, :1] > 0), loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(0.05), epochs=60,
                      validation=0.25, metrics=["accuracy"])
network.save("model.safetensors")
assert (nnx.load("model.safetensors").predict(x) == network.predict(x)).all()
assert history["val_accuracy"][-1] > 0.9
assert nnx.gradcheck.check(network, x.astype("f8"), x[:, :1] > 0, nnx.BinaryCrossEntropy()).passed
for name in ("estimators", "reports"):
    try:
        getattr(nnx, name)
    except nnx.MissingLibraryError as error:
        print(error)
try:
    nnx.datasets.load_digits()
except nnx.MissingLibraryError as error:
    print(error)
"""


def test_the_core_trains_saves_loads_and_predicts_in_little_space(installed, tmp_path: Path):
    python = installed()
    there = sum(file.stat().st_size for file in (python.parent.parent / "lib").rglob("*") if file.is_file())
    assert there <= 120e6, f"{there / 1e6:.0f} MB"
    (tmp_path / "core.py").write_text(CORE, encoding="utf-8")
    told = call(python, "-W", "error", tmp_path / "core.py", cwd=tmp_path).splitlines()
    assert told == [
        "nnx.estimators needs scikit-learn, not installed here: pip install 'nnx-arrays[estimators]'",
        "nnx.reports needs matplotlib, not installed here: pip install 'nnx-arrays[reports]'",
        "load_digits needs scikit-learn, not installed here: pip install 'nnx-arrays[datasets]'",
    ]
    nnx_command = python.parent / "nnx"
    assert "run" in call(nnx_command, "--help")
    call(nnx_command, "devices")
    call(nnx_command, "gradcheck")
    for words in (["run", "xor"], ["run", "autoencoder"], ["train", "core.py"]):
        done = subprocess.run([nnx_command, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "scikit-learn" in done.stderr
        assert done.stderr.rstrip().endswith("pip install 'nnx-arrays[experiments]'")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "core.py",
            "environment",
            "model.safetensors",
        ]


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
