"""Only regular files are opened, and an error names the file."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nnx.datasets import load_arrays
from nnx.errors import DataError, OutputError
from nnx.readers.opening import reading


@pytest.mark.parametrize("name", ["absent.npy", "."])
def test_a_path_that_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_arrays(tmp_path / name)


def test_an_error_of_the_system_in_the_block_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1")
    with pytest.raises(DataError, match=r"x\.csv: cannot be read \(Input/output error\)"), reading(path):
        raise OSError(errno.EIO, "Input/output error")


def test_an_error_of_nnx_in_the_block_stays_what_it_is(tmp_path: Path) -> None:
    """Also an OutputError, which is an OSError too: it is not about the file that is read."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"1")
    with pytest.raises(OutputError, match=r"^no space$"), reading(path):
        raise OutputError("no space")
