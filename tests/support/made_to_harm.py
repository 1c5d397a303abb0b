"""Harmful files of arrays."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable


def npy(shape: str, body: bytes = b"", length: int | None = None) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(text) if length is None else length) + text + body


def archive(*members: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as written:
        for name, data in members:
            written.writestr(name, data)
    return stream.getvalue()


def claiming(data: bytes, true: int, false: int) -> bytes:
    """An archive that says of a member that it unpacks to `false` bytes."""
    assert struct.pack("<I", true) in data
    return data.replace(struct.pack("<I", true), struct.pack("<I", false))


ROWS = npy("(3, 4)", bytes(96))
# the name of each file, its bytes, which are made when they are asked for, and what is said of it
ARRAYS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "npy that claims terabytes": (
        "x.npy", lambda: npy("(1000000, 1000000)", bytes(8)), "claims 8,000,000,000,000",
    ),
    "npy whose header claims gigabytes": ("x.npy", lambda: npy("(3, 4)", length=2**32 - 1), "more than any"),
    "npy of too many dimensions": ("x.npy", lambda: npy(f"({'1, ' * 70})", bytes(8)), "header is damaged"),
    "npy with a nest of brackets": ("x.npy", lambda: npy("(" * 3000, bytes(8)), "header is damaged"),
    "npz that unpacks to gigabytes": (
        "x.npz", lambda: archive(("x.npy", npy("(1, 33554432)", bytes(2**28)))), "",
    ),
    "npz whose header unpacks to gigabytes": (
        "x.npz", lambda: archive(("x.npy", npy("(3, 4)", bytes(2**26), length=2**26))), "more than any",
    ),
    "npz that claims what it has not": (
        "x.npz", lambda: claiming(archive(("x.npy", ROWS)), len(ROWS), 2**31), "the file holds",
    ),
    "npz packed with a large dictionary": (
        "x.npz", lambda: archive(("x.npy", ROWS), packed=zipfile.ZIP_LZMA), "compressed",
    ),
    "npz with a path above it": (
        "x.npz", lambda: archive(("../../escaped.npy", ROWS), ("/escaped.npy", ROWS)), "name one of them x",
    ),
    "npz with a pickle": (
        "x.npz", lambda: archive(("x.npy", b"cos\nsystem\n(S'x'\ntR.")), "header is damaged",
    ),
    "npz of very many members": (
        "x.npz", lambda: archive(*((f"{i:060}", b"") for i in range(25_000))), "its index is larger",
    ),
    "idx that claims terabytes": (
        "x-idx", lambda: struct.pack(">BBBB3I", 0, 0, 14, 3, *[2**31] * 3), "more than",
    ),
    "gzip that unpacks to gigabytes": (
        "x.gz",
        lambda: gzip.compress(struct.pack(">BBBBII", 0, 0, 8, 2, 3, 4) + bytes(2**28), 1),
        "left over",
    ),
    "csv of one endless line": (
        "x.csv", lambda: b"1," * 2**22, "line 1 has more than the 4,194,304 characters",
    ),
    "csv of one endless name": ("x.csv", lambda: b"n" * 2**23 + b"\n1\n", "line 1 has more than"),
    "csv of one endless quoted cell": ("x.csv", lambda: b'"' + b"1\n" * 2**20, "a quote opens here"),
    "csv with null bytes": ("x.csv", lambda: b"1,2\n\0,3\n", "line 2"),
}  # fmt: skip
