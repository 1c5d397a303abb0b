"""Data sets by name, and MNIST found on disk."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT

from nnx.datasets import (
    Dataset,
    DatasetUnavailableError,
    fetch_mnist,
    list_datasets,
    load,
    load_digits,
    load_mnist,
    load_xor,
    verify_mnist,
)
from nnx.datasets.mnist_files import FILES
from nnx.errors import ConfigurationError, DataError


def mnist_directory() -> Path:
    """Directory of the real MNIST files; skips the test where there is none."""
    named = os.environ.get("NNX_DATA_DIR")
    place = Path(named) if named else ROOT.parent / "shared" / "data"
    folder = place if (place / "train-images-idx3-ubyte.gz").is_file() else place / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST in {place} (set NNX_DATA_DIR)")
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A writable directory of links to the four real files."""
    source = mnist_directory()
    folder = tmp_path / "mnist"
    folder.mkdir()
    for file in FILES:
        (folder / f"{file.name}.gz").symlink_to((source / f"{file.name}.gz").resolve())
    return folder


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No directory named, an empty cache, no network."""
    monkeypatch.setenv("NNX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NNX_OFFLINE", "1")


@pytest.mark.mnist
def test_mnist_is_what_was_published() -> None:
    data = load_mnist(mnist_directory(), dtype="uint8")
    assert (data.name, data.features, data.image_shape) == ("mnist", 784, (28, 28))
    assert data.x_train.shape == (60_000, 784)
    assert data.x_test.shape == (10_000, 784)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.x_train.mean() == pytest.approx(33.318421, abs=1e-6)
    assert data.source == str(mnist_directory())
    assert set(data.checksums) == {file.name for file in FILES}


@pytest.mark.mnist
def test_mnist_pixels_are_in_the_unit_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mnist_directory()
    monkeypatch.setenv("NNX_DATA_DIR", str(folder))
    data = load_mnist()
    assert data.x_train.dtype == np.float32
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    monkeypatch.setenv("NNX_DATA_DIR", str(folder.parent))
    raw = load("mnist", dtype="uint8")
    np.testing.assert_array_equal(data.x_test, raw.x_test / np.float32(255))
    assert load("auto", on_fallback=pytest.fail).source == str(folder)


@pytest.mark.mnist
def test_files_unpacked_or_packed_again_pass(copied: Path) -> None:
    for kind in ("images-idx3", "labels-idx1"):
        packed = copied / f"t10k-{kind}-ubyte.gz"
        data = gzip.decompress(packed.read_bytes())
        packed.unlink()
        if kind == "images-idx3":
            (copied / "t10k-images.idx3-ubyte").write_bytes(data)
        else:
            packed.write_bytes(gzip.compress(data, compresslevel=1))
    assert [status.ok for status in verify_mnist(copied)] == [True] * 4
    assert load_mnist(copied, dtype="uint8").x_test.shape == (10_000, 784)


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            "t10k-labels-idx1",
            "t10k-images-idx3",
            r"shape \(10000,\), expected \(10000, 28, 28\).*t10k-labels.*swapped",
        ),
        ("t10k-images-idx3", "t10k-labels-idx1", r"expected \(10000,\) for labels.*swapped"),
        ("train-labels-idx1", "t10k-labels-idx1", r"it looks like train-labels-idx1-ubyte"),
    ],
)
def test_swapped_files_are_refused(copied: Path, source: str, target: str, message: str) -> None:
    (copied / f"{target}-ubyte.gz").unlink()
    (copied / f"{target}-ubyte.gz").symlink_to((copied / f"{source}-ubyte.gz").resolve())
    with pytest.raises(DataError, match=message):
        load_mnist(copied)


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("at", "value", "message"),
    [(20, 11, "holds the label 11, expected 0 to 9"), (20, 3, "is not MNIST's t10k-labels.*SHA-256")],
)
def test_wrong_contents_are_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch, at: int, value: int, message: str
) -> None:
    path = copied / "t10k-labels-idx1-ubyte.gz"
    data = bytearray(gzip.decompress(path.read_bytes()))
    assert data[at] != value
    data[at] = value
    path.unlink()
    path.write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(copied)
    assert str(path) in str(caught.value)
    statuses = verify_mnist(copied)
    assert [status.state for status in statuses] == ["ok", "ok", "ok", "differs"]
    assert statuses[3].problem == str(caught.value)
    monkeypatch.setenv("NNX_DATA_DIR", str(copied))
    with pytest.raises(DataError, match=message):
        load("auto", on_fallback=pytest.fail)


@pytest.mark.mnist
def test_a_truncated_file_is_refused(copied: Path) -> None:
    path = copied / "train-labels-idx1-ubyte.gz"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match="truncated"):
        load_mnist(copied)
    assert [status.state for status in verify_mnist(copied)] == ["ok", "damaged", "ok", "ok"]


@pytest.mark.mnist
def test_an_incomplete_directory_is_passed_over_and_named(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(os.environ["NNX_CACHE_DIR"]) / "mnist"
    shutil.copytree(copied, cache, symlinks=True)
    (copied / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("NNX_DATA_DIR", str(copied))
    found = load_mnist(dtype="uint8")
    assert found.source == str(cache)
    status = list_datasets()[0]
    assert (status.name, status.available, status.where) == ("mnist", True, str(cache))
    assert status.size == sum(path.stat().st_size for path in cache.iterdir())
    shutil.rmtree(cache)
    with pytest.raises(DatasetUnavailableError, match="lacks t10k-labels-idx1-ubyte"):
        load_mnist()
    statuses = verify_mnist()
    assert [status.state for status in statuses] == ["ok", "ok", "ok", "missing"]
    assert statuses[3].path is None
    assert not list_datasets()[0].available


@pytest.mark.parametrize(("name", "what"), [("absent", "does not exist"), ("file", "is not a folder")])
def test_a_data_folder_that_is_none_is_an_error(monkeypatch, tmp_path, name, what):
    """Its owner believes that the data are there: nothing may be taken in their place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path / name))
    for ask in (lambda: load("mnist"), lambda: load("auto"), verify_mnist, fetch_mnist):
        with pytest.raises(ConfigurationError, match=f"NNX_DATA_DIR is .*{name}, which {what}: name"):
            ask()
    status = list_datasets()[0]
    assert not status.available
    assert what in status.note
    assert load("xor").name == "xor"


