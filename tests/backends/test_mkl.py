"""MKL: what is used and what is refused, and that other libraries in the process do not notice it.

The tests marked ``mkl`` need MKL's wheel (nox -s mkl); the others do not.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

from nnx.backends import blas, mkl
from nnx.errors import ConfigurationError

needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="MKL is for Linux on x86-64 only"
)

# ------------------------------------------------------------------------------ without MKL's wheel


def version(monkeypatch, found):
    """Let the wheel have this version; None if it is not installed."""
    real = importlib.metadata.version

    def answer(name):
        if name != "mkl":
            return real(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", answer)


def files(monkeypatch, folder, names):
    """Let the wheels have these files."""

    class File:
        def __init__(self, name):
            self.name = name

        def locate(self):
            return folder / self.name

    monkeypatch.setattr(importlib.metadata, "files", lambda name: [File(one) for one in names])


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_have_openblas(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(mkl.UnusableError, match="only on Linux"):
        mkl.load()


@needs_linux
@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, r"^MKL is not installed: run pip install 'mkl>="),
        ("2019.0", r"^MKL 2019\.0 was not tested with nnx: run pip install"),
        ("2026.3.0", r"^MKL 2026\.3\.0 was not tested"),
        ("2027", r"^MKL 2027 was not tested"),
    ],
)
def test_a_missing_wheel_and_another_version_are_refused(monkeypatch, found, text):
    version(monkeypatch, found)
    with pytest.raises(mkl.UnusableError, match=text):
        mkl.load()


@needs_linux
def test_a_missing_part_is_named(monkeypatch, tmp_path):
    version(monkeypatch, "2026.2.0")
    (tmp_path / "libmkl_core.so.3").write_bytes(b"")
    files(monkeypatch, tmp_path, ["libmkl_core.so.3", "libmkl_sequential.so.3", "mkl.pc"])
    with pytest.raises(mkl.UnusableError, match=r"^libmkl_intel_ilp64 is missing: run pip install --force"):
        mkl.load()


@needs_linux
def test_a_damaged_library_is_refused(monkeypatch, tmp_path):
    version(monkeypatch, "2026.2.0")
    names = [f"lib{part}.so" for part in mkl.PARTS]
    for name in names:
        (tmp_path / name).write_bytes(b"\x7fELF")
    files(monkeypatch, tmp_path, names)
    with pytest.raises(mkl.UnusableError, match=r"^MKL 2026\.2\.0 cannot be loaded \(.*libmkl_.*\)$"):
        mkl.load()


@needs_linux
def test_another_mkl_in_the_process_is_named(monkeypatch, tmp_path):
    version(monkeypatch, "2026.2.0")
    names = [f"lib{part}.so" for part in mkl.PARTS]
    for name in [*names, "other"]:
        (tmp_path / name).write_bytes(b"")
    files(monkeypatch, tmp_path, names)
    monkeypatch.setattr(mkl, "_mapped", lambda: {str(tmp_path / "other")})
    with pytest.raises(mkl.UnusableError, match=r"^another MKL is loaded in this process \(.*other\)$"):
        mkl.load()


def test_it_sees_which_core_is_in_memory(monkeypatch, tmp_path):
    line = "7f0000000000-7f0000001000 r-xp 00000000 08:01 42    /opt/conda/lib/libmkl_core.so.2\n"
    monkeypatch.setattr(mkl, "Path", lambda name: tmp_path / "maps")
    (tmp_path / "maps").write_text(line * 2 + "7f 42   /usr/lib/libm.so.6\n")
    assert mkl._mapped() == {"/opt/conda/lib/libmkl_core.so.2"}
    (tmp_path / "maps").unlink()
    assert mkl._mapped() == set()


@pytest.mark.parametrize("wrong", ["f4", "f8"])
def test_one_that_multiplies_wrongly_is_refused(monkeypatch, wrong):
    class Library:
        cblas_sgemm = cblas_dgemm = cblas_gemm_bf16bf16f32 = None

    monkeypatch.setattr(mkl, "load", lambda: (Library(), "2026.2.0"))
    monkeypatch.setattr(blas, "multiplies", lambda function, kind, integer: kind != wrong)
    monkeypatch.setattr(blas, "with_mkl", blas.with_mkl.__wrapped__)
    monkeypatch.setenv("NNX_BLAS", "mkl")
    with pytest.raises(ConfigurationError, match=r"^NNX_BLAS=mkl: MKL 2026\.2\.0 multiplies wrongly"):
        blas.load()


def test_the_package_asks_for_the_versions_that_are_used():
    assert f'mkl = ["nnx-arrays[fast]", "{mkl.WANTED}; ' in (ROOT / "pyproject.toml").read_text("utf-8")
    low, high = re.fullmatch(r"mkl>=([\d.]+),<([\d.]+)", mkl.WANTED).groups()
    assert tuple(map(int, low.split("."))) == mkl.OLDEST
    assert tuple(map(int, high.split("."))) == mkl.BEFORE


# --------------------------------------------------------------------------------- with MKL's wheel


@pytest.fixture(scope="module")
def libmkl_rt():
    """MKL's usual entry, as other programs load it."""
    try:
        found = [file for file in importlib.metadata.files("mkl") or () if "libmkl_rt.so" in file.name]
        return str(Path(str(found[0].locate())).resolve())
    except (importlib.metadata.PackageNotFoundError, IndexError):
        pytest.skip("MKL is not installed: nox -s mkl")


