"""Arrays from a user's files: read correctly, or refused with one line that names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.array_files import npy_bytes, npy_header, npz_bytes

from nnx.datasets import load_arrays
from nnx.errors import ConfigurationError, DataError

X = np.arange(12, dtype=np.float64).reshape(3, 4) / 8


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
IDX = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + IMAGES.tobytes()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("x.npy", npy_bytes(X), X),
        ("x.npy", npy_bytes(np.asfortranarray(X)), X),
        ("x.npy", npy_bytes(X.astype(">f4")), X),
        ("x.npy", npy_bytes(X > 0.5), X > 0.5),
        ("x.npy", npy_bytes(IMAGES.astype(np.int64)), IMAGES.reshape(2, 12)),
        ("x.npy", npy_bytes(IMAGES), IMAGES.reshape(2, 12) / 255),
        ("only.npz", npz_bytes(anything=X), X),
        ("several.npz", npz_bytes(y=X[:1], x=X), X),
        ("x.csv", b"0,0.5\n-1e-3, 2\n", [[0, 0.5], [-1e-3, 2]]),
        ("row.csv", b"1,2,3", [[1, 2, 3]]),
        ("header.CSV", b"\xef\xbb\xbfa,b\r\n\r\n1,2\r\n", [[1, 2]]),
        ("images-idx3-ubyte", IDX, IMAGES.reshape(2, 12) / 255),
        ("images-idx3-ubyte.gz", gzip.compress(IDX, mtime=0), IMAGES.reshape(2, 12) / 255),
    ],
)
def test_each_format_is_read(tmp_path: Path, name: str, data: bytes, expected: object) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    found = load_arrays(path)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float32))
    assert load_arrays(path, dtype="float64").dtype == np.float64


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.npy", b"", "is empty"),
        ("x.npy", b"hello", ".csv, .tsv, .txt), .npz, .npy, IDX"),
        ("x.npy", npy_bytes(X)[:-1], "the file holds 95"),
        ("x.npy", npy_bytes(X) + b"\0", "the file holds 97"),
        ("x.npy", npy_header("(99999999999, 784)"), "the file holds 0"),
        ("x.npy", npy_header("(-1, 4)"), "a shape of (-1, 4)"),
        ("x.npy", npy_header("(-2, -3)") + bytes(48), "a shape of (-2, -3)"),
        ("x.npy", npy_header("(3,"), "NumPy header is damaged"),
        ("x.npy", npy_header("(1, 1)", "'nonsense'"), "NumPy header is damaged"),
        ("x.npy", b"\x93NUMPY\x09\0" + npy_bytes(X)[8:], "version (9, 0) is unknown"),
        ("x.npy", npy_bytes(X)[:20], "NumPy header is damaged"),
        ("x.npy", npy_bytes(np.array([[{}]], dtype=object), allow_pickle=True), "object values"),
        ("x.npy", npy_bytes(np.array([["a"]])), "<U1 values, expected real numbers"),
        ("x.npy", npy_bytes(X + 1j), "complex128 values"),
        ("x.npy", npy_bytes(X[0]), "has shape (4,), expected at least two dimensions"),
        ("x.npy", npy_bytes(X[:0]), "holds no values: its shape is (0, 4)"),
        (
            "x.npy",
            npy_bytes(np.where(X == 1, np.nan, X)),
            "1 values are not finite in float32, the first at row 2",
        ),
        ("x.npy", npy_bytes(X * 1e300), "not finite in float32, the first at row 0, column 1"),
        ("x.npz", npz_bytes(a=X, b=X), "holds the arrays 'a', 'b': name one of them x"),
        ("x.npz", npz_bytes(a=X)[:-30], "archive cannot be read"),
        ("x.npz", npz_bytes(x=np.array([[None]])), "x.npz[x]: holds object values"),
        ("x.csv", b"1,2\n3,oops\n", "line 2, column 2: 'oops' is not a number"),
        ("x.csv", b"a,b\n1,2\n\n3,\n", "line 4, column 2 (b): is empty: fill"),
        ("x.csv", b"1,2\n3\n", "line 2 has 1 columns, the other lines have 2"),
        ("x.csv", b"a,b\n", "no rows"),
        ("x.csv", b"\xff\xfe1,2", "is not utf-16 text"),
        ("x.csv", b"1,nan\n", "line 1, column 2: is empty"),
        ("x.csv", b"1,inf\n", "not finite"),
        ("labels.idx", struct.pack(">BBBBI", 0, 0, 8, 1, 2) + b"\1\2", "has shape (2,)"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        load_arrays(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays") / "file.csv"


STARTS = (npy_bytes(X), npz_bytes(x=X), IDX, gzip.compress(IDX), b"a,b\n1,2\n3,4\n")


@given(
    start=st.sampled_from(STARTS),
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=5
    ),
)
@settings(deadline=None, max_examples=500)
def test_damaged_files_give_an_array_an_error_or_a_question(
    scratch: Path, start: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    for at, removed, added in edits:
        start = start[:at] + added + start[at + removed :]
    scratch.write_bytes(start)
    try:
        found = load_arrays(scratch, max_bytes=10_000, notes=[])
    except (DataError, ConfigurationError) as error:  # the latter asks about a table that has two readings
        text = str(error)
        assert str(scratch) in text
        assert "\n" not in text
    else:
        assert found.ndim == 2
        assert np.isfinite(found).all()
