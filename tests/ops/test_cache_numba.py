"""Numba's cache of compiled code, damaged or on a full disk: the same numbers, and no crash."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.checkpoint_faults import small_disk

import nnx

pytest.importorskip("numba", reason="Numba is not installed")

KERNEL = """
def kernel(x):
    total = 0.0
    for value in x:
        total += value * value + 0.5
    return total
"""
X = np.arange(7.0)
RIGHT = float((X * X + 0.5).sum())


@pytest.fixture
def kernel(tmp_path):
    return kernel_in(tmp_path)


def kernel_in(folder):
    """A function that makes the kernel as a new process would, and says whether it came from the cache."""
    from nnx.ops.base_numba import compiled

    path = folder / "kernels_to_damage.py"
    path.write_text(KERNEL)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run():
        fresh = compiled()(module.kernel)
        assert fresh(X) == RIGHT
        return bool(sum(fresh.stats.cache_hits.values()))

    return run


def cached(folder):
    files = [path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert len(files) == 2
    return files


def test_code_is_kept_and_used_again(kernel):
    assert [kernel() for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("kind", [".nbi", ".nbc"])
def test_a_file_cut_or_with_a_flipped_bit_anywhere_is_compiled_again(kernel, tmp_path, kind):
    kernel()
    path = next(path for path in cached(tmp_path) if path.suffix == kind)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for place in rng.integers(0, len(whole), 8):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        for damaged in (whole[:place], bytes(flipped)):
            path.write_bytes(damaged)
            assert not kernel(), (place, len(damaged))
            assert kernel()  # it was mended


CALLER = """
import numpy as np
import nnx
nnx.resolve("numba")
from nnx.ops.losses_numba import team_binary_cross_entropy_from_logits as kernel
y = np.ones((2, 3), np.float32)
dy = np.empty_like(y)
kernel(y, y, dy, np.float32(1.0), np.empty(1), 1)
print(dy[0, 0], sum(kernel.stats.cache_hits.values()))
"""


def test_a_kernel_is_compiled_again_where_a_kernel_that_it_calls_has_changed(tmp_path):
    """It is in another file, which Numba does not look at."""
    package = tmp_path / "nnx"
    shutil.copytree(Path(nnx.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run():
        done = subprocess.run([sys.executable, "-c", CALLER], capture_output=True, text=True, check=False,
                              cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path),
                                                 "NUMBA_CACHE_DIR": str(tmp_path / "cache")})  # fmt: skip
        assert done.returncode == 0, done.stderr
        gradient, kept = done.stdout.split()
        return float(gradient), kept

    right = 1.0 / (1.0 + np.exp(-1.0)) - 1.0
    assert run() == (pytest.approx(right, rel=1e-5), "0")
    assert run() == (pytest.approx(right, rel=1e-5), "1")
    called = package / "ops" / "activations_numba.py"
    text = called.read_text(encoding="utf-8")
    assert "f(5.0000001201e-1)" in text
    called.write_text(text.replace("f(5.0000001201e-1)", "f(4.0000001201e-1)"), encoding="utf-8")
    gradient, kept = run()
    assert kept == "0"
    assert gradient != pytest.approx(right, rel=1e-5)


def test_files_without_checksums_are_written_again(kernel, tmp_path):
    kernel()
    for path in cached(tmp_path):
        path.write_bytes(path.read_bytes()[:-32])
    assert [kernel() for _ in range(2)] == [False, True]


def test_a_full_disk_gives_the_same_numbers(tmp_path):
    with small_disk(tmp_path / "disk", "16k") as grow:
        run = kernel_in(tmp_path / "disk")
        (tmp_path / "disk" / "fills").write_bytes(b"x" * 2**13)
        assert [run() for _ in range(2)] == [False, False]
        assert not [path for path in (tmp_path / "disk").rglob("*") if ".tmp." in path.name]
        grow("4m")
        assert [run() for _ in range(2)] == [False, True]


def test_two_processes_that_save_at_once_never_share_a_file(tmp_path, monkeypatch):
    """Numba would give both the same file, and load code for float64 where float32 is asked for."""
    from nnx.ops.cache_numba import _CheckedFiles

    one, other = (_CheckedFiles(str(tmp_path), "kernel", ("stamp",)) for _ in range(2))
    one.save("float32", "code for float32")
    index = (tmp_path / "kernel.nbi").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(other, "_load_index", dict)  # it was read before the first process saved
        other.save("float64", "code for float64")
    assert (one.load("float32"), one.load("float64")) == (None, "code for float64")
    (tmp_path / "kernel.nbi").write_bytes(index)  # the index of the first process is the last
    assert (one.load("float32"), one.load("float64")) == ("code for float32", None)


def test_a_file_with_the_code_of_another_key_is_not_used(tmp_path):
    from nnx.ops.cache_numba import _CheckedFiles

    files = _CheckedFiles(str(tmp_path), "kernel", ("stamp",))
    files.save("float32", "code for float32")
    files.save("float64", "code for float64")
    first, second = sorted(tmp_path.glob("*.nbc"))
    second.write_bytes(first.read_bytes())
    assert sorted((str(files.load("float32")), str(files.load("float64"))))[0] == "None"
    assert _CheckedFiles(str(tmp_path), "kernel", ("newer",)).load("float32") is None