@pytest.mark.parametrize(
    ("bytes_", "state"),
    [(None, "missing"), (b"", "damaged"), (b"\x1f\x8b", "damaged"), (b"<html>", "damaged"),
     (bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]), "differs")],
)  # fmt: skip
def test_a_missing_file_and_a_damaged_one_are_distinguished(tmp_path, bytes_, state):
    if bytes_ is not None:
        (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(bytes_)
    assert [status.state for status in verify_mnist(tmp_path)] == ["missing", state, "missing", "missing"]


def test_absent_mnist_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("NNX_DATA_DIR", str(tmp_path / "nothing"))
    with pytest.raises(DatasetUnavailableError) as caught:
        load("mnist")
    for part in (str(tmp_path / "nothing"), str(tmp_path / "cache"), "NNX_OFFLINE", "NNX_DATA_DIR"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [status.state for status in verify_mnist()] == ["missing"] * 4
    assert "not found" in verify_mnist()[0].problem
    assert [status.available for status in list_datasets()] == [False, True, True]


def test_digits_are_split_the_same_way_each_time() -> None:
    data, again = load_digits(), load("digits", dtype="float64")
    assert (data.name, data.features, data.image_shape) == ("digits", 64, (8, 8))
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert data.x_train.dtype == np.float32
    assert again.x_train.dtype == np.float64
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    np.testing.assert_array_equal(data.x_train, again.x_train)
    np.testing.assert_array_equal(data.y_test, again.y_test)
    shares = np.bincount(data.y_test) / np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert np.abs(shares - 0.2).max() < 0.01
    every = np.concatenate([data.x_train, data.x_test])
    assert len(np.unique(every, axis=0)) == len(every) == 1797, "no image is in both parts"
    assert "scikit-learn" in data.source


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_xor(dtype: str) -> None:
    data = load_xor(dtype)
    assert data.features == 2
    assert data.image_shape is None
    assert data.x_train.dtype == data.y_train.dtype == np.dtype(dtype)
    assert data.x_train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.y_train.tolist() == [[0], [1], [1], [0]]
    np.testing.assert_array_equal(data.x_test, data.x_train)


def test_unknown_names_and_types_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'mnits': did you mean 'mnist'\?"):
        load("mnits")
    with pytest.raises(ConfigurationError, match="did you mean"):
        load("")
    for name in ("auto", "digits", "xor"):
        with pytest.raises(ConfigurationError, match="'uint8'"):
            load(name, dtype="uint8")
    for dtype in ("float16", "nonsense", None):
        with pytest.raises(ConfigurationError, match="choose float32, float64"):
            load_mnist(dtype=dtype)


def test_a_dataset_is_frozen_and_prints_short() -> None:
    data = load_xor()
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]
    assert isinstance(data, Dataset)
    assert len(repr(data)) < 200


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, nnx.datasets; nnx.datasets.load_xor(); "
        "print(sorted({'sklearn', 'scipy', 'pooch', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
