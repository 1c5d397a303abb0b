"""Files are mapped as the rows they hold, and files that cannot be mapped are refused in one line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from support.fed import PIXELS, floats

import nnx
from nnx import datasets


def test_idx_files_are_mapped(tmp_path):
    """Real MNIST's form: bytes of three dimensions behind a header of 16 bytes; labels of one."""
    head = b"\0\0\x08\x03" + np.array([300, 4, 6], ">u4").tobytes()
    (tmp_path / "images").write_bytes(head + PIXELS.tobytes())
    rows = datasets.open_rows(tmp_path / "images")
    assert (rows.shape, rows.divisor, rows.mapped) == ((300, 24), 255.0, True)
    np.testing.assert_array_equal(np.asarray(rows), floats())
    np.testing.assert_array_equal(np.asarray(rows), datasets.load_arrays(tmp_path / "images"))
    (tmp_path / "labels").write_bytes(b"\0\0\x08\x01" + np.array([300], ">u4").tobytes() + bytes(300))
    labels = datasets.open_rows(tmp_path / "labels")
    assert (labels.shape, labels.divisor, labels.dtype) == ((300,), 1.0, np.uint8)


BAD = {
    "empty": (lambda p: None, "is an empty folder"),
    "csv": (lambda p: (p / "a.csv").write_text("1,2\n"), r"a.csv: is a .csv file; only .npy and IDX"),
    "other": (lambda p: (p / "a.bin").write_bytes(b"abcdefgh"), r"a\.bin: .*\.npy, IDX"),
    "pickle": (lambda p: np.save(p / "a.npy", np.array([[None]])), "holds object values"),
    "columns": (lambda p: np.save(p / "a.npy", np.asfortranarray(floats())), "stored column by column"),
    "scalar": (lambda p: np.save(p / "a.npy", np.float32(1)), "holds a single number"),
    "gzip": (lambda p: (p / "a.gz").write_bytes(gzip.compress(bytes(20))), r"is compressed.*gunzip"),
    "short": (
        lambda p: (p / "a").write_bytes(b"\0\0\x08\x02" + np.array([9, 9], ">u4").tobytes()),
        "93 bytes.*12",
    ),
    "widths": (
        lambda p: (np.save(p / "a.npy", floats()), np.save(p / "b.npy", floats()[:, :5])),
        r"b.npy: holds float32 in rows of \(5,\), but a.npy holds float32 in rows of \(24,\)",
    ),
    "folder": (lambda p: (p / "inner").mkdir(), "inner: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_files_that_cannot_be_mapped_are_refused(tmp_path, kind):
    make, words = BAD[kind]
    make(tmp_path)
    with pytest.raises(nnx.DataError, match=words) as caught:
        datasets.open_rows(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(nnx.DataError, match="nowhere: cannot be read"):
        datasets.open_rows(tmp_path / "nowhere")
