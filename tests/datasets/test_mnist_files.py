"""The four MNIST files are found and checked, and a wrong one is refused with its likely mistake."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from nnx.datasets import DatasetUnavailableError, fetch_mnist, list_datasets, load, load_mnist, verify_mnist
from nnx.errors import ConfigurationError, DataError


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
