"""Fetching MNIST: after each kind of failure the next mirror is tried, and no partial file stays."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.datasets import (
    DatasetUnavailableError,
    fetch_mnist,
    load,
    load_mnist,
    mnist,
    mnist_files,
    verify_mnist,
)
from nnx.datasets.mirrors import fetch_first
from nnx.datasets.mnist_files import MnistFile
from nnx.errors import DataError

TRAIN, TEST = 12, 5


def small_mnist() -> dict[str, bytes]:
    """Four files like MNIST's with a few random images, unpacked."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 0x801, count) + labels.tobytes()
    return files


SMALL = small_mnist()
PACKED = {f"{name}.gz": gzip.compress(data) for name, data in SMALL.items()}


class Mirror(BaseHTTPRequestHandler):
    """Serves /<manner>/<file>; the manner says how it misbehaves."""

    server: MirrorServer

    def do_GET(self) -> None:
        _, manner, file = self.path.split("/")
        self.server.requests.append((manner, file))
        getattr(self, manner)(PACKED[file])

    def send(self, data: bytes, length: int | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def good(self, data: bytes) -> None:
        self.send(data)

    def plain(self, data: bytes) -> None:
        self.send(gzip.decompress(data))

    def absent(self, data: bytes) -> None:
        self.send(b"no", status=404)

    def page(self, data: bytes) -> None:
        self.send(b"\n<!DOCTYPE html><p>Please log in")

    def other(self, data: bytes) -> None:
        content = bytearray(gzip.decompress(data))
        content[-1] ^= 1
        self.send(gzip.compress(content))

    def cut(self, data: bytes) -> None:
        self.send(data[: len(data) // 2])

    def short(self, data: bytes) -> None:
        self.send(data[: len(data) // 2], length=len(data))

    def long(self, data: bytes) -> None:
        self.send(data + b"more than was announced", length=len(data) // 2)

    def no_length(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])

    def odd_length(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "-5")
        self.end_headers()
        self.wfile.write(data[:10])

    def page_as_gzip(self, data: bytes) -> None:
        self.send(gzip.compress(b"<!DOCTYPE html><p>Please log in"))

    def bomb(self, data: bytes) -> None:
        self.send(gzip.compress(gzip.decompress(data)[:16] + bytes(2**27), 1))

    def stall(self, data: bytes) -> None:
        self.server.released.wait(30)

    def stall_in_body(self, data: bytes) -> None:
        self.send(data[:10], length=len(data))
        self.server.released.wait(30)

    def drip_headers(self, data: bytes) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Padding: ")
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")

    def drip_body(self, data: bytes) -> None:
        self.send(b"", length=len(data))
        while not self.server.released.wait(0.05):
            self.wfile.write(b"x")

    def endless(self, data: bytes) -> None:
        self.send(b"", length=2**40)
        while not self.server.released.is_set():
            self.wfile.write(bytes(2**16))

    def slow(self, data: bytes) -> None:
        self.send(b"", length=2**40)
        while not self.server.released.wait(0.1):
            self.wfile.write(bytes(2**13))

    def log_message(self, *_: object) -> None:
        pass


class MirrorServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mirror)
        self.requests: list[tuple[str, str]] = []
        self.released = threading.Event()

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{manner}/"

    def handle_error(self, *_: object) -> None:
        """A client that leaves early is what these tests are about."""


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


FAILURES = {
    "absent": "answered HTTP 404",
    "page": "sent a web page",
    "other": "SHA-256",
    "cut": "truncated",
    "short": "sent less than it announced",
    "long": "truncated",
    "no_length": "truncated",
    "odd_length": "",
    "page_as_gzip": "not an IDX file",
    "bomb": "",
    "stall": "did not answer within 1 s",
    "stall_in_body": "did not answer within 1 s",
    "drip_headers": "did not answer within 1 s",
    "drip_body": "did not answer within 1 s",
    "endless": "sent more than ",
}


@pytest.mark.parametrize("manner", ["good", "plain"])
def test_a_good_mirror_fills_the_cache(
    mirrors: Callable[..., None],
    server: MirrorServer,
    cache: Path,
    manner: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mirrors(manner)
    news: list[tuple[str, int, int | None]] = []
    data = load_mnist(progress=lambda *item: news.append(item))
    assert data.x_train.shape == (TRAIN, 784)
    assert (
        data.x_train.tobytes()
        == (np.frombuffer(SMALL["train-images-idx3-ubyte"][16:], np.uint8) / np.float32(255)).tobytes()
    )
    assert data.source == str(cache)
    assert sorted(path.name for path in cache.iterdir()) == sorted(PACKED)
    assert {file for file, _, _ in news} == set(PACKED)
    assert all(announced in (None, received) or received < announced for _, received, announced in news)
    assert len(server.requests) == 4
    load_mnist()
    assert len(server.requests) == 4, "the second time the cache answers"
    assert all(status.ok for status in verify_mnist())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("manner", FAILURES)
def test_a_failing_mirror_leads_to_the_next(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path, manner: str
) -> None:
    mirrors(manner, "good")
    paths = fetch_mnist(timeout=1)
    assert [path.name for path in paths] == [f"{file.name}.gz" for file in mnist_files.FILES]
    assert all(path.read_bytes() == PACKED[path.name] for path in paths)
    assert sorted(path.name for path in cache.iterdir()) == sorted(PACKED)
    assert [file for failing, file in server.requests if failing == manner] == [paths[0].name], (
        "the mirror that served is asked first from then on"
    )


def test_when_all_mirrors_fail_one_line_says_what_each_did(
    mirrors: Callable[..., None], server: MirrorServer, cache: Path
) -> None:
    mirrors(*FAILURES)
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_mnist(timeout=1)
    text = str(caught.value)
    assert "\n" not in text
    assert "NNX_DATA_DIR" in text
    for manner, did in FAILURES.items():
        assert did in text[text.index(server.url(manner)) :].split("; ")[0]
    assert not cache.exists()


def test_a_steady_trickle_ends_at_the_deadline(server: MirrorServer, cache: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"was not done after 0\.5 s"):
        fetch_first(
            "train-images-idx3-ubyte.gz", [server.url("slow")], lambda data: None, limit=2**30, deadline=0.5
        )


def test_a_mirror_that_refuses_or_has_no_valid_address(
    monkeypatch: pytest.MonkeyPatch, server: MirrorServer, cache: Path
) -> None:
    with MirrorServer() as gone:
        port = gone.server_port
    monkeypatch.setenv("NNX_MNIST_MIRRORS", f"http://me:secret@127.0.0.1:{port}, file:///etc, nonsense")
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_mnist()
    assert f"http://127.0.0.1:{port} failed: Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "file:///etc failed: No connection adapters" in str(caught.value)
    assert "nonsense failed: Invalid URL" in str(caught.value)


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


def test_auto_takes_mnist_where_a_mirror_answers_and_the_digits_where_none_does(
    mirrors: Callable[..., None], cache: Path
) -> None:
    mirrors("absent")
    said: list[str] = []
    assert load("auto", on_fallback=said.append).name == "digits"
    assert len(said) == 1
    assert "digits instead of MNIST" in said[0]
    assert "HTTP 404" in said[0]
    with pytest.warns(UserWarning, match="digits instead of MNIST"):
        load("auto")
    with pytest.raises(DatasetUnavailableError):
        load("mnist")
    mirrors("good")
    assert load("auto", on_fallback=said.append).name == "mnist"
    assert len(said) == 1
