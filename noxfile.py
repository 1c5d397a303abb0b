"""Define what ``nox`` runs: the tests on every supported Python, the linters and the type checker.

``nox -s tests-3.12 -- -k xor`` passes the arguments after the dashes to pytest. The short form is `quick`. It
leaves out TensorFlow, and the tests that need TensorFlow or the real MNIST, start MPI, or are marked `slow`.
"""

from __future__ import annotations

from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
PROJECT = nox.project.load_toml("pyproject.toml")

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types", "site", "package"]


def without_tensorflow() -> list[str]:
    """Return pip's arguments for an editable nnx and the extra `test`, without TensorFlow."""
    needed = PROJECT["project"]["optional-dependencies"]["test"]
    own, others = (
        [one for one in needed if "nnx-arrays" in one],
        [one for one in needed if "nnx-arrays" not in one],
    )
    return ["-e", own[0].replace("compare,", "").replace("nnx-arrays", "."), *others]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, also those against TensorFlow's Keras."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def quick(session: nox.Session) -> None:
    """Run the fast tests, without TensorFlow."""
    session.install(*without_tensorflow())
    session.run(
        "pytest", "-n", "2", "-m", "not keras and not mnist and not mpi and not slow", *session.posargs
    )


@nox.session
def ladder(session: nox.Session) -> None:
    """Run the tests of the GPU code that need no GPU: on CuPy's wheel, then on a stand-in (docs/gpu.md)."""
    session.install(*without_tensorflow(), *PROJECT["dependency-groups"]["ladder"])
    session.run("pytest", "-n", "2", "-m", "ladder", "tests/ladder", *session.posargs)
    errors = ("tests/backends/test_backends.py", "tests/backends/test_cupy_errors.py")
    session.run("pytest", *errors)  # with CuPy's own errors
    standin = {"PYTHONPATH": str(Path(__file__).parent / "tests" / "ladder" / "standin")}
    required = {"NNX_REQUIRE_GPU": "1"}  # a test that finds no GPU fails, instead of being skipped
    session.run("pytest", "-n", "2", "-m", "gpu or standin", *session.posargs, env=standin | required)


@nox.session(python="3.12")
def dry(session: nox.Session) -> None:
    """Run the program for a GPU without one: on the stand-in, with the packages of the machine it is for."""
    session.install(*PROJECT["dependency-groups"]["machine"])
    folder, here = Path(session.create_tmp()), Path(__file__).parent
    wheels, script = str(folder / "wheels"), str(here / "benchmarks" / "gpu.sh")
    session.run("python", "benchmarks/gpu/wheels.py", "--to", wheels)
    standin = {"PYTHONPATH": str(here / "tests" / "ladder" / "standin"), "PYTHON": "python"}
    options = ("--short", "--wheels", wheels, "--out", str(folder / "gpu"), *session.posargs)
    session.run("bash", script, *options, env=standin, external=True)


@nox.session
def mkl(session: nox.Session) -> None:
    """Run tests with MKL in place of OpenBLAS: its own tests, and those of kernels with products."""
    needed = without_tensorflow()
    session.install(needed[0], needed[1].replace("[", "[mkl,svm,"), *needed[2:])
    session.run("pytest", "-n", "2", "-m", "mkl", "tests/backends", *session.posargs)
    # Not all of tests/backends: some compare the last digits with NumPy's products, others hide MKL.
    contracts = ("tests/backends/test_backends.py", "tests/backends/test_numba_backend.py")
    multiplying = ("dense", "convolution", "bfloat16")  # the other operations have no products
    ops = [str(one) for name in multiplying for one in sorted(Path("tests/ops").glob(f"test_{name}*.py"))]
    kernels = (*ops, *contracts, "tests/parity/test_determinism.py")
    session.run("pytest", "-n", "2", *kernels, *session.posargs, env={"NNX_BLAS": "mkl"})


@nox.session
def frameworks(session: nox.Session) -> None:
    """Run the tests that need PyTorch or JAX. Not in .ci/run: PyTorch with its libraries takes gigabytes."""
    needed = without_tensorflow()
    session.install(needed[0], needed[1].replace("[", "[mkl,svm,"), *needed[2:], "torch", "jax")
    names = (
        "backends/test_foreign",
        "backends/test_mkl",
        "estimators/test_array_api",
        "losses/test_distributions",
        "layers/test_variational",
        "optimizers/test_groups",
        "documents/test_examples",
    )
    session.run("pytest", "-n", "2", *(f"tests/{name}.py" for name in names), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*PROJECT["dependency-groups"]["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy's strict settings."""
    session.install("-e", ".[experiments]", *PROJECT["dependency-groups"]["lint"])
    session.run("mypy")


@nox.session
def site(session: nox.Session) -> None:
    """Build the documentation site into site/, with warnings as errors, and run its tests."""
    groups = PROJECT["dependency-groups"]
    session.install("-e", ".[experiments]", "pytest", *groups["site"])
    session.run("python", "-m", "zensical", "build", "--clean", "--strict")  # -m: docs/formulas.py is found
    session.run("pytest", "tests/documents/test_site.py")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the source archive, check them, and install them on every Python that is found."""
    session.install("-e", ".", "pytest", "pytest-xdist", *PROJECT["dependency-groups"]["package"])
    session.run("pytest", "-n", "2", "tests/package/test_distribution.py", *session.posargs)
