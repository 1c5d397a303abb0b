"""Harmful files: each gives one line, takes little memory, and writes nothing."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save_file
from support.made_to_harm import ARRAYS, ROWS, archive

import nnx
from nnx import checkpoints
from nnx.datasets import load_arrays

SMALL = 2**25  # bytes: what refusing a file may take at most


def peak(action: Callable[[], object]) -> int:
    """Bytes that an action takes at most, beyond what was there before it."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_made_to_harm_are_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    name, data, message = ARRAYS[what]
    Path(name).write_bytes(data())

    def refuse() -> None:
        with pytest.raises(nnx.DataError) as caught:
            load_arrays(name, max_bytes=2**24)
        assert str(caught.value).startswith(name)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert "\n" not in str(caught.value)

    assert peak(refuse) < SMALL
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(nnx.DataError, match="a pipe or a device"):
        load_arrays(tmp_path / "x.csv")
    with pytest.raises(nnx.FileFormatError, match="no model file"):
        nnx.load(tmp_path / "x.csv")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(nnx.DataError, match="a pipe or a device"):
        load_arrays("/dev/zero")


def model(path: Path, change: Callable[[dict], None] = lambda config: None, **header: str) -> Path:
    """A model file with a valid checksum whose description is another than its arrays."""
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], device="cpu", seed=0)
    config = network.config()
    change(config)
    weights = network.weights()
    described = {"format": checkpoints.FORMAT, "format_version": "1", "network": json.dumps(config)}
    described |= {"metadata": "{}"} | header
    described["crc32"] = checkpoints.checksum(weights, described)
    save_file(weights, path, described)
    return path


def widen(config: dict) -> None:
    config["layers"][2]["config"]["units"] = 10**12


def widen_inputs(config: dict) -> None:
    config["inputs"] = 2**40
    config["layers"][0]["config"].pop("inputs", None)


def repeat(config: dict) -> None:
    config["layers"] += [{"kind": "Dense", "config": {"units": 20_000}, "trainable": True}] * 50


def nest(config: dict) -> None:
    inner: list = []
    for _ in range(900):
        inner = [inner]
    config["layers"] = inner


def odd_kind(config: dict) -> None:
    config["layers"][0]["kind"] = "os.system"


def odd_config(config: dict) -> None:
    config["layers"][0]["config"] = {"units": 4, "initializer": {"kind": "eval", "code": "1"}}


def odd_seed(config: dict) -> None:
    config["seed"] = -1


CHANGES = (widen, widen_inputs, repeat, nest, odd_kind, odd_config, odd_seed)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_model_that_claims_more_than_it_holds(tmp_path: Path, change: Callable[[dict], None]) -> None:
    path = model(tmp_path / "m.safetensors", change)

    def refuse() -> None:
        with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors") as caught:
            nnx.load(path, device="numpy")
        assert "\n" not in str(caught.value)

    assert peak(refuse) < SMALL
    nnx.load(model(tmp_path / "m.safetensors"), device="numpy")  # unchanged it is read


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"network": "[" * 200_000}, "network"),
        ({"network": "[]"}, "network"),
        ({"network": "{}"}, "'layers'"),
        ({"network": "{" + '"a":{' * 100_000 + "}" * 100_001}, "network"),
        (
            {"network": json.dumps({"layers": {}, "inputs": 1, "dtype": 0, "seed": 0, "fuse": 0, "code": 0})},
            "",
        ),
        ({"metadata": "[" * 200_000}, "metadata"),
        ({"format_version": "9" * 5000}, "9" * 20 + ","),
    ],
    ids=["deep", "list", "empty", "nest", "odd", "metadata", "version"],
)
def test_a_model_whose_description_is_none(tmp_path: Path, header: dict[str, str], message: str) -> None:
    path = model(tmp_path / "m.safetensors", **header)

    def refuse() -> None:
        read = checkpoints.read_metadata if "metadata" in header else nnx.load
        with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors") as caught:
            read(path)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1000

    assert peak(refuse) < SMALL


def tensors(header: str | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + body


@pytest.mark.parametrize(
    "data",
    [
        tensors("{}", length=2**63),
        tensors("{}", length=2**24 + 1),
        tensors(" " * 2**24 + "{}"),
        tensors("[" * 10**6),
        tensors('{"W":{"dtype":"F64","shape":[1000000,1000000],"data_offsets":[0,8000000000000]}}', bytes(8)),
        tensors('{"W":{"dtype":"F64","shape":[1],"data_offsets":[8,0]}}', bytes(8)),
        tensors('{"W":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}', bytes(8)),
        tensors('{"W":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}', bytes(8)),
        tensors('{"W":{"dtype":"F64","shape":[18446744073709551615,2],"data_offsets":[0,8]}}', bytes(8)),
        b"\x80\x04\x95cos\nsystem\n",
        b"",
    ],
)
def test_a_safetensors_file_made_to_harm(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.safetensors"
    for described in (False, True):  # with nnx's own metadata too, so that its arrays are looked at
        if described:
            data = data.replace(b'{"W"', b'{"__metadata__":{"format":"nnx-network","format_version":"1"},"W"')
            data = struct.pack("<Q", data.index(b"}}", -20) + 2 - 8) + data[8:] if b"__meta" in data else data
        path.write_bytes(data)

        def refuse() -> None:
            with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors") as caught:
                nnx.load(path, device="numpy")
            assert "\n" not in str(caught.value)

        assert peak(refuse) < SMALL


def test_an_archive_with_a_brokenchecksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(archive(("x.npy", ROWS), packed=zipfile.ZIP_STORED))
    data[data.index(ROWS) + len(ROWS) - 1] ^= 1
    assert zlib.crc32(bytes(data)) != zlib.crc32(archive(("x.npy", ROWS), packed=zipfile.ZIP_STORED))
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(nnx.DataError, match="Bad CRC"):
        load_arrays(tmp_path / "x.npz")


def test_a_path_with_a_null_byte_is_refused():
    with pytest.raises(nnx.DataError, match="null byte"):
        load_arrays("x\0.csv", max_bytes=2**20)
