"""Every reader of files, with valid files to start from, and what must hold for any bytes.

`hostile/test_fuzz.py` and `fuzz/fuzz_readers.py` use this. The first tries some hundred changed files of each
kind, the second as many as you choose.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import nnx
from nnx import checkpoints, model_files
from nnx.datasets import load_arrays, read_idx
from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import read_toml
from nnx.experiments.train.features import learnt
from nnx.experiments.train.labelled import Layout, Reading, load_inputs, load_labelled
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.ranges import Range
from nnx.experiments.train.scaling import Scaling

LIMIT = 2**24  # bytes that an array may take here; nnx's own limit is 2**30


Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """The readers of one kind of file.

    Attributes
    ----------
    file : str
        What the file is called.
    seeds : callable
        Gives good files.
    reads : tuple of callable
        All that reads such files, given the path of one.
    """

    file: str
    seeds: Callable[[], list[bytes]]
    reads: tuple[Read, ...]


def check(error: Exception, path: Path) -> None:
    """An error is one line, not a long one, that names the file or its folder."""
    text = str(error)
    assert "\n" not in text, text
    assert len(text) < 1500, text
    assert path.name in text or str(path.parent) in text, text
    # a fault of nnx's own within `opening.reading` would look like one of the file
    assert not ("cannot be read" in text and type(error.__cause__) is ValueError), text


def attempt(reader: Reader, path: Path, data: bytes) -> bool:
    """Read these bytes by all readers: whether one took them. nnx's own error is the only way to refuse."""
    path.write_bytes(data)
    taken = False
    for read in reader.reads:
        try:
            read(path)
            taken = True
        except nnx.NnxError as error:
            check(error, path)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name], "another file appeared"
    return taken


# ----------------------------------------------------------------------------------- good files, and readers


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(packed: bool = True, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


def idx() -> bytes:
    return struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))


X = np.arange(24.0).reshape(8, 3)


def _npy_seeds() -> list[bytes]:
    bytes_ = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    return [npy(X), npy(np.asfortranarray(X)), npy(X.astype(">i2")), npy(bytes_), npy(X > 3)]


def _npz_seeds() -> list[bytes]:
    y = np.array(list("abababab"))
    return [npz(x=X), npz(x=X, y=X[:, :2]), npz(False, x=X, y=y), npz(False, x=X, y=y.astype("S1"))]


def _tables() -> list[bytes]:
    rows = [b"1,2.5,red", b"3,-4e3,blue", b'5,6,"red"', b"7,8,green"]
    plain = b"\n".join([b"a,b,c", *rows])
    german = b"a;b;c\n1,5;2.000,25;rot\n3,25;NA;blau\n5;6;s\xfc\xdf\n"
    return [
        plain,
        b"\r\n".join(rows),
        b"\xef\xbb\xbfa,b,c\n" + rows[0],
        plain.decode().encode("utf-16"),
        german,
        b"Survey\n# by hand\n" + plain + b"\nTotal,9,\n",
        plain.replace(b",", b"\t"),
        b"sep=|\n" + plain.replace(b",", b"|"),
        b"a,b,c\nm,kg,\n" + b"\n".join(rows),
        b",a,b\n0,TRUE,x\n1,,y\n2,FALSE,?\n",
        b"# a b\n1 2\n3  4\n5 6\n",
    ]


LAYOUT = Layout(2, columns=("a", "b"), chosen=(0, 1), width=3)
TEXTS = Layout(4, ("a", "c"), (0, 2), 3, fills=(1.5, None), categories=((), ("blue", "green", "red")))
PICTURE = Layout(12, image=(3, 4, 1), scaled_bytes=True)
DEEP = Layout(36, image=(3, 4, 3), background="black")
GIVEN = Reading(missing="median", categories="onehot", background="black")


ARRAYS: tuple[Read, ...] = (
    lambda path: load_arrays(path, max_bytes=LIMIT, notes=[]),
    lambda path: load_labelled(path, max_bytes=LIMIT),
    lambda path: load_inputs(path, LAYOUT, max_bytes=LIMIT),
)
TABLES: tuple[Read, ...] = (
    *ARRAYS,
    lambda path: load_labelled(path, target=["3"], max_bytes=LIMIT),
    lambda path: load_labelled(path, "regression", target=["b"], ignore=["3"], max_bytes=LIMIT),
    lambda path: _learnt(path),
    lambda path: load_inputs(path, TEXTS, max_bytes=LIMIT),
    lambda path: load_labelled(
        path, target=["-1"], max_bytes=LIMIT, how=Reading(missing="drop", header="yes")
    ),
)
IDX: tuple[Read, ...] = (
    lambda path: read_idx(path, max_bytes=LIMIT),
    lambda path: load_labelled(path, max_bytes=LIMIT),
)
PICTURES: tuple[Read, ...] = (
    lambda path: load_inputs(path, PICTURE, max_bytes=LIMIT),
    lambda path: load_inputs(path, DEEP, max_bytes=LIMIT),
    lambda path: load_labelled(path.parent, max_bytes=LIMIT),
    lambda path: load_labelled(path.parent, image_size=(2, 3), max_bytes=LIMIT, how=GIVEN),
)


