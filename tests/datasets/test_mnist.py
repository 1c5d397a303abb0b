"""MNIST is what was published; it is fetched if it is missing, and no file of the user is replaced."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.mnist_mirror import PACKED, SMALL, TEST, TRAIN, MirrorServer
from support.real_mnist import mnist_directory

import nnx
from nnx.datasets import DatasetUnavailableError, fetch_mnist, load, load_mnist, verify_mnist
from nnx.datasets.mnist_files import FILES
from nnx.errors import DataError


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


def test_offline_never_asks(
    monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., None], server: MirrorServer, cache: Path
) -> None:
    mirrors("good")
    monkeypatch.setenv("NNX_OFFLINE", "1")
    with pytest.raises(DatasetUnavailableError, match=r"NNX_OFFLINE is set.*NNX_DATA_DIR"):
        load_mnist()
    with pytest.raises(DatasetUnavailableError, match="NNX_OFFLINE is set"):
        fetch_mnist()
    assert server.requests == []
    monkeypatch.setenv("NNX_OFFLINE", "0")
    assert len(fetch_mnist()) == 4


def test_without_download_nothing_is_asked(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path
) -> None:
    mirrors("good")
    with pytest.raises(DatasetUnavailableError, match=r"nnx data fetch"):
        load_mnist(download=False)
    assert server.requests == []


def test_no_mirror_is_named(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("NNX_MNIST_MIRRORS", " , ")
    with pytest.raises(DatasetUnavailableError, match="names no mirror"):
        load_mnist()


def test_a_damaged_file_in_the_cache_is_fetched_again(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path
) -> None:
    mirrors("good")
    damaged = fetch_mnist()[2]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert [status.ok for status in verify_mnist()] == [True, True, False, True]
    server.requests.clear()
    assert load_mnist().x_test.shape == (TEST, 784)
    assert server.requests == [("good", damaged.name)]
    assert damaged.read_bytes() == PACKED[damaged.name]


def test_a_damaged_cache_that_cannot_be_mended_is_named(
    monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., None], cache: Path
) -> None:
    mirrors("good")
    damaged = fetch_mnist()[0]
    damaged.write_bytes(b"")
    mirrors("absent")
    with pytest.raises(DatasetUnavailableError) as caught:
        load_mnist()
    assert str(damaged) in str(caught.value)
    assert "HTTP 404" in str(caught.value)
    assert damaged.read_bytes() == b"", "what was there is replaced by a whole file only"


def test_a_named_directory_is_filled_and_its_files_are_never_replaced(
    mirrors: Callable[..., None], cache: Path, tmp_path: Path
) -> None:
    mirrors("good")
    own = tmp_path / "own"
    data = load_mnist(own)
    assert data.source == str(own)
    assert sorted(path.name for path in own.iterdir()) == sorted(PACKED)
    assert not cache.exists()
    other = own / "t10k-labels-idx1-ubyte.gz"
    other.write_bytes(b"somebody's own file")
    for action in (load_mnist, fetch_mnist):
        with pytest.raises(DataError, match="not an IDX file"):
            action(own)
    (own / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="not an IDX file"):
        fetch_mnist(own)
    assert other.read_bytes() == b"somebody's own file"


def test_a_cache_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., None], cache: Path, tmp_path: Path
) -> None:
    mirrors("good")
    (tmp_path / "a_file").write_bytes(b"")
    monkeypatch.setenv("NNX_CACHE_DIR", str(tmp_path / "a_file"))
    with pytest.raises(DatasetUnavailableError, match=r"cannot be written to.*NNX_CACHE_DIR"):
        load_mnist()


def test_an_interrupted_write_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., None], cache: Path
) -> None:
    mirrors("good")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DatasetUnavailableError, match="No space left"):
        load_mnist()
    assert list(cache.iterdir()) == []


NO_ROOM = """
import resource, signal, sys
from nnx.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # it would be cut
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
main(["data", "fetch"])
"""


@pytest.mark.parametrize("room", [0, 100, 4096])
def test_a_cache_without_room_is_named_and_left_empty(
    server: MirrorServer, tmp_path: Path, room: int
) -> None:
    """A file may have so many bytes; the real files' sums are not met by these, so the sums are patched."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in SMALL.items()}
    patch = (
        "import nnx.datasets.mnist as m, nnx.datasets.mnist_files as f\n"
        f"sums, rows = {sums!r}, {{60000: {TRAIN}, 10000: {TEST}}}\n"
        "small = lambda x: f.MnistFile(x.name, sums[x.name], (rows[x.shape[0]], *x.shape[1:]))\n"
        "files = tuple(map(small, f.FILES))\n"
        "m.FILES = f.FILES = files\n"
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith("NNX_")}
    variables |= {"NNX_CACHE_DIR": str(tmp_path / "cache"), "NNX_MNIST_MIRRORS": server.url("good")}
    variables |= {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(Path(nnx.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", patch + NO_ROOM, str(room)],
        env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("fetching ")]
    assert re.search(r"cannot be written to \(File too large\): .*NNX_CACHE_DIR", line)
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert all((tmp_path / "cache" / "mnist" / name).read_bytes() == PACKED[name] for name in left)
