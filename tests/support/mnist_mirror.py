"""A server on this machine with four small files like MNIST's, which misbehaves in the manner asked for."""

from __future__ import annotations

import gzip
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

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