PROGRAM = """
import ctypes, hashlib, os, sys
import numpy as np
RTLD = {rt!r}
def train(seed=0):
    import nnx
    from nnx.backends import resolve
    assert resolve("cpu").blas.name.startswith("MKL"), resolve("cpu").describe()
    x = np.random.default_rng(seed).random((600, 300), dtype=np.float32)
    layers = [nnx.Dense(300, 200), nnx.ReLU(), nnx.Dense(300), nnx.Sigmoid()]
    network = nnx.Network(layers, device="cpu", seed=seed)
    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(), epochs=2, batch_size=150)
    return hashlib.sha256(b"".join(one.tobytes() for one in network.weights().values())).hexdigest()
def tasks():
    return len(os.listdir("/proc/self/task"))
class Other:
    '''Another user of MKL, by its usual entry.'''
    def __init__(self):
        self.rt = ctypes.CDLL(RTLD)
    def threads(self):
        return self.rt.MKL_Get_Max_Threads()
    def product(self, n=500):
        a, c = np.ones((n, n)), np.zeros((n, n))
        one, size = ctypes.c_double, ctypes.c_int
        at = [ctypes.c_void_p(x.ctypes.data) for x in (a, a, c)]
        self.rt.cblas_dgemm(101, 111, 111, n, n, n, one(1), at[0], n, at[1], n, one(0), at[2], n)
        assert (c == n).all()
    def uses_threads(self):
        '''Whether the first large product starts threads.'''
        before = tasks(); self.product(); return tasks() > before
"""


def run(code, rt="", **variables):
    """What a program prints that trains with MKL."""
    environment = {**os.environ, "NNX_BLAS": "mkl", **variables}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(rt=rt) + code], capture_output=True,
                          text=True, check=False, env=environment, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.mkl
def test_the_same_command_gives_the_same_bytes(libmkl_rt):
    """Also if memory lies elsewhere: MKL may choose kernels by alignment."""
    moved = "hold = [np.empty(n, np.uint8) for n in range(1, 4000, 97)]\nprint(train(), train())"
    first, again = run("print(train(), train())").split(), run(moved).split()
    assert first[0] == first[1] == again[0] == again[1]


@pytest.mark.mkl
def test_training_starts_no_threads_of_mkl_and_shows_none_of_its_functions(libmkl_rt):
    code = """
import nnx
from nnx.backends import resolve
team = resolve("cpu").threads
first = train(); before = tasks(); train(1)
assert tasks() == before
everywhere = ctypes.CDLL(None)
names = ("cblas_sgemm", "dgemm_", "mkl_blas_sgemm", "MKL_Set_Num_Threads", "omp_get_max_threads")
assert not [name for name in names if hasattr(everywhere, name)]
"""
    told = run(code, KMP_VERSION="1")  # OpenMP would print its version when it starts
    assert told == ""


@pytest.mark.mkl
@pytest.mark.parametrize("order", ["nnx first", "nnx second", "loaded first, used second"])
def test_another_user_of_mkl_keeps_its_threads(libmkl_rt, order):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a single core")
    codes = {
        "nnx first": "train(); other = Other()\nprint(other.uses_threads(), other.threads())",
        "nnx second": "other = Other(); print(other.uses_threads()); before = other.threads(); train()\n"
        "assert other.threads() == before; print(before)",
        "loaded first, used second": "other = Other(); train(); print(other.uses_threads(), other.threads())",
    }
    ends = "; other.product(); a = train(); b = train(); other.product(); assert a == b"
    threaded, count = run(codes[order] + ends, libmkl_rt).split()
    assert (threaded, int(count) > 1) == ("True", True)


@pytest.mark.mkl
def test_what_another_user_sets_holds_for_it_and_not_for_nnx(libmkl_rt):
    alone = run("print(train())").strip()
    code = "other = Other(); other.rt.MKL_Set_Num_Threads(1); other.product(); found = train(); train()\n"
    assert run(f"{code}assert other.threads() == 1; print(found)", libmkl_rt).strip() == alone
    code = "found = train(); other = Other(); other.rt.MKL_Set_Threading_Layer(1); other.product(); train()\n"
    assert run(f"{code}assert other.threads() == 1; print(found)", libmkl_rt).strip() == alone


@pytest.mark.mkl
def test_the_numbers_do_not_depend_on_the_order(libmkl_rt):
    alone = run("print(train())")
    after = run("other = Other(); other.product(); print(train())", libmkl_rt)
    assert after == alone


# Libraries that have an MKL of their own: what is used of each, and what is printed of it.
# `_onedal_estimator` means that the arithmetic is not scikit-learn's.
OTHERS = {
    "torch": ("import torch; torch.manual_seed(0); a = torch.randn(400, 400); c = (a @ a).numpy().tobytes()",
              "print(torch.__config__.show(), torch.get_num_threads(), hashlib.sha256(c).hexdigest())"),
    "sklearnex": ("import daal4py; from sklearnex.linear_model import LinearRegression as Line\n"
                  "rows = np.random.default_rng(0).normal(size=(2000, 20))\n"
                  "line = Line().fit(rows, rows @ rows[:20]); assert line._onedal_estimator",
                  "print(daal4py.num_threads(), hashlib.sha256(line.coef_.tobytes()).hexdigest())"),
}  # fmt: skip


@pytest.mark.mkl
@pytest.mark.parametrize("order", ["nnx first", "nnx second"])
@pytest.mark.parametrize("library", OTHERS)
def test_another_library_keeps_its_own_mkl(libmkl_rt, library, order):
    """It is another version, and PyTorch's functions have the same names."""
    pytest.importorskip(library, reason=f"{library} is not installed: nox -s mkl (torch: nox -s frameworks)")
    use, about = OTHERS[library]
    code = f"train()\n{use}\n" if order == "nnx first" else f"{use}\ntrain()\n"
    assert run(code + about) == run(f"{use}\n{about}")
    assert run(f"{code}print(train())") == run("print(train())")