def _learnt(path: Path) -> None:
    """What is made of a table with gaps and texts has numbers alone."""
    data = load_labelled(path, max_bytes=LIMIT, how=GIVEN)
    train = np.arange(max(1, len(data.x) - 1))
    found = learnt(data, train)
    assert np.isfinite(found.x).all()
    assert found.x.shape[1] == found.layout.features


@functools.cache
def pictures(kind: str) -> list[bytes]:
    from PIL import Image

    rng = np.random.default_rng(0)
    found = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode, shape in (("L", (3, 4)), ("RGB", (3, 4, 3)), ("P", (3, 4)), ("RGBA", (3, 4, 4)), ("1", (3, 4)),
                        ("I;16", (3, 4)), ("CMYK", (3, 4, 4))):  # fmt: skip
        if mode not in _WRITTEN[kind]:
            continue
        many = 2**16 if mode == "I;16" else 255
        values = rng.integers(0, many, shape, dtype=np.uint16 if mode == "I;16" else np.uint8)
        image = Image.fromarray(values, "CMYK") if mode == "CMYK" else Image.fromarray(values)
        image = image.convert(mode) if mode in ("P", "1") else image
        options = {"exif": exif} if mode == "RGB" and kind in ("JPEG", "PNG", "TIFF", "WEBP") else {}
        if kind == "TIFF":
            options["compression"] = {"L": "raw", "RGB": "tiff_lzw", "P": "packbits"}.get(
                mode, "tiff_deflate"
            )
        if mode == "L" and kind in ("GIF", "TIFF", "WEBP"):
            options |= {"save_all": True, "append_images": [image]}
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        found.append(stream.getvalue())
    return found


