"""MNIST for these tests: the real files, a mirror on this machine, and no other place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.mnist_mirror import SMALL, TEST, TRAIN, MirrorServer
from support.real_mnist import mnist_directory

from nnx.datasets import mnist, mnist_files
from nnx.datasets.mnist_files import FILES, MnistFile


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


@pytest.fixture
def server() -> Iterator[MirrorServer]:
    with MirrorServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, no other place to look at, and the small files as the published ones."""
    shapes = {"train-images": (TRAIN, 28, 28), "train-labels": (TRAIN,)}
    shapes |= {"t10k-images": (TEST, 28, 28), "t10k-labels": (TEST,)}
    files = tuple(
        MnistFile(name, hashlib.sha256(SMALL[name]).hexdigest(), shapes[name.rsplit("-", 2)[0]])
        for name in (file.name for file in mnist_files.FILES)
    )
    monkeypatch.setattr(mnist_files, "FILES", files)
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.delenv("NNX_DATA_DIR", raising=False)
    monkeypatch.delenv("NNX_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NNX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch, server: MirrorServer, cache: Path) -> Callable[..., None]:
    def choose(*manners: str) -> None:
        monkeypatch.setenv("NNX_MNIST_MIRRORS", ", ".join(server.url(manner) for manner in manners))

    return choose