_WRITTEN = {
    "PNG": ("L", "RGB", "P", "RGBA", "1", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("L", "RGB", "P", "RGBA"),
    "BMP": ("L", "RGB", "P", "1"),
    "TIFF": ("L", "RGB", "P", "RGBA", "1", "I;16", "CMYK"),
    "WEBP": ("L", "RGB", "RGBA"),
}


@functools.cache
def model_seeds() -> list[bytes]:
    """A network, one of ``nnx train``, a checkpoint."""
    import tempfile

    network = nnx.Network(
        [nnx.Dense(3, 2), nnx.BatchNorm(), nnx.Dropout(0.1), nnx.Dense(2), nnx.Softmax()],
        device="numpy",
        seed=0,
    )
    prepared = Preparation(
        "classification",
        Layout(3, ("a", "b"), (0, 1), 4, fills=(1.5, None), categories=((), ("x", "y"))),
        Scaling(np.arange(3.0), np.ones(3)),
        classes=("red", "blue"),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        network.save(path)
        found = [path.read_bytes()]
        trained_on = Range(np.zeros(3), np.ones(3))
        network.save(path, {"preparation": prepared.to_metadata(), "range": trained_on.to_metadata()})
        found.append(path.read_bytes())
        kept = nnx.checkpoints.Checkpoint(Path(folder) / "c", 1)
        labels = np.arange(8) % 2
        network.fit(X, labels, loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(), batch_size=4,
                    checkpoint=kept)  # fmt: skip
        found.append(kept.newest.read_bytes())
    return found


def _read_preparation(path: Path) -> None:
    model = Model.load(path, device="numpy")
    with contextlib.suppress(nnx.DataError), np.errstate(all="ignore"):  # it scales beyond all numbers
        x = X[:, : model.network.inputs or 1]
        assert model.prepared is None or model.predict(x).shape == (8, 2)


def _configurations() -> list[bytes]:
    lines = [
        b'target = ["a", "b"]', b'layers = ["64 relu", "dropout 0.2"]', b"epochs = 5", b"clip_norm = 1e-3",
        b'optimizer = "adam"', b"image_size = [28, 28]", b'task = "regression"', b"patience = 0x10",
        b"validation = 0.25 # a quarter", b'ignore = """\nc"""',
    ]  # fmt: skip
    return [b"\n".join(lines)]


READERS = {
    "npy": Reader("x.npy", _npy_seeds, ARRAYS),
    "npz": Reader("x.npz", _npz_seeds, ARRAYS),
    "idx": Reader("x-idx3-ubyte", lambda: [idx()], IDX),
    "gzip": Reader("x.gz", lambda: [gzip.compress(idx(), mtime=0)], IDX),
    "csv": Reader("x.csv", _tables, TABLES),
    "toml": Reader("run.toml", _configurations, (read_toml,)),
    "png": Reader("x.png", lambda: pictures("PNG"), PICTURES),
    "jpeg": Reader("x.jpg", lambda: pictures("JPEG"), PICTURES),
    "gif": Reader("x.gif", lambda: pictures("GIF"), PICTURES),
    "bmp": Reader("x.bmp", lambda: pictures("BMP"), PICTURES),
    "tiff": Reader("x.tif", lambda: pictures("TIFF"), PICTURES),
    "webp": Reader("x.webp", lambda: pictures("WEBP"), PICTURES),
    "model": Reader("m.safetensors", model_seeds, (_read_preparation, model_files.read_training)),
}

# ------------------------------------------------------------------------------------------------- changes

ODD = [
    *(struct.pack(form, value) for form in ("<I", ">I", "<Q", ">Q", "<H") for value in (0, 1, 0xFFFF)),
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"\x80\0\0\0", b"\0", b"\n",
    b"\0" * 64, b"A" * 300, b"-1", b"1e999", b"nan", b"9" * 30, b"(", b")", b"[" * 50, b'"', b"'", b",", b"{",
    b"PK\x03\x04", b"\x1f\x8b", b"\x93NUMPY\x01\0", b"..//", b"O", b"|O", b"<U4", b"True", b"(2, 3)",
    b"PK\x01\x02", b"\xc3\x28", b"\xed\xa0\x80", b"\x1b[2J", b"IDAT", b"iCCP", b"zTXt", b"\xff\xd8",
    b"1,234", b"1.234.567", b";", b"\t", b"NA", b"TRUE", b"#", b"Total", b"\xff\xfe", b"II*\0", b"RIFF",
    b"\n\n", b'""', b"\r",
    b"\xff\xc0",
]  # fmt: skip


def changed(seed: bytes, draw: random.Random) -> bytes:
    """A file with some of its bytes changed, moved, cut, or replaced by odd ones."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(len(data) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 32))
        way = draw.randrange(6)
        if way == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif way == 1:
            odd = draw.choice(ODD)
            data[at : at + len(odd)] = odd
        elif way == 2:
            data[at:at] = draw.choice(ODD)
        elif way == 3:
            del data[at : at + length]
        elif way == 4:
            data[at:at] = data[max(0, at - length) : at]
        else:
            data[at : at + length] = draw.randbytes(length)
    return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.05 else data)


def resealed(data: bytes, draw: random.Random) -> bytes:
    """A file whose inside was changed and whose checksums are right again, so that it is looked at."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.compress(changed(gzip.decompress(data), draw), mtime=0)
    if data.startswith(b"PK"):
        return _rezipped(data, draw)
    if data.startswith(b"\x89PNG"):
        return _resummed(data, draw)
    if b'"__metadata__"' in data[:200]:
        return _redescribed(data, draw)
    return changed(data, draw)


def _rezipped(data: bytes, draw: random.Random) -> bytes:
    stream = io.BytesIO()
    names = {"x.npy", "y.npy", "../../up.npy", "/abs.npy"}
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w") as after:
        for member in before.infolist():
            name = draw.choice(sorted(names)) if draw.random() < 0.3 else member.filename
            names.discard(name)
            inside = before.read(member)
            if name not in after.namelist():
                after.writestr(name, changed(inside, draw) if draw.random() < 0.7 else inside)
    return stream.getvalue()


def _resummed(data: bytes, draw: random.Random) -> bytes:
    """A PNG of which one part was changed, with the parts' checksums."""
    import zlib

    parts, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = draw.randrange(len(parts))
    kind, body = parts[which]
    if kind == b"IDAT" and draw.random() < 0.5:
        body = zlib.compress(changed(zlib.decompress(body), draw))
    else:
        body = changed(body, draw)
    parts[which] = (kind, body)
    if draw.random() < 0.2:
        parts.insert(which, (draw.choice((b"zTXt", b"iCCP", b"tRNS", b"PLTE", b"fcTL")), draw.randbytes(9)))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def _redescribed(data: bytes, draw: random.Random) -> bytes:
    """A model whose description says something else, or which holds other arrays; checksum and all."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    described = header["__metadata__"]
    name = draw.choice([key for key in described if key not in ("format", "format_version", "crc32")])
    try:
        described[name] = json.dumps(another(json.loads(described[name]), draw))
    except ValueError:
        described[name] = changed(described[name].encode(), draw).decode(errors="replace")
    arrays = {
        key: np.frombuffer(body[slice(*entry["data_offsets"])], _TYPES[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for key, entry in header.items()
        if key != "__metadata__"
    }
    described["crc32"] = checkpoints.checksum(arrays, described)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


_TYPES = {
    "F32": np.float32,
    "F64": np.float64,
    "U8": np.uint8,
    "I64": np.int64,
    "I32": np.int32,
    "BOOL": bool,
}
_VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2**40,
    2**70,
    1e308,
    float("nan"),
    "",
    "relu",
    "Dense",
    "\x1b[31m",
    [],
    {},
    [[]],
)


def another(value: object, draw: random.Random) -> object:
    """A JSON value of which one part, somewhere, is another."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        if draw.random() < 0.15:
            return {name: inner for name, inner in value.items() if name != key}
        return value | {key: another(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        if draw.random() < 0.2:
            return value * draw.choice((0, 2, 3))
        return [*value[:at], another(value[at], draw), *value[at + 1 :]]
    return draw.choice(_VALUES)
